package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// viewBatchBytes bounds a write to the store: what is read in one poll may be more.
	viewBatchBytes = 2 << 20
	// viewSyncInterval is how often the store is forced to disk. Between two syncs a write may be lost with the
	// machine, though not with the process; the store then goes on from an earlier checkpoint, which is in the same
	// write as the data, and reads the rest again.
	viewSyncInterval = 5 * time.Second
)

// Run follows the topics until ctx ends, and then returns nil. Call it once. An error means that the view has missed
// something or cannot write; it is rebuilt or goes on at the next start.
func (v *View) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	offsets := map[string]map[int32]kgo.Offset{}
	v.mu.Lock()
	for tp, at := range v.positions {
		if offsets[tp.Topic] == nil {
			offsets[tp.Topic] = map[int32]kgo.Offset{}
		}
		offsets[tp.Topic][tp.Partition] = kgo.NewOffset().At(at)
	}
	v.mu.Unlock()
	v.client.AddConsumePartitions(offsets)

	syncing := make(chan error, 1)
	go func() {
		syncing <- v.keepFresh(ctx)
		cancel()
	}()
	err := v.follow(ctx)
	cancel()
	err = errors.Join(err, <-syncing)
	v.fail(err)
	if err != nil {
		return fmt.Errorf("run view %s: %w", v.vc.Name, err)
	}
	return nil
}

// follow applies records until ctx ends.
func (v *View) follow(ctx context.Context) error {
	for !ended(ctx) {
		fetches := v.client.PollRecords(ctx, 5000)
		for _, fe := range fetches.Errors() {
			if ended(ctx) {
				return nil
			}
			var loss *kgo.ErrDataLoss
			if errors.Is(fe.Err, kerr.OffsetOutOfRange) || errors.As(fe.Err, &loss) || errors.Is(fe.Err, kerr.UnknownTopicID) {
				return errors.Join(fmt.Errorf("%s/%d is not the log that was read: %w", fe.Topic, fe.Partition, fe.Err), v.distrust())
			}
			return fmt.Errorf("poll %s/%d: %w", fe.Topic, fe.Partition, fe.Err)
		}
		if err := v.apply(fetches); err != nil {
			return err
		}
	}
	return nil
}

// apply writes records and the positions behind them, in one write or several: each is whole.
func (v *View) apply(fetches kgo.Fetches) error {
	b := v.newBatch()
	defer func() { _ = b.Close() }()
	moved := map[TopicPartition]int64{}
	records := 0
	for it := fetches.RecordIter(); !it.Done(); {
		r := it.Next()
		if !IsControl(r) {
			if err := v.vc.Apply(b, r); err != nil {
				return fmt.Errorf("apply %s/%d at %d: %w", r.Topic, r.Partition, r.Offset, err)
			}
			records++
		}
		moved[TopicPartition{r.Topic, r.Partition}] = r.Offset + 1
		if b.Len() > viewBatchBytes {
			if err := v.write(b, moved, pebble.NoSync); err != nil {
				return err
			}
			if err := b.Close(); err != nil {
				return fmt.Errorf("close batch: %w", err)
			}
			b = v.newBatch()
			clear(moved)
		}
	}
	v.metrics.records.Add(float64(records))
	return v.write(b, moved, pebble.NoSync)
}

func (v *View) newBatch() *pebble.Batch {
	if v.vc.Blind {
		return v.db.NewBatch()
	}
	return v.db.NewIndexedBatch()
}

// write commits a batch with its positions, and only then tells who waits for them.
func (v *View) write(b *pebble.Batch, moved map[TopicPartition]int64, how *pebble.WriteOptions) error {
	if len(moved) == 0 {
		return nil
	}
	for tp, at := range moved {
		if err := setOffset(b, tp, at); err != nil {
			return fmt.Errorf("set position: %w", err)
		}
	}
	if err := b.Commit(how); err != nil {
		return fmt.Errorf("write store: %w", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	maps.Copy(v.positions, moved)
	v.announceLocked()
	return nil
}

func (v *View) announceLocked() {
	close(v.moved)
	v.moved = make(chan struct{})
}

// fail ends all waiting: nothing moves any more.
func (v *View) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failed = fmt.Errorf("view %s has stopped: %w", v.vc.Name, errors.Join(ErrClosed, err))
	v.announceLocked()
}

// keepFresh notes, every few seconds, the latest moment at which the view was known to hold everything, because that
// is what a checkpoint's age means; and forces the store to disk.
func (v *View) keepFresh(ctx context.Context) error {
	tick := time.NewTicker(viewSyncInterval)
	defer tick.Stop()
	for {
		asked := time.Now()
		err := v.catchUp(ctx, v.tps)
		switch {
		case ended(ctx):
			return nil
		case err != nil:
			v.deps.Log.WarnContext(ctx, "view cannot tell whether it is up to date", "view", v.vc.Name, "error", err)
		default:
			v.mu.Lock()
			v.ready = true
			v.mu.Unlock()
			v.metrics.current.Set(float64(asked.UnixMilli()) / 1000)
			b := v.db.NewBatch()
			if err := errors.Join(setAsOf(b, asked), b.Commit(pebble.Sync)); err != nil {
				return fmt.Errorf("write checkpoint: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
