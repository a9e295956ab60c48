package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/throughline/throughline/schema/topic"
)

// Partitions is the number of partitions of an output topic, or of the input.
func (o *OutputReader) Partitions(t topic.Name) int { return o.metas[o.cfg.Topic(t)].partitions }

// OffsetAt is the offset, in this partition of an output topic, of the first record whose timestamp is at or after a
// time, bounded as Read is: the high watermark where there is none. A handler whose state is a matter of time starts
// reading there.
func (o *OutputReader) OffsetAt(ctx context.Context, t topic.Name, at time.Time) (int64, error) {
	tp := TopicPartition{o.cfg.Topic(t), o.partition}
	end, ok := o.ends[tp]
	if !ok {
		return 0, nil
	}
	client, err := Open(o.cfg.with("seek"), o.deps.Log, nil)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	// Negative timestamps stand for the ends of the log.
	found, err := listOffsets(ctx, client, max(at.UnixMilli(), 0), []TopicPartition{tp})
	if err != nil {
		return 0, fmt.Errorf("find offset of %s at %s: %w", tp, at.UTC().Format(time.RFC3339), err)
	}
	if found[tp] < 0 {
		return end, nil
	}
	return min(max(found[tp], o.starts[tp]), end), nil
}
