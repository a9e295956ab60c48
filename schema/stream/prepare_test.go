package stream_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

// careful is a copier that prepares and finishes transactions, and notes what it has seen when it was asked to.
type careful struct {
	*copier

	prepared, finished atomic.Int64
	refuse             func(n int64) error
	unprepared         atomic.Bool
}

func (c *careful) Prepare(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.overlay) > 0 {
		c.unprepared.Store(true)
	}
	c.prepared.Add(1)
	return nil
}

func (c *careful) Finish(context.Context) error { return c.refuse(c.finished.Add(1)) }

func TestProcessorPreparesOnceForAllPartitionsAndCommitsNothingThatIsNotFinished(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(4))
			commitInitial(t, cfg, "copy", inputs)
			cl := client(t, cfg, kgo.RecordPartitioner(kgo.ManualPartitioner()))
			want := map[int32][]string{}
			for n := range 40 {
				p := int32(n % 4)
				r := &kgo.Record{Topic: cfg.Topic(inputs), Partition: p, Value: fmt.Appendf(nil, "v%d", n)}
				want[p] = append(want[p], string(r.Value))
				if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			c := &careful{copier: newCopier(cfg), refuse: func(n int64) error {
				if n <= 2 {
					return errors.New("not finished")
				}
				return nil
			}}
			startProcessor(t, cfg, processorConfig(), c)
			awaitEnd(t, cfg, time.Minute)
			if diff := cmp.Diff(want, committedValues(t, cfg, outputs)); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
			repeats, batches, discards, _ := c.seen()
			if discards < 2 {
				t.Errorf("%d discards although two transactions were not finished", discards)
			}
			if len(repeats) > 0 {
				t.Errorf("inputs came again that were committed: %v", repeats)
			}
			if n := c.prepared.Load(); n >= int64(batches) || c.unprepared.Load() {
				t.Errorf("prepared %d times for %d partitions' batches, in the middle of one: %v", n, batches, c.unprepared.Load())
			}
		})
	}
}
