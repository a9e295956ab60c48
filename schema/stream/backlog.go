package stream

import (
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// backlog knows what a producer has sent and not heard of yet, and refuses more of it where nothing comes back. What is
// refused was never sent, so the caller can say for certain that nothing was done, and say it at once; without it every
// caller would wait for the record timeout and then know nothing.
//
// It goes by lanes, the partitions of topics, because one broker of many that is away takes its partitions with it and
// no others:
//
//   - A lane whose oldest record has waited for the stall time is refused until something comes back.
//   - A lane whose last record failed takes one call at a time, until a record of it is acknowledged.
//   - Where nothing at all was acknowledged for the stall time although a lane is in one of these states, the brokers are
//     away: a call is let in as a trial when none was for the stall time, and everything else is refused, whatever its
//     lane.
//
// What is under way when the brokers come back is acknowledged then, and is the first proof that they are back.
type backlog struct {
	stall time.Duration

	mu         sync.Mutex
	lanes      map[TopicPartition]*lane
	partitions map[string]int
	acked      time.Time // when something was acknowledged last
	admitted   time.Time // when a call was let in last
	call       uint64
}

// lane is what waits in one partition. The client settles a partition's records in their order.
type lane struct {
	waiting []sent // oldest first
	failed  bool   // the last one failed
	// open is what was decided for the call of this number: all of its records go in, or none.
	call uint64
	open bool
}

// sent are records of one call.
type sent struct {
	at time.Time
	n  int
}

// unknownPartition is the lane of records of a topic that nothing was sent to yet.
const unknownPartition = -1

func newBacklog(stall time.Duration) *backlog {
	return &backlog{stall: stall, lanes: map[TopicPartition]*lane{}, partitions: map[string]int{}, acked: time.Now()}
}

// partitioner chooses what every Kafka client chooses by default, and tells how many partitions a topic has: only the
// client knows.
func (b *backlog) partitioner() kgo.Partitioner {
	return kgo.BasicConsistentPartitioner(func(topic string) func(*Record, int) int {
		keyed := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
		return func(r *Record, n int) int {
			b.mu.Lock()
			b.partitions[topic] = n
			b.mu.Unlock()
			return keyed.Partition(r, n)
		}
	})
}

// admit decides which records may be sent: those with a lane in the answer, to which settle must be told what became of
// each. Records that want says no to are left out.
func (b *backlog) admit(recs []*Record, want func(i int) bool) []*lane {
	lanes := make([]*lane, len(recs))
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut(now) {
		return lanes
	}
	b.call++
	for i, r := range recs {
		if !want(i) {
			continue
		}
		l := b.lane(r)
		if l.call != b.call {
			l.call, l.open = b.call, l.takes(now, b.stall)
		}
		if !l.open {
			continue
		}
		l.add(now)
		lanes[i], b.admitted = l, now
	}
	return lanes
}

func (b *backlog) lane(r *Record) *lane {
	at := TopicPartition{Topic: r.Topic, Partition: unknownPartition}
	if n := b.partitions[r.Topic]; n > 0 && r.Key != nil {
		at.Partition = PartitionOf(r.Key, n)
	}
	l := b.lanes[at]
	if l == nil {
		l = &lane{}
		b.lanes[at] = l
	}
	return l
}

// settle notes what became of a record of a lane. An error that refuses it came before it was sent.
func (b *backlog) settle(l *lane, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err == nil:
		l.remove(0)
		l.failed, b.acked = false, time.Now()
	case isRefused(err):
		l.remove(len(l.waiting) - 1)
	default:
		l.remove(0)
		l.failed = true
	}
}

// stalled is nil, or says that everything is refused now.
func (b *backlog) stalled() error {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut(now) {
		return fmt.Errorf("%w: nothing for %s", ErrStalled, now.Sub(b.acked).Round(time.Millisecond))
	}
	return nil
}

// shut says whether no broker answers and no trial is due.
func (b *backlog) shut(now time.Time) bool {
	if now.Sub(b.acked) < b.stall || now.Sub(b.admitted) >= b.stall {
		return false
	}
	for _, l := range b.lanes {
		if l.failed || l.stalled(now, b.stall) {
			return true
		}
	}
	return false
}

func (l *lane) stalled(now time.Time, stall time.Duration) bool {
	return len(l.waiting) > 0 && now.Sub(l.waiting[0].at) >= stall
}

func (l *lane) takes(now time.Time, stall time.Duration) bool {
	return !l.stalled(now, stall) && (!l.failed || len(l.waiting) == 0)
}

func (l *lane) add(now time.Time) {
	if last := len(l.waiting) - 1; last >= 0 && l.waiting[last].at.Equal(now) {
		l.waiting[last].n++
		return
	}
	l.waiting = append(l.waiting, sent{now, 1})
}

// remove takes one record out of an entry.
func (l *lane) remove(i int) {
	if i < 0 || i >= len(l.waiting) {
		return
	}
	if l.waiting[i].n--; l.waiting[i].n > 0 {
		return
	}
	if i == 0 {
		l.waiting = l.waiting[1:]
		return
	}
	l.waiting = l.waiting[:i]
}

// errStalled refuses a record of a lane that is closed.
func errStalled() error {
	return refusedError{fmt.Errorf("%w: earlier records wait for their acknowledgement", ErrStalled)}
}
