package stream_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline/throughline/schema/stream"
)

func newWatch(t *testing.T, cfg stream.Config) *stream.OffsetWatch {
	t.Helper()
	w, err := stream.NewOffsetWatch(cfg, deps(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// commitAt commits an offset of the inputs for the group "sink".
func commitAt(t *testing.T, cfg stream.Config, partition int32, at int64) {
	t.Helper()
	var offsets kadm.Offsets
	offsets.AddOffset(cfg.Topic(inputs), partition, at, -1)
	if err := kadm.NewClient(client(t, cfg)).CommitAllOffsets(t.Context(), cfg.Group("sink"), offsets); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

func TestOffsetWatchReturnsOnceTheGroupHasPassed(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(2))
			commitInitial(t, cfg, "sink", inputs)
			put(t, cfg, inputs, 1, 0, 7)
			w := newWatch(t, cfg)
			tp := stream.TopicPartition{Topic: cfg.Topic(inputs), Partition: 1}
			result := make(chan error, 1)
			go func() { result <- w.WaitCommitted(t.Context(), "sink", tp, 5) }()
			commitAt(t, cfg, 1, 4)
			select {
			case err := <-result:
				t.Fatalf("returned at 4: %v", err)
			case <-time.After(150 * time.Millisecond):
			}
			commitAt(t, cfg, 1, 5)
			select {
			case err := <-result:
				if err != nil {
					t.Errorf("wait: %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("did not return at 5")
			}
			lag, err := w.Lag(t.Context(), stream.GroupTopic{Group: "sink", Topic: inputs})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[int32]int64{0: 0, 1: 2}, lag); diff != "" {
				t.Errorf("lag (-want +got):\n%s", diff)
			}
			ends, err := w.EndOffsets(t.Context(), inputs)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[int32]int64{0: 0, 1: 7}, ends); diff != "" {
				t.Errorf("ends (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOffsetWatchPollsOnceForAllAndNotAtAllForNobody(t *testing.T) {
	t.Parallel()
	cluster, cfg := fake(t)
	commitInitial(t, cfg, "sink", inputs)
	var fetches atomic.Int64
	cluster.ControlKey(int16(kmsg.OffsetFetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		fetches.Add(1)
		return nil, nil, false
	})
	w := newWatch(t, cfg)
	tp := stream.TopicPartition{Topic: cfg.Topic(inputs)}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	const callers = 50
	results := make(chan error, callers)
	for range callers {
		go func() { results <- w.WaitCommitted(ctx, "sink", tp, 1) }()
	}
	for range callers {
		if err := <-results; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait: %v, want the end of its context", err)
		}
	}
	// One poller makes at most 50 rounds of 20 ms in a second; 50 of them would make some 2,500.
	while := fetches.Load()
	if while == 0 || while > 100 {
		t.Errorf("%d offset fetches for %d callers in a second", while, callers)
	}
	<-time.After(100 * time.Millisecond)
	idle := fetches.Load()
	<-time.After(200 * time.Millisecond)
	if now := fetches.Load(); now != idle {
		t.Errorf("%d offset fetches while nobody waits", now-idle)
	}
}

func TestOffsetWatchEndsAllWaitingWhenItCloses(t *testing.T) {
	t.Parallel()
	_, cfg := fake(t)
	w := newWatch(t, cfg)
	result := make(chan error, 1)
	go func() { result <- w.WaitCommitted(t.Context(), "sink", stream.TopicPartition{Topic: "t"}, 1) }()
	<-time.After(50 * time.Millisecond)
	w.Close()
	if err := <-result; !errors.Is(err, stream.ErrClosed) {
		t.Errorf("wait: %v, want ErrClosed", err)
	}
}
