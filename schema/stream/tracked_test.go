package stream_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

const trackedRole = "tracked"

// office works on tasks of any number of consumers and counts how often each input was begun.
type office struct {
	cfg stream.Config
	// work decides when a task that has begun is settled; nil means at once.
	work func(ctx context.Context, value string)

	mu    sync.Mutex
	begun map[string]int
}

// take works on a task in a goroutine of its own.
func (o *office) take(ctx context.Context, t *stream.Task) {
	go func() {
		if !t.Begin(ctx) {
			return
		}
		value := string(t.Record.Value)
		o.mu.Lock()
		o.begun[value]++
		o.mu.Unlock()
		if o.work != nil {
			o.work(ctx, value)
		}
		if ctx.Err() != nil {
			return // as a process that dies: the outcome is not known
		}
		out := &stream.Record{Topic: o.cfg.Topic(outputs), Partition: t.Record.Partition, Key: t.Record.Key, Value: t.Record.Value}
		stream.SetOrigin(out, t.Record)
		t.Settle([]*stream.Record{out})
	}()
}

func (o *office) counts() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.begun)
}

// start runs a consumer until stop is called or the test ends.
func (o *office) start(t *testing.T, instance string, change func(*stream.TrackedConfig)) (stop func() error) {
	t.Helper()
	tc := stream.TrackedConfig{
		Role: trackedRole, Instance: instance, Inputs: []topic.Name{inputs, others}, Outputs: []topic.Name{outputs},
		StopGrace: 200 * time.Millisecond,
	}
	if change != nil {
		change(&tc)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	c, err := stream.NewTracked(o.cfg, tc, func(_ context.Context, task *stream.Task) { o.take(ctx, task) }, deps(t))
	if err != nil {
		t.Fatal(err)
	}
	end := inBackground(t, c.Run)
	return func() error {
		err := end()
		cancel()
		return err
	}
}

// follow counts the committed outcomes as they come.
func follow(t *testing.T, cfg stream.Config) (count func() int) {
	t.Helper()
	cl := client(t, cfg, kgo.ConsumeTopics(cfg.Topic(outputs)), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(50*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var seen atomic.Int64
	inBackground(t, func(ctx context.Context) error {
		for ctx.Err() == nil {
			seen.Add(int64(cl.PollFetches(ctx).NumRecords()))
		}
		return nil
	})
	return func() int { return int(seen.Load()) }
}

// recorded counts the committed outcomes of each value. Nothing may be under way.
func recorded(t *testing.T, cfg stream.Config) map[string]int {
	t.Helper()
	got := map[string]int{}
	for _, values := range committedValues(t, cfg, outputs) {
		for _, v := range values {
			got[v]++
		}
	}
	return got
}

func once(n int) map[string]int {
	want := map[string]int{}
	for i := range n {
		want[fmt.Sprintf("v%d", i)] = 1
	}
	return want
}

// TestTrackedWorksOnEveryRecordOnceWhileMembersComeAndGo has tasks end in any order, while partitions change hands. Nobody
// dies, so nothing may be begun twice.
func TestTrackedWorksOnEveryRecordOnceWhileMembersComeAndGo(t *testing.T) {
	t.Parallel()
	for _, b := range brokers() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			const n = 600
			cfg := b.config(t)
			ensureTopics(t, cfg, specs(3))
			commitInitial(t, cfg, trackedRole, inputs, others)
			count := follow(t, cfg)
			o := &office{cfg: cfg, begun: map[string]int{}, work: func(ctx context.Context, _ string) {
				timer := time.NewTimer(time.Duration(rand.IntN(60)) * time.Millisecond)
				defer timer.Stop()
				select {
				case <-timer.C:
				case <-ctx.Done():
				}
			}}
			// A small window has partitions paused and resumed; a grace as long as a test has what has begun end.
			small := func(tc *stream.TrackedConfig) { tc.Window, tc.MaxOutcomes, tc.StopGrace = 20, 7, time.Minute }
			o.start(t, "a", small)
			stopB := o.start(t, "b", small)
			put(t, cfg, inputs, 0, 0, 200)
			put(t, cfg, inputs, 1, 200, 150)
			putTxn(t, cfg, inputs, 1, kgo.TryAbort, "aborted")
			eventually(t, 60*time.Second, func() (string, bool) { return "nothing is begun", len(o.counts()) > 50 })
			o.start(t, "c", small)
			put(t, cfg, others, 2, 350, 150)
			eventually(t, 60*time.Second, func() (string, bool) { return "it stands still", len(o.counts()) > 250 })
			if err := stopB(); err != nil {
				t.Error(err)
			}
			put(t, cfg, others, 0, 500, 100)
			eventually(t, 60*time.Second, func() (string, bool) {
				return fmt.Sprintf("%d of %d are recorded", count(), n), count() >= n
			})
			eventually(t, 60*time.Second, func() (string, bool) {
				have, want := committedOffsets(t, cfg, trackedRole), endOffsets(t, cfg, inputs)
				return fmt.Sprintf("committed %v of %v", have, want), cmp.Equal(have, want)
			})
			if diff := cmp.Diff(once(n), recorded(t, cfg)); diff != "" {
				t.Errorf("recorded (-want +got):\n%.1000s", diff)
			}
			if diff := cmp.Diff(once(n), o.counts()); diff != "" {
				t.Errorf("begun (-want +got):\n%.1000s", diff)
			}
		})
	}
}

// TestTrackedGoesOnWithExactlyWhatWasNotFinished stops a consumer while the first record of a partition, and some others,
// are not finished.
func TestTrackedGoesOnWithExactlyWhatWasNotFinished(t *testing.T) {
	t.Parallel()
	for _, b := range brokers() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			const n = 100
			cfg := withInputs(t, b, n)
			stuck := func(v string) bool { return strings.HasSuffix(v, "0") }
			first := &office{cfg: cfg, begun: map[string]int{}, work: func(ctx context.Context, v string) {
				if stuck(v) {
					<-ctx.Done()
				}
			}}
			count := follow(t, cfg)
			stop := first.start(t, "a", nil)
			eventually(t, 60*time.Second, func() (string, bool) {
				return fmt.Sprintf("%d are recorded", count()), count() == n-n/10 && len(first.counts()) == n
			})
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if at := committedOffsets(t, cfg, trackedRole)[0]; at != 0 {
				t.Errorf("the low-water mark is %d although the first record is not finished", at)
			}
			second := &office{cfg: cfg, begun: map[string]int{}}
			second.start(t, "a", nil)
			eventually(t, 60*time.Second, func() (string, bool) {
				at := committedOffsets(t, cfg, trackedRole)[0]
				return fmt.Sprintf("the low-water mark is %d", at), at == n
			})
			want := map[string]int{}
			for v := range once(n) {
				if stuck(v) {
					want[v] = 1
				}
			}
			if diff := cmp.Diff(want, second.counts()); diff != "" {
				t.Errorf("begun again (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(once(n), recorded(t, cfg)); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTrackedDoesNotWaitForAMemberThatItsPredecessorLeft is TestProcessorDoesNotWaitForAMemberThatItsPredecessorLeft for the
// other kind of consumer.
func TestTrackedDoesNotWaitForAMemberThatItsPredecessorLeft(t *testing.T) {
	t.Parallel()
	for _, b := range brokers() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			const n = 3
			cfg := withInputs(t, b, n)
			leaveMember(t, cfg, trackedRole, cfg.ClientID+"-"+trackedRole+"@a")
			count := follow(t, cfg)
			o := &office{cfg: cfg, begun: map[string]int{}}
			o.start(t, "a", nil)
			eventually(t, 2*time.Minute, func() (string, bool) {
				return fmt.Sprintf("%d of %d are recorded", count(), n), count() >= n
			})
		})
	}
}

// TestAnOutcomeIsRecordedHoweverLongItHadToWait gives outcomes the time of a try that was made long ago, as they have after a
// transaction was aborted and the process paused, or the group rebalanced for long.
func TestAnOutcomeIsRecordedHoweverLongItHadToWait(t *testing.T) {
	t.Parallel()
	for _, b := range brokers() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			const n = 3
			cfg := withInputs(t, b, n)
			count := follow(t, cfg)
			c, err := stream.NewTracked(cfg, stream.TrackedConfig{
				Role: trackedRole, Instance: "a", Inputs: []topic.Name{inputs, others}, Outputs: []topic.Name{outputs},
			}, func(_ context.Context, task *stream.Task) {
				out := &stream.Record{
					Topic: cfg.Topic(outputs), Partition: task.Record.Partition, Value: task.Record.Value, Timestamp: time.Now().Add(-time.Minute),
				}
				stream.SetOrigin(out, task.Record)
				task.Settle([]*stream.Record{out})
			}, deps(t))
			if err != nil {
				t.Fatal(err)
			}
			inBackground(t, c.Run)
			eventually(t, time.Minute, func() (string, bool) {
				return fmt.Sprintf("%d of %d are recorded", count(), n), count() >= n
			})
		})
	}
}

// withInputs makes topics of one partition, in which n inputs wait.
func withInputs(t *testing.T, b broker, n int) stream.Config {
	t.Helper()
	cfg := b.config(t)
	ensureTopics(t, cfg, specs(1))
	commitInitial(t, cfg, trackedRole, inputs, others)
	put(t, cfg, inputs, 0, 0, n)
	return cfg
}
