package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// readRange gives each the committed records of a partition with offsets in [from, to), in order, without control
// records. It waits until a transaction that is open below to has ended: a reader of committed records gets no
// further than the last stable offset. It uses a client of its own, outside of any group.
//
// The position moves by records only. That is enough to reach a high watermark, because the last entry of a log is
// in the active segment, which compaction does not touch; and control records are kept, so a marker moves it too.
func readRange(ctx context.Context, cfg Config, deps Deps, tp TopicPartition, from, to int64, each func(*Record) error, more ...kgo.Opt) error {
	if from >= to {
		return nil
	}
	client, err := Open(cfg.with("reader"), deps.Log, nil, append([]kgo.Opt{
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{tp.Topic: {tp.Partition: kgo.NewOffset().At(from)}}),
		// What retention took away meanwhile is an error and must not be stepped over.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		// The range is known to be there; the only wait is for a transaction to end, which ends the broker's wait too.
		kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.FetchMaxBytes(8 << 20),
		kgo.FetchMaxPartitionBytes(8 << 20),
		// One fetch ahead of the caller bounds the memory to about two answers.
		kgo.MaxConcurrentFetches(1),
	}, more...)...)
	if err != nil {
		return err
	}
	defer client.Close()
	for next := from; next < to; {
		fetches := client.PollRecords(ctx, 5000)
		if err := readError(ctx, client, fetches, tp, next); err != nil {
			return err
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if r.Offset >= to {
				return nil
			}
			next = r.Offset + 1
			if IsControl(r) {
				continue
			}
			if err := each(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// readError turns what a poll reported into the error of a reader that stands at offset next.
func readError(ctx context.Context, client *kgo.Client, fetches kgo.Fetches, tp TopicPartition, next int64) error {
	for _, fe := range fetches.Errors() {
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("read %s: %w", tp, ctx.Err())
		case errors.Is(fe.Err, kerr.OffsetOutOfRange):
			return offsetLost(ctx, client, "", tp, next)
		default:
			return fmt.Errorf("read %s: %w", tp, fe.Err)
		}
	}
	return nil
}

// offsetLost describes a position that the log does not have.
func offsetLost(ctx context.Context, client *kgo.Client, group string, tp TopicPartition, offset int64) *OffsetLostError {
	lost := &OffsetLostError{Group: group, TopicPartition: tp, Offset: offset, LogStart: -1, LogEnd: -1}
	if starts, err := listOffsets(ctx, client, atLogStart, []TopicPartition{tp}); err == nil {
		lost.LogStart = starts[tp]
	}
	if ends, err := listOffsets(ctx, client, atLogEnd, []TopicPartition{tp}); err == nil {
		lost.LogEnd = ends[tp]
	}
	return lost
}
