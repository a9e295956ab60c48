package stream

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/throughline/throughline/schema/topic"
)

// handedOut is a consumer with tasks of one partition that are handed out.
func handedOut(t *testing.T, n, maxOutcomes int) (*Tracked, []*Task) {
	t.Helper()
	c, err := NewTracked(Config{Brokers: []string{"127.0.0.1:1"}, ClientID: "test", Prefix: "test"}, TrackedConfig{
		Role: "r", Instance: "i", Inputs: []topic.Name{topic.Events}, Outputs: []topic.Name{topic.Objects}, MaxOutcomes: maxOutcomes,
	}, func(context.Context, *Task) {}, Deps{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	tp := TopicPartition{"events", 0}
	if err := c.gainLocked(tp, Commit{}); err != nil {
		t.Fatal(err)
	}
	p := c.parts[tp]
	for i := range n {
		p.held = append(p.held, &Record{Topic: tp.Topic, Offset: int64(i), Value: []byte("x")})
	}
	return c, c.admitLocked(tp, p)
}

func TestOutcomesThatWereSettledTogetherAreNotParted(t *testing.T) {
	t.Parallel()
	c, tasks := handedOut(t, 8, 3)
	if begun := BeginAll(t.Context(), tasks[:1]); len(begun) != 1 {
		t.Fatalf("%d have begun", len(begun))
	}
	tasks[0].Settle(nil)
	begun := BeginAll(t.Context(), tasks[:6])
	if len(begun) != 5 || begun[0] != tasks[1] || c.begun != 5 {
		t.Fatalf("%d have begun, want the five that had not", len(begun))
	}
	SettleAll(begun, make([][]*Record, 5))
	tasks[6].Settle(nil)
	if c.begun != 0 {
		t.Errorf("%d are under way", c.begun)
	}
	// The bound of three falls into the five, which go with the one before them; what comes after waits.
	got, commits := c.gather()
	if len(got) != 6 || commits[TopicPartition{"events", 0}].Offset != 6 {
		t.Errorf("%d outcomes in a transaction that commits %v, want 6", len(got), commits)
	}
}

func TestTasksThatBeginTogetherWaitForARebalanceTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, tasks := handedOut(t, 4, 10)
		c.shut()
		begun := make(chan int, 1)
		go func() { begun <- len(BeginAll(t.Context(), tasks)) }()
		synctest.Wait()
		if len(begun) > 0 || c.begun > 0 {
			t.Fatalf("%d began while none may", c.begun)
		}
		// One is over meanwhile.
		tasks[2].Settle(nil)
		c.unshut()
		if n := <-begun; n != 3 {
			t.Errorf("%d began, want 3", n)
		}
		c.shut()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if got := BeginAll(ended, tasks); got != nil {
			t.Errorf("%d began after the end", len(got))
		}
	})
}
