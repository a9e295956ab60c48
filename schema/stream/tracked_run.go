package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// pollRecords bounds one poll of a Tracked: as many as one transaction takes, because what is settled at once, as deliveries
// are that are put off, is recorded before the next poll.
const pollRecords = 1000

func (c *Tracked) openSession() (*kgo.GroupTransactSession, error) {
	cfg := c.cfg.with(c.tc.Role)
	opts, err := commonOptions(cfg, c.deps.Log, c.deps.Reg)
	if err != nil {
		return nil, err
	}
	id := transactionalID(c.cfg, c.tc.Role, c.tc.Instance)
	opts = append(opts, traceOptions(cfg, c.deps, c.group)...)
	opts = append(opts, transactOptions(c.group, id, c.tc.TxnTimeout, c.tc.SessionTimeout, c.tc.RebalanceTimeout, c.tc.MaxRecordBytes)...)
	session, err := kgo.NewGroupTransactSession(append(opts,
		kgo.ClientID(memberID(c.cfg, c.tc.Role, c.tc.Instance)), // over that of the other clients: see removePredecessor
		kgo.ConsumeTopics(c.cfg.Topics(c.tc.Inputs...)...),
		// No partition goes while a task of it is under way and its outcome can still be recorded.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsCallbackBlocked(c.onBlocked),
		kgo.OnPartitionsAssigned(c.onAssigned),
		kgo.OnPartitionsRevoked(c.onRevoked),
		kgo.OnPartitionsLost(c.onRevoked),
		kgo.OnOffsetsFetched(c.onFetched),
		kgo.AdjustFetchOffsetsFn(c.onOffsets),
		kgo.FetchMaxBytes(4<<20),
		kgo.FetchMaxPartitionBytes(2<<20),
	)...)
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	return session, nil
}

func (c *Tracked) onBlocked(context.Context, *kgo.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = true
	c.wakeLocked()
}

func (c *Tracked) onAssigned(context.Context, *kgo.Client, map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joined = true
}

func (c *Tracked) onRevoked(_ context.Context, _ *kgo.Client, revoked map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, ps := range revoked {
		for _, p := range ps {
			c.notes = append(c.notes, note{tp: TopicPartition{name, p}})
			c.revoked = true
		}
	}
	c.wakeLocked()
}

func (c *Tracked) onFetched(ctx context.Context, client *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	fetched, err := committedMetadata(ctx, resp, func(ctx context.Context, id [16]byte) (string, error) {
		return topicName(ctx, client, c.cfg.Topics(c.tc.Inputs...), id)
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.Copy(c.metadata, fetched)
	return nil
}

// topicName finds which of some topics has an id.
func topicName(ctx context.Context, client *kgo.Client, names []string, id [16]byte) (string, error) {
	_, metas, err := describe(ctx, client, names)
	if err != nil {
		return "", err
	}
	for name, meta := range metas {
		if meta.id == id {
			return name, nil
		}
	}
	return "", fmt.Errorf("topic id %x is of no topic that is consumed: %w", id, kerr.UnknownTopicID)
}

// onOffsets runs after onFetched and before the first fetch of a partition.
func (c *Tracked) onOffsets(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, ps := range offsets {
		for p, o := range ps {
			tp := TopicPartition{name, p}
			at := o.EpochOffset().Offset
			if at < 0 {
				c.missing = &OffsetLostError{Group: c.group, TopicPartition: tp, Offset: -1, LogStart: -1, LogEnd: -1}
				continue
			}
			c.notes = append(c.notes, note{tp: tp, assigned: true, commit: Commit{Offset: at, Metadata: c.metadata[tp]}})
		}
	}
	c.wakeLocked()
	return offsets, nil
}

// settleNotes does what the group told. The session remembers a revoke until a transaction ends, and would abort ours: one
// that never began takes it.
func (c *Tracked) settleNotes(ctx context.Context, session *kgo.GroupTransactSession) error {
	c.mu.Lock()
	revoked, missing := c.revoked, c.missing
	c.revoked = false
	gained, lost := c.heedLocked(ctx, session.Client().CommittedOffsets())
	c.metrics.partitions.Set(float64(len(c.parts)))
	c.mu.Unlock()
	c.tellLost(lost)
	if c.tc.Assigned != nil {
		for _, tp := range gained {
			if err := c.tc.Assigned(ctx, tp); err != nil {
				return fmt.Errorf("take over %s: %w", tp, err)
			}
		}
	}
	// An earlier assignment may have left a partition paused.
	for _, tp := range gained {
		session.Client().ResumeFetchPartitions(map[string][]int32{tp.Topic: {tp.Partition}})
	}
	if missing != nil {
		return missing
	}
	if !revoked {
		return nil
	}
	end, cancel := c.endContext(ctx)
	defer cancel()
	if _, err := session.End(end, kgo.TryAbort); err != nil {
		return fmt.Errorf("end the session's note of a revoke: %w", err)
	}
	return nil
}

// heedLocked gains and loses partitions as the group told, and as the client has them. The session tells of one revoke only
// until a transaction ends, and to commit for a partition that has gone would set its new owner back: so what counts is what
// the client has. An assignment is told right before the client has it, and its note is kept until then. Whoever takes the
// client's word for it too early would lose the partition again, and drop its records for as long as it stays here.
func (c *Tracked) heedLocked(ctx context.Context, ours map[string]map[int32]kgo.EpochOffset) (gained, lost []TopicPartition) {
	owned := func(tp TopicPartition) bool {
		_, ok := ours[tp.Topic][tp.Partition]
		return ok
	}
	notes := c.notes
	c.notes = nil
	for _, n := range notes {
		switch {
		case !n.assigned:
			c.loseLocked(n.tp)
			lost = append(lost, n.tp)
			c.notes = slices.DeleteFunc(c.notes, func(kept note) bool { return kept.tp == n.tp })
		case owned(n.tp):
			lost = append(lost, n.tp)
			gained = append(gained, n.tp)
			if err := c.gainLocked(n.tp, n.commit); err != nil {
				c.deps.Log.WarnContext(ctx, "committed metadata is not of a tracker: what was finished out of order is done again",
					"role", c.tc.Role, "partition", n.tp.String(), "error", err)
			}
		default:
			// A later assignment of the partition is heeded after this one, and is what stays.
			c.notes = append(c.notes, n)
		}
	}
	for tp := range c.parts {
		if !owned(tp) {
			c.loseLocked(tp)
			lost = append(lost, tp)
		}
	}
	gained = slices.DeleteFunc(gained, func(tp TopicPartition) bool { return c.parts[tp] == nil })
	return gained, lost
}

// endContext outlives the service's: an end that is cut off leaves a transaction whose outcome nobody knows.
func (c *Tracked) endContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 2*c.tc.TxnTimeout)
}

// due says whether a transaction should be made now.
func (c *Tracked) due() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	oldest := c.oldestLocked()
	return oldest != nil && (len(c.settled) >= c.tc.MaxOutcomes || time.Since(oldest.since) >= c.tc.Linger)
}

// oldestLocked is the outcome that has waited longest of those that can be recorded: others wait for their partitions.
func (c *Tracked) oldestLocked() *Task {
	for _, t := range c.settled {
		if p := c.parts[t.tp]; p != nil && p.tasks[t.Record.Offset] == t {
			return t
		}
	}
	return nil
}

// pollForLocked is how long the next poll may wait.
func (c *Tracked) pollForLocked() time.Duration {
	if oldest := c.oldestLocked(); oldest != nil {
		return max(c.tc.Linger-time.Since(oldest.since), time.Millisecond)
	}
	return time.Second
}

// poll waits for records and sets them aside to be handed out.
func (c *Tracked) poll(ctx context.Context, session *kgo.GroupTransactSession) error {
	c.mu.Lock()
	ctx, cancel := context.WithTimeout(ctx, c.pollForLocked())
	defer cancel()
	c.wake = cancel
	if c.woken && (len(c.notes) > 0 || c.wanted || len(c.settled) >= c.tc.MaxOutcomes) {
		cancel()
	}
	c.woken = false
	idle := c.begun == 0 && len(c.settled) == 0 && c.tasksLocked() == 0
	c.mu.Unlock()
	if idle {
		// Nothing is under way, so nothing has to be waited for; a poll that brings something blocks again.
		session.AllowRebalance()
	}
	fetches := session.PollRecords(ctx, pollRecords)
	for _, fe := range fetches.Errors() {
		var group *kgo.ErrGroupSession
		switch {
		case errors.Is(fe.Err, context.Canceled), errors.Is(fe.Err, context.DeadlineExceeded), errors.As(fe.Err, &group):
			// A wake-up, the end, or news that the library rejoins by itself.
		case errors.Is(fe.Err, kerr.OffsetOutOfRange):
			tp := TopicPartition{fe.Topic, fe.Partition}
			return offsetLost(context.WithoutCancel(ctx), session.Client(), c.group, tp, c.committedAt(tp))
		default:
			return fmt.Errorf("poll %s/%d: %w", fe.Topic, fe.Partition, fe.Err)
		}
	}
	// No callback has run since the poll returned, so that ownership and records fit together.
	if err := c.settleNotes(context.WithoutCancel(ctx), session); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	fetches.EachPartition(func(fp kgo.FetchTopicPartition) {
		if p := c.parts[TopicPartition{fp.Topic, fp.Partition}]; p != nil {
			p.held = append(p.held, fp.Records...)
		}
	})
	return nil
}

// committedAt is the low-water mark of a partition in the log.
func (c *Tracked) committedAt(tp TopicPartition) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.parts[tp]; p != nil {
		return p.committed.Offset
	}
	return -1
}

func (c *Tracked) tasksLocked() int {
	n := 0
	for _, p := range c.parts {
		n += len(p.tasks) + len(p.held)
	}
	return n
}

// handOut gives as many of the records away as the windows allow. A partition whose records have to wait is not fetched.
func (c *Tracked) handOut(ctx context.Context, client *kgo.Client) {
	var tasks []*Task
	pause, resume := map[string][]int32{}, map[string][]int32{}
	c.mu.Lock()
	for tp, p := range c.parts {
		tasks = append(tasks, c.admitLocked(tp, p)...)
		switch {
		case len(p.held) > 0 && !p.paused:
			p.paused = true
			pause[tp.Topic] = append(pause[tp.Topic], tp.Partition)
		case len(p.held) == 0 && p.paused:
			p.paused = false
			resume[tp.Topic] = append(resume[tp.Topic], tp.Partition)
		}
	}
	c.mu.Unlock()
	if len(pause) > 0 {
		client.PauseFetchPartitions(pause)
	}
	if len(resume) > 0 {
		client.ResumeFetchPartitions(resume)
	}
	for _, t := range tasks {
		c.take(ctx, t)
	}
}

// admitLocked takes records of a partition out of those that are held, up to the first that has to wait.
func (c *Tracked) admitLocked(tp TopicPartition, p *trackedPart) []*Task {
	var tasks []*Task
	taken := 0
	for _, r := range p.held {
		size := int64(RecordSize(r))
		full := len(p.tasks) >= c.tc.Window || c.bytes > 0 && c.bytes+size > c.tc.WindowBytes
		if !p.fits(r.Offset) || full && !IsControl(r) {
			break
		}
		taken++
		if IsControl(r) {
			p.skip(r.Offset)
			continue
		}
		if !p.poll(r.Offset) {
			c.metrics.skipped.Inc()
			continue
		}
		t := &Task{Record: r, c: c, tp: tp, size: size}
		p.tasks[r.Offset] = t
		c.bytes += size
		tasks = append(tasks, t)
	}
	p.held = p.held[taken:]
	if len(p.held) == 0 {
		p.held = nil
	}
	return tasks
}
