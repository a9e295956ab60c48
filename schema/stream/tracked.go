package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/topic"
)

// TrackedConfig says what a Tracked reads and writes.
type TrackedConfig struct {
	// Role names the consumer group and begins the transactional id.
	Role string
	// Instance tells the processes of a role apart, and is stable over restarts.
	Instance string
	// Inputs are the topics that are read.
	Inputs []topic.Name
	// Outputs are the topics that are written.
	Outputs []topic.Name
	// Window bounds the records of one partition that are handed out and not finished; 1,000 by default.
	Window int
	// WindowBytes bounds the bytes of all records that are handed out and not finished; 64 MiB by default. A record that is
	// larger is handed out alone.
	WindowBytes int64
	// Linger is how long an outcome waits for others to share its transaction; 20 ms by default.
	Linger time.Duration
	// MaxOutcomes bounds the outcomes of a transaction; 1,000 by default.
	MaxOutcomes int
	// Drain is how long a rebalance waits for tasks that have begun; 15 s by default. It must be less than
	// RebalanceTimeout.
	Drain time.Duration
	// StopGrace is how long Run waits at its end for tasks that have begun; 3 s by default.
	StopGrace time.Duration
	// TxnTimeout, SessionTimeout and RebalanceTimeout are as in ProcessorConfig; the last is 60 s by default.
	TxnTimeout, SessionTimeout, RebalanceTimeout time.Duration
	// MaxRecordBytes is the largest output that is taken, by RecordSize; topic.MaxRecordBytes by default.
	MaxRecordBytes int
	// Assigned is called by Run for each partition that was assigned, before any record of it is handed out, and when no
	// transaction of its former owner is open any more. An error ends the session, and another one begins. It may be nil.
	Assigned func(ctx context.Context, tp TopicPartition) error
	// Lost is called for each partition that has gone, after which nothing of its bound tasks counts. It may be nil.
	Lost func(tp TopicPartition)
}

func (c TrackedConfig) withDefaults() TrackedConfig {
	orElse := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	orElse(&c.Linger, 20*time.Millisecond)
	orElse(&c.Drain, 15*time.Second)
	orElse(&c.StopGrace, 3*time.Second)
	orElse(&c.TxnTimeout, 10*time.Second)
	orElse(&c.SessionTimeout, 10*time.Second)
	orElse(&c.RebalanceTimeout, time.Minute)
	if c.Window == 0 {
		c.Window = 1000
	}
	if c.WindowBytes == 0 {
		c.WindowBytes = 64 << 20
	}
	if c.MaxOutcomes == 0 {
		c.MaxOutcomes = 1000
	}
	if c.MaxRecordBytes == 0 {
		c.MaxRecordBytes = topic.MaxRecordBytes
	}
	return c
}

// Validate reports everything that is wrong with a TrackedConfig.
func (c TrackedConfig) Validate() error {
	var errs []error
	if c.Role == "" || c.Instance == "" {
		errs = append(errs, errors.New("role and instance are needed"))
	}
	if len(c.Inputs) == 0 || len(c.Outputs) == 0 {
		errs = append(errs, errors.New("input and output topics are needed"))
	}
	if d := c.withDefaults(); d.Drain >= d.RebalanceTimeout {
		errs = append(errs, errors.New("a drain must be shorter than the rebalance timeout"))
	}
	return errors.Join(errs...)
}

// Tracked reads topics in a group, hands each record out as a Task, and takes the outcomes of tasks in any order. The
// outcomes, and what of the input they finish, are committed in one transaction: in the log every record has one outcome.
// What is done between Begin and Settle can happen twice, but only where the process died meanwhile, or was so slow that
// the group gave its partition to somebody else.
type Tracked struct {
	cfg     Config
	tc      TrackedConfig
	deps    Deps
	metrics *processorMetrics
	group   string
	take    func(context.Context, *Task)

	// mu guards everything below. No request is made under it, and nobody else's code is called.
	mu sync.Mutex
	// parts are the partitions that are ours, as far as the loop knows; notes are what the group told since.
	parts map[TopicPartition]*trackedPart
	notes []note
	// orphans are tasks that had begun when their partition was taken away. Where it comes back, their outcomes count.
	orphans  map[TopicPartition][]*Task
	metadata map[TopicPartition]string
	// settled are outcomes that wait for a transaction, the oldest first.
	settled []*Task
	// begun counts tasks between Begin and Settle; bytes are those of all tasks that are handed out.
	begun int
	bytes int64
	// opened is closed while tasks may begin; it is another channel while they must wait.
	opened chan struct{}
	closed bool
	// moved is closed and replaced whenever begun gets smaller.
	moved   chan struct{}
	wanted  bool
	revoked bool
	woken   bool
	wake    context.CancelFunc
	missing *OffsetLostError
	open    bool
	joined  bool
}

// trackedPart is one assignment of a partition.
type trackedPart struct {
	*tracker

	tasks map[int64]*Task
	// held are records that were polled and may not be handed out yet.
	held   []*Record
	paused bool
	// committed is what the last transaction committed.
	committed Commit
}

// note is what the group told: a partition was lost, or assigned with what is committed for it.
type note struct {
	tp       TopicPartition
	assigned bool
	commit   Commit
}

// NewTracked checks the configuration; it connects to nothing yet. take is called by Run, with its
// context, for each new record, in order within a partition, and must not block.
func NewTracked(cfg Config, tc TrackedConfig, take func(context.Context, *Task), deps Deps) (*Tracked, error) {
	if err := errors.Join(cfg.Validate(), tc.Validate()); err != nil {
		return nil, fmt.Errorf("configure tracked consumer %s: %w", tc.Role, err)
	}
	tc = tc.withDefaults()
	opened := make(chan struct{})
	close(opened)
	return &Tracked{
		cfg: cfg, tc: tc, deps: deps, metrics: newProcessorMetrics(deps.Reg, tc.Role), group: cfg.Group(tc.Role), take: take,
		parts:   map[TopicPartition]*trackedPart{},
		orphans: map[TopicPartition][]*Task{}, metadata: map[TopicPartition]string{}, opened: opened, moved: make(chan struct{}),
	}, nil
}

// Ready is nil while Run is a member of its group.
func (c *Tracked) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.open:
		return fmt.Errorf("consumer %s has no session", c.tc.Role)
	case !c.joined:
		return fmt.Errorf("consumer %s has not joined its group", c.tc.Role)
	default:
		return nil
	}
}

// Run hands records out until ctx ends, and then returns nil once what has begun has ended, or StopGrace is over. It
// survives the loss of brokers and of its session; tasks that have begun go on meanwhile, and their outcomes are kept. It
// returns an error that names the way out for what no retry can heal.
func (c *Tracked) Run(ctx context.Context) error {
	failures := 0
	for !ended(ctx) {
		start := time.Now()
		err := c.session(ctx)
		c.forget()
		if ended(ctx) {
			break
		}
		var lost *OffsetLostError
		if errors.As(err, &lost) || errors.Is(err, ErrStop) || errors.Is(err, ErrTooLarge) {
			return fmt.Errorf("run consumer %s: %w", c.tc.Role, err)
		}
		if time.Since(start) > time.Minute {
			failures = 0
		}
		failures++
		wait := backoff(failures)
		c.deps.Log.WarnContext(ctx, "consumer session ended, opening another", "role", c.tc.Role, "error", err,
			"failures", failures, "wait", wait)
		_ = pause(ctx, wait) // it ends early only with ctx, which ends the loop
	}
	return nil
}

// session polls, hands out and commits until ctx ends or the session cannot be used any more.
func (c *Tracked) session(ctx context.Context) error {
	removePredecessor(ctx, c.cfg, c.tc.Role, c.tc.Instance, c.deps.Log)
	session, err := c.openSession()
	if err != nil {
		return err
	}
	defer closeClient(ctx, session.Client())
	// Nothing begins that could not be recorded.
	defer c.shut()
	c.metrics.sessions.Inc()
	// What a predecessor with our transactional id left open is ended by asking; until then it holds back our offsets.
	if _, _, err := session.Client().ProducerID(ctx); err != nil {
		return fmt.Errorf("fence predecessor: %w", err)
	}
	c.mu.Lock()
	c.open = true
	c.mu.Unlock()
	for idle := time.Now(); ; {
		if ended(ctx) {
			return c.stop(ctx, session)
		}
		if err := c.settleNotes(ctx, session); err != nil {
			return err
		}
		c.mu.Lock()
		wanted := c.wanted
		c.mu.Unlock()
		if wanted {
			if err := c.yield(ctx, session); err != nil {
				return err
			}
			continue
		}
		if c.due() || time.Since(idle) > time.Second {
			idle = time.Now()
			if err := c.record(ctx, session); err != nil {
				return err
			}
		}
		c.handOut(ctx, session.Client())
		if err := c.poll(ctx, session); err != nil {
			return err
		}
	}
}

// stop lets what has begun end, records it and leaves.
func (c *Tracked) stop(ctx context.Context, session *kgo.GroupTransactSession) error {
	ctx = context.WithoutCancel(ctx)
	c.shut()
	return c.finish(ctx, session, c.tc.StopGrace)
}

// finish waits for what has begun and records it. A transaction can be aborted although nothing is wrong with it; it is
// tried again for as long as the wait may take, because what is not recorded now is done again by somebody else.
func (c *Tracked) finish(ctx context.Context, session *kgo.GroupTransactSession, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	c.drain(ctx, limit)
	for {
		if err := c.record(ctx, session); err != nil {
			return err
		}
		c.mu.Lock()
		left := c.oldestLocked() != nil
		c.mu.Unlock()
		if !left || time.Now().After(deadline) {
			return nil
		}
		if err := c.settleNotes(ctx, session); err != nil {
			return err
		}
	}
}

// yield lets a rebalance happen: nothing begins, what has begun ends and is recorded, and only then partitions may go. A
// rebalance takes several steps; whatever of it is left asks again.
func (c *Tracked) yield(ctx context.Context, session *kgo.GroupTransactSession) error {
	c.shut()
	defer c.unshut()
	if err := c.finish(ctx, session, c.tc.Drain); err != nil {
		return err
	}
	c.mu.Lock()
	c.wanted = false
	c.mu.Unlock()
	session.AllowRebalance()
	// A poll that returns at once waits for the rebalance that is going on, and blocks the next one.
	done, cancel := context.WithCancel(ctx)
	cancel()
	session.PollRecords(done, 1)
	return c.settleNotes(ctx, session)
}

func (c *Tracked) tellLost(lost []TopicPartition) {
	if c.tc.Lost == nil {
		return
	}
	for _, tp := range lost {
		c.tc.Lost(tp)
	}
}

// shut keeps tasks from beginning.
func (c *Tracked) shut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed, c.opened = true, make(chan struct{})
	}
}

func (c *Tracked) unshut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		c.closed = false
		close(c.opened)
	}
}

// drain waits until no task is between Begin and Settle.
func (c *Tracked) drain(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		c.mu.Lock()
		begun, moved := c.begun, c.moved
		c.mu.Unlock()
		if begun == 0 {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			c.deps.Log.WarnContext(ctx, "tasks did not end in time", "role", c.tc.Role, "begun", begun)
			return
		}
	}
}

// forget notes that a session is closed: every partition is lost, and tasks may begin again when they are ours again.
func (c *Tracked) forget() {
	c.mu.Lock()
	c.notes = nil
	var lost []TopicPartition
	for tp := range c.parts {
		c.loseLocked(tp)
		lost = append(lost, tp)
	}
	c.open, c.joined, c.wanted, c.revoked, c.missing, c.wake = false, false, false, false, nil, nil
	c.mu.Unlock()
	c.tellLost(lost)
	c.unshut()
	c.metrics.partitions.Set(0)
}
