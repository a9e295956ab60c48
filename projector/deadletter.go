package projector

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
)

// letter makes the dead letter of a record that cannot be transformed. Nothing in it depends on when or by whom it is
// made: a batch that is repeated repeats its dead letters, and who reads them recognises a repeat by the place that
// they name.
func (w *worker) letter(r *stream.Record, reason error) (*stream.Record, error) {
	workspace := ""
	if parts, err := topic.ParseKey(r.Key); err == nil {
		workspace = parts[0]
	}
	d := event.DeadLetter{
		Group: w.deps.Kafka.Group(table.Group(w.p.Table)), Topic: r.Topic, Partition: r.Partition, Offset: r.Offset,
		Reason: reason.Error(), Workspace: workspace, At: event.TimeOf(r.Timestamp), Key: r.Key, Value: r.Value,
	}
	value, err := d.Encode()
	if err != nil {
		return nil, fmt.Errorf("dead letter of offset %d of %s/%d: %w", r.Offset, r.Topic, r.Partition, err)
	}
	envelope := topic.Envelope{
		ID:   d.Group + "/" + topic.Origin(r.Topic, r.Partition, r.Offset),
		Type: topic.TypeDeadLetter, Workspace: workspace, Time: d.At.Time,
	}
	origin := topic.Header{Key: topic.HeaderOrigin, Value: topic.Origin(r.Topic, r.Partition, r.Offset)}
	return &stream.Record{
		Topic: w.deps.Kafka.Topic(topic.DeadLetters), Key: r.Key, Value: value,
		Headers: stream.Headers(envelope.Headers(origin)),
	}, nil
}

// bury appends dead letters and waits until the brokers have them.
func (w *worker) bury(ctx context.Context, letters []*stream.Record) error {
	if len(letters) == 0 {
		return nil
	}
	if _, err := w.deps.Producer.Produce(ctx, letters...); err != nil {
		return fmt.Errorf("write dead letters: %w", err)
	}
	w.metrics.deadLetters.WithLabelValues(w.p.Table).Add(float64(len(letters)))
	for _, l := range letters {
		origin, _ := stream.HeaderValue(l, topic.HeaderOrigin)
		w.log.ErrorContext(ctx, "record cannot be transformed", slog.String("origin", origin))
	}
	return nil
}
