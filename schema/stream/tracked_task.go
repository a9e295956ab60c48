package stream

import (
	"context"
	"time"
)

// taskState is where a task stands.
type taskState int

const (
	// taskQueued: handed out, not begun.
	taskQueued taskState = iota
	// taskBegun: being worked on.
	taskBegun
	// taskSettled: its outcome waits for its transaction.
	taskSettled
	// taskOver: its outcome is recorded, or it is somebody else's by now.
	taskOver
)

// Task is one record that was handed out. Its methods may be called from any goroutine.
type Task struct {
	Record *Record

	c       *Tracked
	tp      TopicPartition
	state   taskState
	outputs []*Record
	// since is when the task was settled, or orphaned.
	since time.Time
	size  int64
	// together is the same for tasks that were settled together, and nil for others.
	together *int
	// recorded is called once the outcome is in the log.
	recorded func()
	// bound says that the outcome counts in this assignment of the partition alone.
	bound bool
	// again says that the task's record is finished, and stays so: only its outcome is written.
	again bool
}

// Bind has the task's outcome count only as long as the partition stays where it is. It is for outcomes that depend on
// what was loaded when the partition was assigned (TrackedConfig.Assigned): when it has gone and come back, that was loaded
// anew, from a log that does not have them.
func (t *Task) Bind() {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	t.bound = true
}

// Again hands a record out once more that is finished, so that something more can be written for it, under the same
// protection as an outcome: only while the partition is ours. The task is bound, and its record has no more than its
// place. ours is false where the partition is somebody else's; the task is nil also where the record is not recorded as
// finished yet, or is handed out already.
func (c *Tracked) Again(at Offset) (task *Task, ours bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.parts[at.TopicPartition]
	if p == nil {
		return nil, false
	}
	if _, handedOut := p.tasks[at.Offset]; handedOut || !p.finished(at.Offset) {
		return nil, true
	}
	t := &Task{
		Record: &Record{Topic: at.Topic, Partition: at.Partition, Offset: at.Offset}, c: c, tp: at.TopicPartition, bound: true, again: true,
	}
	p.tasks[at.Offset] = t
	return t, true
}

// Begin says whether the task may be worked on. It waits while a rebalance is under way, and answers false where the
// partition is not ours any more, or ctx has ended. After true, Settle must follow.
func (t *Task) Begin(ctx context.Context) bool {
	for {
		t.c.mu.Lock()
		if t.state != taskQueued {
			t.c.mu.Unlock()
			return false
		}
		if !t.c.closed && ctx.Err() == nil {
			t.state = taskBegun
			t.c.begun++
			t.c.mu.Unlock()
			return true
		}
		opened := t.c.opened
		t.c.mu.Unlock()
		select {
		case <-opened:
			if ctx.Err() != nil {
				return false
			}
		case <-ctx.Done():
			return false
		}
	}
}

// Over says that the task is finished, or somebody else's by now: to work towards it is in vain.
func (t *Task) Over() bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	return t.state == taskOver
}

// BeginAll is Begin for tasks of one consumer that are worked on together: those that may be begin at one moment, so that a
// rebalance waits for all of them or for none. SettleAll must follow for what it gives.
func BeginAll(ctx context.Context, tasks []*Task) []*Task {
	for len(tasks) > 0 {
		c := tasks[0].c
		c.mu.Lock()
		if !c.closed && ctx.Err() == nil {
			var begun []*Task
			for _, t := range tasks {
				if t.state == taskQueued {
					t.state = taskBegun
					c.begun++
					begun = append(begun, t)
				}
			}
			c.mu.Unlock()
			return begun
		}
		opened := c.opened
		c.mu.Unlock()
		select {
		case <-opened:
			if ctx.Err() != nil {
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// SettleAll is Settle for tasks of one consumer whose outcomes belong together: they are recorded in one transaction, as far
// as their partitions are still ours. There may be as many as MaxOutcomes.
func SettleAll(tasks []*Task, outputs [][]*Record) {
	if len(tasks) == 0 {
		return
	}
	c := tasks[0].c
	c.mu.Lock()
	defer c.mu.Unlock()
	together := new(int)
	for i, t := range tasks {
		t.together = together
		c.settleLocked(t, outputs[i], nil)
	}
}

// Settle gives the outcome of a task: the records to append, each with the task's record as its origin, its topic and its
// partition. A task that was not begun may be settled as well. Only the first call counts.
func (t *Task) Settle(outputs []*Record) { t.SettleThen(outputs, nil) }

// SettleThen is Settle, and calls recorded when the outcome is in the log, from the loop that records: it must not block. It
// is never called where the outcome does not get there.
func (t *Task) SettleThen(outputs []*Record, recorded func()) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	t.c.settleLocked(t, outputs, recorded)
}

func (c *Tracked) settleLocked(t *Task, outputs []*Record, recorded func()) {
	switch t.state {
	case taskBegun:
		c.begun--
		close(c.moved)
		c.moved = make(chan struct{})
	case taskQueued:
	default:
		return
	}
	t.state, t.outputs, t.recorded, t.since = taskSettled, outputs, recorded, time.Now()
	c.settled = append(c.settled, t)
	if len(c.settled) == 1 || len(c.settled) == c.tc.MaxOutcomes {
		c.wakeLocked()
	}
}

func (c *Tracked) wakeLocked() {
	c.woken = true
	if c.wake != nil {
		c.wake()
	}
}

// orphanTime is how long the outcome of a task is kept whose partition was taken away. It is there for a session that is
// lost and opened again; a partition that has gone elsewhere for longer comes back with other news.
const orphanTime = 10 * time.Minute

// loseLocked gives a partition up. What has not begun is nobody's; what has begun may count once more.
func (c *Tracked) loseLocked(tp TopicPartition) {
	p := c.parts[tp]
	if p == nil {
		return
	}
	delete(c.parts, tp)
	kept := c.orphans[tp][:0]
	for _, t := range c.orphans[tp] {
		if time.Since(t.since) < orphanTime || t.state == taskBegun {
			kept = append(kept, t)
		} else {
			t.state = taskOver
		}
	}
	for _, t := range p.tasks {
		switch {
		case t.bound:
			if t.state == taskBegun {
				c.begun--
				close(c.moved)
				c.moved = make(chan struct{})
			}
			t.state, t.outputs = taskOver, nil
		case t.state == taskBegun, t.state == taskSettled:
			if t.since.IsZero() {
				t.since = time.Now()
			}
			kept = append(kept, t)
		default:
			t.state = taskOver
		}
		c.bytes -= t.size
	}
	c.orphans[tp] = kept
}

// gainLocked takes a partition over, with the tasks of ours that its log does not know the outcomes of.
func (c *Tracked) gainLocked(tp TopicPartition, at Commit) error {
	c.loseLocked(tp)
	tr, err := newTracker(at.Offset, at.Metadata)
	p := &trackedPart{tracker: tr, tasks: map[int64]*Task{}, committed: at}
	for _, t := range c.orphans[tp] {
		switch {
		case t.state == taskOver:
		case tr.keep(t.Record.Offset):
			p.tasks[t.Record.Offset] = t
			c.bytes += t.size
		case t.state == taskBegun:
			// Somebody else has recorded an outcome: ours is dropped when it comes.
			c.begun--
			close(c.moved)
			c.moved = make(chan struct{})
			t.state = taskOver
		default:
			t.state = taskOver
		}
	}
	delete(c.orphans, tp)
	c.parts[tp] = p
	return err
}
