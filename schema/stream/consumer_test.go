package stream_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

func newConsumer(t *testing.T, cfg stream.Config, change ...func(*stream.ConsumerConfig)) *stream.Consumer {
	t.Helper()
	cc := stream.ConsumerConfig{Group: "sink", Topics: []topic.Name{inputs}, SessionTimeout: 6 * time.Second, FetchMaxWait: 100 * time.Millisecond}
	for _, f := range change {
		f(&cc)
	}
	c, err := stream.NewConsumer(cfg, cc, deps(t))
	if err != nil {
		t.Fatalf("new consumer: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// pollUntil polls, and allows rebalances, until enough has come together.
func pollUntil(t *testing.T, c *stream.Consumer, enough func(all stream.Polled) bool) stream.Polled {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var all stream.Polled
	for !enough(all) {
		polled, err := c.Poll(ctx)
		if err != nil {
			t.Fatalf("poll: %v (so far %+v)", err, all)
		}
		all.Assigned = append(all.Assigned, polled.Assigned...)
		all.Lost = append(all.Lost, polled.Lost...)
		all.Batches = append(all.Batches, polled.Batches...)
		c.AllowRebalance()
	}
	return all
}

func endOf(all stream.Polled) int64 {
	var to int64
	for _, b := range all.Batches {
		to = max(to, b.To)
	}
	return to
}

func values(all stream.Polled) []string {
	var vs []string
	for _, b := range all.Batches {
		for _, r := range b.Records {
			vs = append(vs, string(r.Value))
		}
	}
	return vs
}

func TestConsumerBatchesCoverMarkersAndAbortedRecords(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(1))
			commitInitial(t, cfg, "sink", inputs)
			putTxn(t, cfg, inputs, 0, kgo.TryCommit, "a", "b")
			putTxn(t, cfg, inputs, 0, kgo.TryAbort, "lost")
			putTxn(t, cfg, inputs, 0, kgo.TryCommit, "c")
			c := newConsumer(t, cfg)
			all := pollUntil(t, c, func(all stream.Polled) bool { return endOf(all) == 7 })
			if diff := cmp.Diff([]string{"a", "b", "c"}, values(all)); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
			next := int64(0)
			for _, b := range all.Batches {
				if b.From != next {
					t.Errorf("a batch begins at %d, the one before ended at %d", b.From, next)
				}
				next = b.To
			}
		})
	}
}

func TestConsumerGivesTheIntentBackToTheNextOwner(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(1))
			commitInitial(t, cfg, "sink", inputs)
			put(t, cfg, inputs, 0, 0, 10)
			tp := stream.TopicPartition{Topic: cfg.Topic(inputs), Partition: 0}
			first := newConsumer(t, cfg)
			pollUntil(t, first, func(all stream.Polled) bool { return endOf(all) == 10 })
			// The position stays, the metadata says what is about to be inserted; then it moves with the next intent.
			for _, commit := range []stream.Commit{{Offset: 0, Metadata: "intent 0-4"}, {Offset: 4, Metadata: "intent 4-8"}} {
				if err := first.Commit(t.Context(), map[stream.TopicPartition]stream.Commit{tp: commit}); err != nil {
					t.Fatalf("commit: %v", err)
				}
			}
			first.Close()

			second := newConsumer(t, cfg)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var polled stream.Polled
			for len(polled.Assigned)+len(polled.Batches) == 0 {
				var err error
				if polled, err = second.Poll(ctx); err != nil {
					t.Fatal(err)
				}
			}
			want := []stream.Assignment{{TopicPartition: tp, Offset: 4, Metadata: "intent 4-8"}}
			if diff := cmp.Diff(want, polled.Assigned); diff != "" {
				t.Errorf("assigned (-want +got):\n%s", diff)
			}
			again, err := second.ReadRange(ctx, tp, 4, 8)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(valueRange(4, 4), values(stream.Polled{Batches: []stream.Batch{{Records: again}}})); diff != "" {
				t.Errorf("range (-want +got):\n%s", diff)
			}
			// The intent turned out to be done: what it covers does not come again.
			if len(polled.Batches) > 0 {
				t.Fatalf("records came with the assignment: %v", polled.Batches)
			}
			second.SkipTo(tp, 8)
			second.AllowRebalance()
			all := pollUntil(t, second, func(all stream.Polled) bool { return endOf(all) == 10 })
			if diff := cmp.Diff(valueRange(8, 2), values(all)); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConsumerIsWokenFromAPollThatWaits(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(1))
			commitInitial(t, cfg, "sink", inputs)
			c := newConsumer(t, cfg)
			pollUntil(t, c, func(all stream.Polled) bool { return len(all.Assigned) == 1 })
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			for range 3 {
				go c.Wake()
				if _, err := c.Poll(ctx); err != nil {
					t.Fatalf("nobody woke it: %v", err)
				}
			}
		})
	}
}

func TestConsumerKeepsItsPartitionsUntilItAllowsARebalance(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(2))
			commitInitial(t, cfg, "sink", inputs)
			put(t, cfg, inputs, 0, 0, 1)
			put(t, cfg, inputs, 1, 1, 1)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			first := newConsumer(t, cfg)
			held := map[stream.TopicPartition]stream.Commit{}
			for len(held) < 2 {
				polled, err := first.Poll(ctx)
				if err != nil {
					t.Fatal(err)
				}
				for _, b := range polled.Batches {
					held[b.TopicPartition] = stream.Commit{Offset: b.To, Metadata: "done"}
				}
			}
			// A second member wants a share while both batches are being worked on.
			other := cfg
			other.ClientID = "other"
			second := newConsumer(t, other)
			select {
			case <-first.RebalanceWanted():
			case <-ctx.Done():
				t.Fatal("nobody said that a rebalance is wanted")
			}
			if err := first.Commit(ctx, held); err != nil {
				t.Fatalf("commit while a rebalance waits: %v", err)
			}
			first.AllowRebalance()
			moved := make(chan stream.Polled, 1)
			stop := inBackground(t, func(ctx context.Context) error {
				for ctx.Err() == nil {
					polled, err := first.Poll(ctx)
					if len(polled.Lost) > 0 {
						moved <- polled
					}
					first.AllowRebalance()
					if err != nil {
						return err
					}
				}
				return nil
			})
			all := pollUntil(t, second, func(all stream.Polled) bool { return len(all.Assigned) > 0 })
			lost := <-moved
			_ = stop()
			if diff := cmp.Diff([]stream.TopicPartition{all.Assigned[0].TopicPartition}, lost.Lost); diff != "" {
				t.Errorf("the first lost what the second got (-assigned +lost):\n%s", diff)
			}
			want := []stream.Assignment{{TopicPartition: lost.Lost[0], Offset: 1, Metadata: "done"}}
			if diff := cmp.Diff(want, all.Assigned); diff != "" {
				t.Errorf("assigned (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConsumerThatWasEjectedCannotCommit(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(1))
			commitInitial(t, cfg, "sink", inputs)
			put(t, cfg, inputs, 0, 0, 1)
			// The group waits for the longest timeout of its members.
			impatient := func(cc *stream.ConsumerConfig) { cc.RebalanceTimeout = time.Second }
			slow := newConsumer(t, cfg, impatient)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			held := map[stream.TopicPartition]stream.Commit{}
			for len(held) == 0 {
				polled, err := slow.Poll(ctx)
				if err != nil {
					t.Fatal(err)
				}
				for _, b := range polled.Batches {
					held[b.TopicPartition] = stream.Commit{Offset: b.To, Metadata: "late"}
				}
			}
			// It holds on to its batch for longer than the group waits for it.
			other := cfg
			other.ClientID = "other"
			second := newConsumer(t, other, impatient)
			all := pollUntil(t, second, func(all stream.Polled) bool { return len(all.Batches) > 0 })
			if err := slow.Commit(ctx, held); !errors.Is(err, stream.ErrRebalanced) {
				t.Errorf("commit of an ejected member: %v, want ErrRebalanced", err)
			}
			if diff := cmp.Diff(valueRange(0, 1), values(all)); diff != "" {
				t.Errorf("values of the new owner (-want +got):\n%s", diff)
			}
			if at := committedOffsets(t, cfg, "sink")[0]; at != 0 {
				t.Errorf("committed %d, want 0", at)
			}
		})
	}
}

func TestConsumerNeverStartsOverSilently(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(1))
			put(t, cfg, inputs, 0, 0, 10)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			lostOffset := func() *stream.OffsetLostError {
				t.Helper()
				c := newConsumer(t, cfg)
				defer c.Close()
				for {
					_, err := c.Poll(ctx)
					var lost *stream.OffsetLostError
					switch {
					case errors.As(err, &lost):
						return lost
					case err != nil:
						t.Fatalf("poll: %v", err)
					}
					c.AllowRebalance()
				}
			}
			tp := stream.TopicPartition{Topic: cfg.Topic(inputs), Partition: 0}
			want := &stream.OffsetLostError{Group: cfg.Group("sink"), TopicPartition: tp, Offset: -1, LogStart: -1, LogEnd: -1}
			if diff := cmp.Diff(want, lostOffset()); diff != "" {
				t.Errorf("without an offset (-want +got):\n%s", diff)
			}
			commitInitial(t, cfg, "sink", inputs)
			deleteBelow(t, cfg, inputs, 0, 5)
			want = &stream.OffsetLostError{Group: cfg.Group("sink"), TopicPartition: tp, Offset: 0, LogStart: 5, LogEnd: 10}
			if diff := cmp.Diff(want, lostOffset()); diff != "" {
				t.Errorf("with an offset before the log (-want +got):\n%s", diff)
			}
			c := newConsumer(t, cfg)
			var lost *stream.OffsetLostError
			if _, err := c.ReadRange(ctx, tp, 2, 8); !errors.As(err, &lost) {
				t.Errorf("read range: %v, want an OffsetLostError", err)
			} else if diff := cmp.Diff(int64(2), lost.Offset, cmpopts.EquateErrors()); diff != "" {
				t.Errorf("lost offset (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConsumerRefusesMetadataThatNoBrokerWouldKeep(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			c := newConsumer(t, cfg)
			err := c.Commit(t.Context(), map[stream.TopicPartition]stream.Commit{
				{Topic: cfg.Topic(inputs)}: {Metadata: strings.Repeat("x", stream.MaxMetadataBytes+1)},
			})
			if err == nil || !strings.Contains(err.Error(), "4097 bytes") {
				t.Errorf("commit: %v, want a refusal that names the size", err)
			}
		})
	}
}
