package stream

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

const (
	testStall = 2 * time.Second
	testTopic = "t"
)

// bench is a backlog of a topic with 12 partitions, and a record for each of some of them.
type bench struct {
	*backlog

	t *testing.T
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{newBacklog(testStall), t}
	b.partitions[testTopic] = 12
	return b
}

// on is a record of a partition.
func on(t *testing.T, partition int32) *Record {
	t.Helper()
	for key := byte(0); ; key++ {
		if PartitionOf([]byte{key}, 12) == partition {
			return &Record{Topic: testTopic, Key: []byte{key}}
		}
		if key == 255 {
			t.Fatalf("no key for partition %d", partition)
		}
	}
}

// send asks for one record of each of some partitions, in one call.
func (b *bench) send(partitions ...int32) []*lane {
	b.t.Helper()
	recs := make([]*Record, len(partitions))
	for i, p := range partitions {
		recs[i] = on(b.t, p)
	}
	return b.admit(recs, func(int) bool { return true })
}

// sent is send of one record that must be let in.
func (b *bench) sent(partition int32) *lane {
	b.t.Helper()
	l := b.send(partition)[0]
	if l == nil {
		b.t.Fatalf("a record of partition %d was refused", partition)
	}
	return l
}

func (b *bench) refused(partitions ...int32) {
	b.t.Helper()
	for _, p := range partitions {
		if b.send(p)[0] != nil {
			b.t.Errorf("a record of partition %d was let in", p)
		}
	}
}

func later(d time.Duration) { <-time.After(d) }

func TestBacklogRefusesAPartitionThatDoesNotAnswerAndNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		stuck := b.sent(3)
		for range 5 {
			later(testStall / 4)
			b.settle(b.sent(4), nil)
		}
		b.refused(3)
		lanes := b.send(3, 4, 3, 5)
		if lanes[0] != nil || lanes[2] != nil || lanes[1] == nil || lanes[3] == nil {
			t.Errorf("of a call for partitions 3, 4, 3, 5 went in: %v", lanes)
		}
		b.settle(stuck, nil)
		b.sent(3)
	})
}

func TestBacklogRefusesEverythingOnceNothingIsAcknowledged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		later(time.Hour) // an idle producer is no sign of anything
		first := b.sent(0)
		later(testStall / 2)
		b.sent(1)
		if err := b.stalled(); err != nil {
			t.Errorf("half way: %v", err)
		}
		later(testStall / 2)
		if err := b.stalled(); !errors.Is(err, ErrStalled) {
			t.Errorf("after the stall time: %v, want ErrStalled", err)
		}
		b.refused(0, 1, 2, 3, 4, 5)
		b.settle(first, nil) // the brokers are back
		for p := range int32(6) {
			b.sent(p)
		}
	})
}

func TestBacklogLetsATrialInWhileTheBrokersAreAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.sent(0)
		var trial *lane
		for p := int32(1); p < 6; p++ {
			later(testStall)
			b.refused(0) // its lane is stuck whatever else happens
			trial = b.sent(p)
			b.refused(p, p+1, p+2)
		}
		b.settle(trial, nil)
		b.sent(7)
	})
}

func TestBacklogTakesOneCallAtATimeAfterAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.settle(b.sent(0), ErrUnavailable)
		lanes := b.send(0, 0, 0)
		for i, l := range lanes {
			if l == nil {
				t.Fatalf("record %d of the call after the failure was refused", i)
			}
		}
		b.refused(0)
		b.sent(1)
		b.settle(lanes[0], nil)
		b.sent(0)
	})
}

func TestBacklogForgetsWhatTheClientDidNotTake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		oldest := b.sent(0)
		later(testStall / 2)
		b.settle(b.sent(0), refusedError{ErrOverloaded})
		b.sent(1)
		later(testStall / 2)
		b.refused(0, 1) // the oldest still waits
		b.settle(oldest, nil)
		b.settle(b.sent(0), nil)
		if n := len(b.lane(on(t, 0)).waiting); n != 0 {
			t.Errorf("%d entries are left of a lane where nothing waits", n)
		}
	})
}
