package stream_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/stream"
)

// TestTailGivesWhatIsCommittedAfterItWasOpened has records before the tail was opened, between that and its run, and in
// transactions that are aborted and committed.
func TestTailGivesWhatIsCommittedAfterItWasOpened(t *testing.T) {
	t.Parallel()
	for _, b := range brokers() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			cfg := b.config(t)
			ensureTopics(t, cfg, specs(2))
			put(t, cfg, outputs, 0, 0, 3)
			tail, err := stream.OpenTail(t.Context(), cfg, "tail", outputs, deps(t))
			if err != nil {
				t.Fatal(err)
			}
			put(t, cfg, outputs, 0, 10, 2)
			put(t, cfg, outputs, 1, 20, 1)
			putTxn(t, cfg, outputs, 1, kgo.TryAbort, "aborted")
			putTxn(t, cfg, outputs, 1, kgo.TryCommit, "committed")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			got := map[string]int{}
			err = tail.Run(ctx, func(r *stream.Record) {
				if got[string(r.Value)]++; len(got) == 4 {
					cancel()
				}
			})
			tail.Close()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]int{"v10": 1, "v11": 1, "v20": 1, "committed": 1}, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTailSinceGivesWhatIsThereAndSaysWhenItHas ends each partition in another way: with a record, with the marker of an
// aborted transaction, and with nothing at all.
func TestTailSinceGivesWhatIsThereAndSaysWhenItHas(t *testing.T) {
	t.Parallel()
	for _, b := range brokers() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			cfg := b.config(t)
			ensureTopics(t, cfg, specs(3))
			put(t, cfg, outputs, 0, 0, 3)
			putTxn(t, cfg, outputs, 1, kgo.TryCommit, "committed")
			putTxn(t, cfg, outputs, 1, kgo.TryAbort, "aborted")
			later := time.Now().Add(time.Hour)
			for since, want := range map[time.Time]map[string]int{
				{}:                              {"v0": 1, "v1": 1, "v2": 1, "committed": 1},
				time.Now().Add(-24 * time.Hour): {"v0": 1, "v1": 1, "v2": 1, "committed": 1},
				later:                           {},
			} {
				tail, err := stream.OpenTailSince(t.Context(), cfg, "tail", outputs, since, deps(t))
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				got := map[string]int{}
				go func() {
					select {
					case <-tail.CaughtUp():
						cancel()
					case <-ctx.Done():
					}
				}()
				err = tail.Run(ctx, func(r *stream.Record) { got[string(r.Value)]++ })
				tail.Close()
				if err != nil || !errors.Is(context.Cause(ctx), context.Canceled) {
					t.Fatalf("since %s: %v, %v", since, err, context.Cause(ctx))
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("since %s (-want +got):\n%s", since, diff)
				}
			}
		})
	}
}

// TestWaitReadReturnsOnceTheTailHasGivenWhatIsBefore waits for a record, and for the marker that ends a transaction.
func TestWaitReadReturnsOnceTheTailHasGivenWhatIsBefore(t *testing.T) {
	t.Parallel()
	for _, b := range brokers() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			cfg := b.config(t)
			ensureTopics(t, cfg, specs(1))
			tail, err := stream.OpenTail(t.Context(), cfg, "tail", outputs, deps(t))
			if err != nil {
				t.Fatal(err)
			}
			defer tail.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := tail.WaitRead(ctx, 0, 0); err != nil {
				t.Errorf("nothing is before the beginning: %v", err)
			}
			over, stop := context.WithCancel(ctx)
			stop()
			if err := tail.WaitRead(over, 0, 1); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v for what is not there", err)
			}
			var given atomic.Int64
			ended := make(chan error, 1)
			running, end := context.WithCancel(ctx)
			go func() { ended <- tail.Run(running, func(*stream.Record) { given.Add(1) }) }()
			put(t, cfg, outputs, 0, 0, 3)
			if err := tail.WaitRead(ctx, 0, 3); err != nil || given.Load() < 3 {
				t.Errorf("%v after %d records", err, given.Load())
			}
			putTxn(t, cfg, outputs, 0, kgo.TryCommit, "committed")
			if err := tail.WaitRead(ctx, 0, 5); err != nil || given.Load() != 4 {
				t.Errorf("%v after %d records", err, given.Load())
			}
			end()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
