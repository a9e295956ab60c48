package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// abortPause keeps aborts from following each other as fast as they can be made.
const abortPause = 20 * time.Millisecond

// record appends the outcomes that wait and commits how far each partition has come, in one transaction. What did not get
// into the log waits for the next one.
func (c *Tracked) record(ctx context.Context, session *kgo.GroupTransactSession) error {
	for {
		more, err := c.recordSome(ctx, session)
		if err != nil || !more {
			return err
		}
	}
}

// recordSome records one transaction's worth of outcomes, and says whether there are enough for another.
func (c *Tracked) recordSome(ctx context.Context, session *kgo.GroupTransactSession) (more bool, err error) {
	tasks, commits := c.gather()
	if len(tasks) == 0 && len(commits) == 0 {
		return false, nil
	}
	var outputs []*Record
	for _, t := range tasks {
		for _, r := range t.outputs {
			if err := c.checkOutput(r); err != nil {
				return false, err
			}
			// After an abort the record still has the context of the transaction before, which has ended.
			r.Context = nil //nolint:fatcontext // it is taken away
			// It also has the time of that try, from which the library counts how long it may take. An outcome that has waited
			// for longer, because of a pause or a rebalance, would be given up at once each time.
			r.Timestamp = time.Time{}
			outputs = append(outputs, r)
		}
	}
	start := time.Now()
	if err := session.Begin(); err != nil {
		return false, fmt.Errorf("begin transaction: %w", err)
	}
	end, cancel := c.endContext(ctx)
	defer cancel()
	failed := produceAll(end, session, outputs)
	committed, err := session.End(c.withPositions(end, commits), kgo.TransactionEndTry(failed == nil))
	c.metrics.seconds.Observe(time.Since(start).Seconds())
	c.metrics.batch.Observe(float64(len(tasks)))
	switch {
	case err != nil:
		c.metrics.transactions.WithLabelValues("failed").Inc()
		return false, errors.Join(fmt.Errorf("end transaction: %w", err), failed)
	case !committed:
		c.metrics.transactions.WithLabelValues("aborted").Inc()
		if failed != nil {
			return false, fmt.Errorf("produce outcomes: %w", failed)
		}
		c.deps.Log.DebugContext(ctx, "transaction aborted by a rebalance", "role", c.tc.Role)
		_ = pause(ctx, abortPause) // it ends early only with ctx, which the loop looks at
		return false, nil
	}
	c.metrics.transactions.WithLabelValues("committed").Inc()
	c.metrics.outputs.Add(float64(len(outputs)))
	more = c.recorded(tasks, commits)
	for _, t := range tasks {
		if t.recorded != nil {
			t.recorded()
		}
	}
	return more, nil
}

// gather takes the oldest outcomes whose partitions are ours, and computes what to commit for every partition of ours. It
// gives no commits where nothing has changed.
func (c *Tracked) gather() ([]*Task, map[TopicPartition]Commit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var tasks []*Task
	done := map[TopicPartition]map[int64]struct{}{}
	for _, t := range c.settled {
		p := c.parts[t.tp]
		// Outcomes that were settled together stand behind each other, and are not parted.
		if n := len(tasks); n >= c.tc.MaxOutcomes && (t.together == nil || t.together != tasks[n-1].together) {
			break
		}
		if p == nil || p.tasks[t.Record.Offset] != t {
			continue
		}
		tasks = append(tasks, t)
		if t.again {
			continue // its record is finished
		}
		if done[t.tp] == nil {
			done[t.tp] = map[int64]struct{}{}
		}
		done[t.tp][t.Record.Offset] = struct{}{}
	}
	commits := make(map[TopicPartition]Commit, len(c.parts))
	changed := len(tasks) > 0
	for tp, p := range c.parts {
		at := p.position(done[tp])
		commits[tp] = at
		changed = changed || at.Offset != p.committed.Offset
	}
	if !changed {
		return nil, nil
	}
	return tasks, commits
}

// withPositions has the transaction commit our positions in place of those that the library would, which are the polled
// ones. Every partition is named: the group then refuses the whole transaction of a member that it has given up.
func (c *Tracked) withPositions(ctx context.Context, commits map[TopicPartition]Commit) context.Context {
	return kgo.PreTxnCommitFnContext(ctx, func(req *kmsg.TxnOffsetCommitRequest) error {
		missing := maps.Clone(commits)
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				p := &req.Topics[i].Partitions[j]
				tp := TopicPartition{req.Topics[i].Topic, p.Partition}
				at, ours := commits[tp]
				if !ours {
					return fmt.Errorf("partition %s was polled and is not ours", tp)
				}
				p.Offset, p.LeaderEpoch, p.Metadata = at.Offset, -1, &at.Metadata
				delete(missing, tp)
			}
		}
		for tp, at := range missing {
			i := slices.IndexFunc(req.Topics, func(t kmsg.TxnOffsetCommitRequestTopic) bool { return t.Topic == tp.Topic })
			if i < 0 {
				t := kmsg.NewTxnOffsetCommitRequestTopic()
				t.Topic = tp.Topic
				req.Topics = append(req.Topics, t)
				i = len(req.Topics) - 1
			}
			p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
			p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = tp.Partition, at.Offset, -1, &at.Metadata
			req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
		}
		return nil
	})
}

// recorded notes that a transaction has committed, and says whether enough outcomes for another are there.
func (c *Tracked) recorded(tasks []*Task, commits map[TopicPartition]Commit) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range tasks {
		t.state, t.outputs = taskOver, nil
		if p := c.parts[t.tp]; p != nil {
			if !t.again {
				p.finish(t.Record.Offset)
			}
			delete(p.tasks, t.Record.Offset)
			c.bytes -= t.size
		}
	}
	for tp, at := range commits {
		if p := c.parts[tp]; p != nil {
			p.committed = at
		}
	}
	c.settled = slices.DeleteFunc(c.settled, func(t *Task) bool { return t.state == taskOver })
	return len(c.settled) >= c.tc.MaxOutcomes
}

func (c *Tracked) checkOutput(r *Record) error {
	if !slices.Contains(c.cfg.Topics(c.tc.Outputs...), r.Topic) {
		return fmt.Errorf("%w: output to %q, which is not one of its topics", ErrStop, r.Topic)
	}
	if _, err := Origin(r); err != nil {
		return fmt.Errorf("%w: output to %s: %w", ErrStop, r.Topic, err)
	}
	if n := RecordSize(r); n > c.tc.MaxRecordBytes {
		return fmt.Errorf("output to %s has %d bytes: %w", r.Topic, n, ErrTooLarge)
	}
	return nil
}
