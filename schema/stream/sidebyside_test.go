package stream_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestPartitionsOfABatchAreProcessedSideBySide(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(4))
			commitInitial(t, cfg, "copy", inputs)
			cl := client(t, cfg, kgo.RecordPartitioner(kgo.ManualPartitioner()))
			// Each waits a moment for another one to come.
			var inside atomic.Int64
			var once sync.Once
			together := make(chan struct{})
			c := newCopier(cfg)
			c.delay = func(ctx context.Context) {
				defer inside.Add(-1)
				if inside.Add(1) == 2 {
					once.Do(func() { close(together) })
				}
				select {
				case <-together:
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
			}
			pc := processorConfig()
			pc.SideBySide = 4
			startProcessor(t, cfg, pc, c)
			want := map[int32][]string{}
			deadline := time.Now().Add(time.Minute)
			for n := 0; ; n++ {
				for p := range int32(4) {
					r := &kgo.Record{Topic: cfg.Topic(inputs), Partition: p, Value: fmt.Appendf(nil, "v%d", n)}
					want[p] = append(want[p], string(r.Value))
					if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
						t.Fatal(err)
					}
				}
				select {
				case <-together:
				default:
					if time.Now().Before(deadline) {
						continue
					}
					t.Fatal("no two partitions were processed at the same time")
				}
				break
			}
			awaitEnd(t, cfg, time.Minute)
			if diff := cmp.Diff(want, committedValues(t, cfg, outputs)); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
			if repeats, _, _, _ := c.seen(); len(repeats) > 0 {
				t.Errorf("inputs came again that were committed: %v", repeats)
			}
		})
	}
}
