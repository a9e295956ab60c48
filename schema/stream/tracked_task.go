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
		c.settleLocked(t, outputs[i])
	}
}

// Settle gives the outcome of a task: the records to append, each with the task's record as its origin, its topic and its
// partition. A task that was not begun may be settled as well. Only the first call counts.
func (t *Task) Settle(outputs []*Record) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	t.c.settleLocked(t, outputs)
}

func (c *Tracked) settleLocked(t *Task, outputs []*Record) {
	switch t.state {
	case taskBegun:
		c.begun--
		close(c.moved)
		c.moved = make(chan struct{})
	case taskQueued:
	default:
		return
	}
	t.state, t.outputs, t.since = taskSettled, outputs, time.Now()
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
		switch t.state {
		case taskBegun, taskSettled:
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
