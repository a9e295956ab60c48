package ingest

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// refusalBatch is how many refusals are written together.
const refusalBatch = 256

// maxRefusalBytes bounds what waits to be written: a refusal holds what was sent, up to 32 KiB.
const maxRefusalBytes = 32 << 20

// refusalRetry is how often refusals are tried again that the log did not take.
const refusalRetry = 500 * time.Millisecond

// lastRefusals is how long the refusals that wait at the end have to be written in.
const lastRefusals = 5 * time.Second

// refuse notes a refusal for the event log and returns the problem with the id under which it stands there. Writing it is
// left to Run: an answer must not wait for it nor depend on it.
func (s *Service) refuse(sub *event.Submission, workspace string, status event.Status, p *problem.Problem, sent []byte) error {
	outcome := "invalid"
	if status == event.StatusNotFound {
		outcome = "not_found"
	}
	s.metrics.events.WithLabelValues(outcome).Inc()
	r := rejection(sub, workspace, status, p.Detail, sent)
	key := topic.Key(workspace)
	if r.Type != "" && r.ObjectID != "" {
		key = topic.Key(workspace, string(r.Type), r.ObjectID)
	}
	value, err := r.Encode()
	if err != nil {
		return err
	}
	record := &stream.Record{
		Topic: s.topic(topic.Rejections), Key: key, Value: value, Timestamp: sub.ReceivedAt.Time,
		Headers: stream.Headers(topic.Envelope{
			ID: r.ID, Type: topic.TypeRejection, Workspace: workspace, Time: sub.ReceivedAt.Time,
		}.Headers()),
	}
	s.enqueue(record)
	return p.WithExtra("id", r.ID)
}

// enqueue leaves a refusal to Run, if there is room: in the number of them and in their bytes.
func (s *Service) enqueue(record *stream.Record) {
	size := int64(len(record.Value))
	if s.refusalBytes.TryAcquire(size) {
		select {
		case s.refusals <- record:
			return
		default:
			s.refusalBytes.Release(size)
		}
	}
	s.metrics.refusals.WithLabelValues("dropped").Inc()
}

// logRefusals writes refusals until the context ends, then those that still wait: they have lastRefusals to be written in.
func (s *Service) logRefusals(ctx context.Context) error {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(lastRefusals, cancel) })
	defer stop()
	for {
		select {
		case first := <-s.refusals:
			s.writeRefusals(late, s.waiting(first))
		case <-ctx.Done():
			for {
				select {
				case first := <-s.refusals:
					s.writeRefusals(late, s.waiting(first))
				default:
					return nil
				}
			}
		}
	}
}

// waiting takes what waits behind the first refusal, up to a batch.
func (s *Service) waiting(first *stream.Record) []*stream.Record {
	batch := []*stream.Record{first}
	for len(batch) < refusalBatch {
		select {
		case next := <-s.refusals:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

// writeRefusals writes a batch of refusals. While the log does not take any it is tried again, and more of them wait, as
// many as the buffer holds.
func (s *Service) writeRefusals(ctx context.Context, batch []*stream.Record) {
	var size int64
	for _, record := range batch {
		size += int64(len(record.Value))
	}
	defer s.refusalBytes.Release(size)
	tick := time.NewTicker(refusalRetry)
	defer tick.Stop()
	for {
		var unsent []*stream.Record
		failed, why := 0, error(nil)
		for i, result := range s.producer.ProduceEach(ctx, batch) {
			switch {
			case result.Err == nil:
			case errors.Is(result.Err, stream.ErrStalled), errors.Is(result.Err, stream.ErrOverloaded):
				unsent = append(unsent, batch[i])
			default:
				failed, why = failed+1, result.Err
			}
		}
		s.refusalsWritten(ctx, len(batch)-len(unsent)-failed, failed, why)
		if len(unsent) == 0 {
			return
		}
		batch = unsent
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.refusalsWritten(ctx, 0, len(batch), ctx.Err())
			return
		}
	}
}

func (s *Service) refusalsWritten(ctx context.Context, logged, failed int, why error) {
	s.metrics.refusals.WithLabelValues("logged").Add(float64(logged))
	s.metrics.refusals.WithLabelValues("failed").Add(float64(failed))
	if failed > 0 {
		s.log.WarnContext(ctx, "refusals not logged", slog.Int("count", failed), slog.String("error", why.Error()))
	}
}
