package stream_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

const states topic.Name = "states.v1"

func stateSpecs(partitions int) []topic.Spec {
	return []topic.Spec{{Name: states, Partitions: partitions, Compacted: true, DeleteRetention: topic.TombstoneRetention}}
}

// latest keeps the latest value of a key.
func latest(b *pebble.Batch, r *stream.Record) error {
	if r.Value == nil {
		return b.Delete(r.Key, nil)
	}
	return b.Set(r.Key, r.Value, nil)
}

func viewConfig(dir string) stream.ViewConfig {
	return stream.ViewConfig{Name: "states", Dir: dir, Topics: []topic.Name{states}, Apply: latest}
}

// openView opens a view and runs it; close ends both.
func openView(t *testing.T, cfg stream.Config, vc stream.ViewConfig) (v *stream.View, closeView func()) {
	t.Helper()
	v, err := stream.OpenView(t.Context(), cfg, vc, deps(t))
	if err != nil {
		t.Fatalf("open view: %v", err)
	}
	stop := inBackground(t, v.Run)
	closed := false
	closeView = func() {
		if closed {
			return
		}
		closed = true
		if err := stop(); err != nil {
			t.Errorf("run view: %v", err)
		}
		if err := v.Close(); err != nil {
			t.Errorf("close view: %v", err)
		}
	}
	t.Cleanup(closeView)
	return v, closeView
}

func newProducer(t *testing.T, cfg stream.Config, pc stream.ProducerConfig) *stream.Producer {
	t.Helper()
	p, err := stream.NewProducer(cfg, pc, deps(t))
	if err != nil {
		t.Fatalf("new producer: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		_ = p.Close(ctx)
	})
	return p
}

func get(t *testing.T, v *stream.View, key string) string {
	t.Helper()
	value, ok, err := v.Get([]byte(key))
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	if !ok {
		return "<none>"
	}
	return string(value)
}

func TestViewShowsAfterABarrierWhatWasAcknowledgedBeforeIt(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, stateSpecs(3))
			v, _ := openView(t, cfg, viewConfig(t.TempDir()))
			p := newProducer(t, cfg, stream.ProducerConfig{})
			var wg sync.WaitGroup
			for w := range 8 {
				wg.Go(func() {
					for i := range 20 {
						key := fmt.Sprintf("w%d-%d", w, i%3)
						want := strconv.Itoa(i)
						o, err := p.Produce(t.Context(), &stream.Record{Topic: cfg.Topic(states), Key: []byte(key), Value: []byte(want)})
						if err != nil {
							t.Errorf("produce: %v", err)
							return
						}
						switch i % 3 {
						case 0:
							err = v.Barrier(t.Context())
						case 1:
							err = v.BarrierKey(t.Context(), states, []byte(key))
						default:
							err = v.WaitFor(t.Context(), o[0])
						}
						if err != nil {
							t.Errorf("barrier: %v", err)
							return
						}
						if value, _, err := v.Get([]byte(key)); err != nil || string(value) != want {
							t.Errorf("%s is %q (%v) after the barrier, want %q", key, value, err, want)
							return
						}
					}
				})
			}
			wg.Wait()
			if err := v.Ready(); err != nil {
				t.Errorf("ready: %v", err)
			}
		})
	}
}

func TestViewReachesTheEndBehindTransactionMarkers(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, stateSpecs(1))
			putTxn(t, cfg, states, 0, kgo.TryCommit, "kept")
			putTxn(t, cfg, states, 0, kgo.TryAbort, "aborted")
			vc := viewConfig(t.TempDir())
			vc.ReadCommitted = true
			v, _ := openView(t, cfg, vc)
			if err := v.Barrier(t.Context()); err != nil {
				t.Fatalf("barrier: %v", err)
			}
			if diff := cmp.Diff([]string{"kept", "<none>"}, []string{get(t, v, "kept"), get(t, v, "aborted")}); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestViewGoesOnFromItsCheckpoint(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, stateSpecs(1))
			put(t, cfg, states, 0, 0, 100)
			var mu sync.Mutex
			applied := 0
			vc := viewConfig(t.TempDir())
			vc.Apply = func(b *pebble.Batch, r *stream.Record) error {
				mu.Lock()
				defer mu.Unlock()
				applied++
				return latest(b, r)
			}
			first, closeFirst := openView(t, cfg, vc)
			if err := first.Barrier(t.Context()); err != nil {
				t.Fatal(err)
			}
			closeFirst()
			put(t, cfg, states, 0, 100, 5)
			second, _ := openView(t, cfg, vc)
			if err := second.Barrier(t.Context()); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if applied != 105 {
				t.Errorf("%d records applied, want each of 105 once", applied)
			}
			if got := get(t, second, "k3"); got != "v3" {
				t.Errorf("k3 is %s after the restart", got)
			}
		})
	}
}

func TestViewIsRebuiltWhereItsCheckpointProvesNothing(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, cfg stream.Config, vc *stream.ViewConfig){
		"another topic under the same name": func(t *testing.T, cfg stream.Config, _ *stream.ViewConfig) {
			t.Helper()
			if _, err := kadm.NewClient(client(t, cfg)).DeleteTopic(t.Context(), cfg.Topic(states)); err != nil {
				t.Fatal(err)
			}
			eventually(t, 10*time.Second, func() (string, bool) {
				_, err := stream.EnsureTopics(t.Context(), cfg, deps(t), stateSpecs(1), 1)
				return fmt.Sprint(err), err == nil
			})
			put(t, cfg, states, 0, 0, 20)
		},
		"another version of the applier": func(_ *testing.T, _ stream.Config, vc *stream.ViewConfig) { vc.Version = 2 },
		"older than tombstones are kept": func(_ *testing.T, _ stream.Config, vc *stream.ViewConfig) { vc.MaxAge = time.Nanosecond },
		"the log begins beyond it": func(t *testing.T, cfg stream.Config, _ *stream.ViewConfig) {
			t.Helper()
			put(t, cfg, states, 0, 0, 30)
			// A broker deletes the beginning of a log only where its policy allows it.
			alterTopic(t, cfg, states, "cleanup.policy", "delete")
			deleteBelow(t, cfg, states, 0, 12)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, broker := range brokers() {
				t.Run(broker.name, func(t *testing.T) {
					t.Parallel()
					cfg := broker.config(t)
					ensureTopics(t, cfg, stateSpecs(1))
					put(t, cfg, states, 0, 0, 10)
					vc := viewConfig(t.TempDir())
					v, closeView := openView(t, cfg, vc)
					if err := v.Barrier(t.Context()); err != nil {
						t.Fatal(err)
					}
					// An entry that no record of the log accounts for shows whether the store was thrown away.
					if err := v.DB().Set([]byte("stale"), nil, pebble.Sync); err != nil {
						t.Fatal(err)
					}
					closeView()
					spoil(t, cfg, &vc)
					v, _ = openView(t, cfg, vc)
					if err := v.Barrier(t.Context()); err != nil {
						t.Fatal(err)
					}
					if got := get(t, v, "stale"); got != "<none>" {
						t.Error("the store was kept")
					}
					if got := get(t, v, "k7"); got != "v7" {
						t.Errorf("k7 is %s after the rebuild", got)
					}
				})
			}
		})
	}
}

func TestViewThatDoesNotMoveTimesOutInsteadOfShowingAMiss(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, stateSpecs(1))
			release := make(chan struct{})
			vc := viewConfig(t.TempDir())
			vc.Apply = func(b *pebble.Batch, r *stream.Record) error {
				<-release
				return latest(b, r)
			}
			v, _ := openView(t, cfg, vc)
			put(t, cfg, states, 0, 0, 1)
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if err := v.Barrier(ctx); !errors.Is(err, stream.ErrBarrierTimeout) {
				t.Errorf("barrier of a view that stands still: %v", err)
			}
			if err := v.Barrier(t.Context()); !errors.Is(err, stream.ErrBarrierTimeout) {
				t.Errorf("barrier without a deadline: %v", err)
			}
			if took := time.Since(start); took < stream.BarrierTimeout || took > 2*stream.BarrierTimeout {
				t.Errorf("the barriers took %s", took)
			}
			close(release)
			if err := v.Barrier(t.Context()); err != nil {
				t.Errorf("barrier after it moved: %v", err)
			}
		})
	}
}
