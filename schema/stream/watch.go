package stream

import (
	"context"
	"errors"

	"github.com/throughline/throughline/schema/topic"
)

// OffsetWatch waits for committed offsets of consumer groups, with one poller for all who wait.
type OffsetWatch struct{}

// NewOffsetWatch opens an OffsetWatch.
func NewOffsetWatch(cfg Config, deps Deps) (*OffsetWatch, error) { return nil, errors.ErrUnsupported }

// WaitCommitted returns once the group (without the prefix) has committed next or more for the partition: everything
// below next is processed. Wait for the record at offset o with next = o+1. It ends with the context.
func (w *OffsetWatch) WaitCommitted(ctx context.Context, group string, tp TopicPartition, next int64) error {
	return errors.ErrUnsupported
}

// Committed is what the group (without the prefix) has committed for a topic, by partition.
func (w *OffsetWatch) Committed(ctx context.Context, group string, t topic.Name) (map[int32]int64, error) {
	return nil, errors.ErrUnsupported
}

// EndOffsets are the high watermarks of a topic, by partition.
func (w *OffsetWatch) EndOffsets(ctx context.Context, t topic.Name) (map[int32]int64, error) {
	return nil, errors.ErrUnsupported
}

// Close ends all waiting with ErrClosed.
func (w *OffsetWatch) Close() {}
