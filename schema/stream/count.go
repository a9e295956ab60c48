package stream

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/topic"
)

// Partitions is the number of partitions of a topic that is there, for those who name the partitions of what they write.
func Partitions(ctx context.Context, cfg Config, deps Deps, t topic.Name) (int, error) {
	client, err := Open(cfg.with("count"), deps.Log, nil)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	name := cfg.Topic(t)
	_, metas, err := describe(ctx, client, []string{name})
	if err != nil {
		return 0, err
	}
	return metas[name].partitions, nil
}

// ReadRecord reads one committed record. It returns an *OffsetLostError where the log does not have it any more, and
// nil where the offset carries none.
func ReadRecord(ctx context.Context, cfg Config, deps Deps, at Offset) (*Record, error) {
	var found *Record
	err := readRange(ctx, cfg.with("record"), deps, at.TopicPartition, at.Offset, at.Offset+1, func(r *Record) error {
		found = r
		return nil
	})
	return found, err
}

// ErrStopReading ends ReadRange early, from the function that it calls.
var ErrStopReading = errors.New("enough was read")

// ReadRange gives each the committed records of a partition with offsets in [from, to), in order. to must not lie beyond
// the high watermark. It waits for transactions that are open below to, and ends with the context.
func ReadRange(ctx context.Context, cfg Config, deps Deps, tp TopicPartition, from, to int64, each func(*Record) error) error {
	// Whoever reads a range step by step reads a little at a time.
	err := readRange(ctx, cfg.with("range"), deps, tp, from, to, each, kgo.FetchMaxBytes(1<<20), kgo.FetchMaxPartitionBytes(1<<20))
	if errors.Is(err, ErrStopReading) {
		return nil
	}
	return err
}

// Span is a range of offsets of a partition: [From, To).
type Span struct {
	TopicPartition

	From, To int64
}

// Spans finds, for each partition of a topic, the offsets that hold every record with a time in [since, until), and records
// of other times among them. slack is by how much the times of a partition may be out of order. The zero time of since
// means the beginning of the log; what is appended later is never in it.
func Spans(ctx context.Context, cfg Config, deps Deps, t topic.Name, since, until time.Time, slack time.Duration) ([]Span, error) {
	client, err := Open(cfg.with("spans"), deps.Log, nil)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	name := cfg.Topic(t)
	_, metas, err := describe(ctx, client, []string{name})
	if err != nil {
		return nil, err
	}
	tps := allPartitions(metas)
	ends, err := listOffsets(ctx, client, atLogEnd, tps)
	if err != nil {
		return nil, err
	}
	first := int64(atLogStart)
	if !since.IsZero() {
		first = since.UnixMilli()
	}
	// The first record of a time or a later one: none before it is as late.
	starts, err := listOffsets(ctx, client, first, tps)
	if err != nil {
		return nil, err
	}
	stops, err := listOffsets(ctx, client, until.Add(slack).UnixMilli(), tps)
	if err != nil {
		return nil, err
	}
	spans := make([]Span, metas[name].partitions)
	for tp, end := range ends {
		from, to := starts[tp], stops[tp]
		if from < 0 {
			from = end // no record is as late as that
		}
		if to < 0 {
			to = end
		}
		spans[tp.Partition] = Span{tp, min(from, end), max(min(to, end), min(from, end))}
	}
	return spans, nil
}
