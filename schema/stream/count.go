package stream

import (
	"context"

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
