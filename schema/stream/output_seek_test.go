package stream_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/stream"
)

// seeker is a Handler that asks, when a partition is loaded, where some times are.
type seeker struct {
	stream.Handler

	at []time.Time

	found      sync.Map
	partitions int
}

func (s *seeker) Load(ctx context.Context, p int32, out *stream.OutputReader) error {
	var offsets []int64
	for _, at := range s.at {
		offset, err := out.OffsetAt(ctx, outputs, at)
		if err != nil {
			return err
		}
		offsets = append(offsets, offset)
	}
	s.partitions = out.Partitions(outputs)
	s.found.Store(p, offsets)
	return nil
}

func TestOutputReaderFindsTheOffsetOfATime(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(1))
			commitInitial(t, cfg, "copy", inputs)
			noon := time.Now().Add(-10 * time.Hour).Truncate(time.Hour) // a broker refuses times of the future
			cl := client(t, cfg, kgo.RecordPartitioner(kgo.ManualPartitioner()))
			for i := range 5 {
				r := &kgo.Record{Topic: cfg.Topic(outputs), Value: fmt.Appendf(nil, "%d", i), Timestamp: noon.Add(time.Duration(i) * time.Hour)}
				if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			s := &seeker{Handler: newCopier(cfg), at: []time.Time{
				{}, noon.Add(-time.Hour), noon, noon.Add(time.Millisecond), noon.Add(3 * time.Hour), noon.Add(4*time.Hour + time.Millisecond),
			}}
			startProcessor(t, cfg, processorConfig(), s)
			var got any
			eventually(t, 30*time.Second, func() (string, bool) {
				offsets, ok := s.found.Load(int32(0))
				got = offsets
				return "the partition is not loaded", ok
			})
			if diff := cmp.Diff([]int64{0, 0, 0, 1, 3, 5}, got); diff != "" {
				t.Errorf("offsets (-want +got):\n%s", diff)
			}
			if s.partitions != 1 {
				t.Errorf("got %d partitions, want 1", s.partitions)
			}
		})
	}
}
