package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
)

// stopGrace is how long a batch may take to be finished once the projector is asked to stop. What is not finished by
// then is finished, from its intent, by the next start.
const stopGrace = 4 * time.Second

// worker keeps one table up to date: one consumer group, one loop.
type worker struct {
	p       projections.Projection
	cfg     Config
	deps    Deps
	keys    *keyring
	sink    *sink
	metrics *metrics
	log     *slog.Logger
	// names are the topics' names without the prefix, by their full names.
	names map[string]topic.Name
	// trouble is why the worker does not get on; nil while it does.
	trouble atomic.Pointer[string]
}

func newWorker(p projections.Projection, cfg Config, deps Deps, view *stream.View, m *metrics) *worker {
	log := deps.Log.With(slog.String("table", p.Table))
	w := &worker{
		p: p, cfg: cfg, deps: deps, metrics: m, log: log,
		keys:  newKeyring(view, deps.Master, m.redacted.WithLabelValues(p.Table).Inc),
		names: map[string]topic.Name{},
	}
	w.sink = &sink{conn: deps.Store, p: p, timeout: cfg.InsertTimeout, log: log, metrics: m, trouble: w.setTrouble}
	for _, name := range p.Topics {
		w.names[deps.Kafka.Topic(name)] = name
	}
	return w
}

// run works until the context ends. After an error that may pass it leaves the group, which gives everything that is
// in memory up, and joins anew: the committed offsets and their intents say where to go on.
func (w *worker) run(ctx context.Context) error {
	wait := firstWait
	for ctx.Err() == nil {
		worked, err := w.session(ctx)
		if wait = min(2*wait, lastWait); worked {
			wait = firstWait
		}
		switch {
		case ctx.Err() != nil: // the error comes from being stopped, and the intents remember the rest
		case stops(err):
			return fmt.Errorf("project %s: %w", w.p.Table, err)
		default:
			w.metrics.reopened.WithLabelValues(w.p.Table).Inc()
			w.setTrouble(err)
			w.log.WarnContext(ctx, "group is joined anew", slog.Duration("wait", wait), slog.String("error", err.Error()))
			_ = pause(ctx, wait) // the loop looks at the context itself
		}
	}
	return nil
}

// stops says whether an error is for an operator.
func stops(err error) bool {
	_, lost := errors.AsType[*stream.OffsetLostError](err)
	return lost || errors.Is(err, ErrInsert) || errors.Is(err, ErrIntent) || errors.Is(err, ErrMasterKey)
}

func (w *worker) setTrouble(err error) {
	if err == nil {
		w.trouble.Store(nil)
		return
	}
	s := err.Error()
	w.trouble.Store(&s)
}

// session is one membership in the group. worked says that a cycle was finished.
func (w *worker) session(ctx context.Context) (worked bool, err error) {
	consumer, err := stream.NewConsumer(w.deps.Kafka, stream.ConsumerConfig{
		Group: table.Group(w.p.Table), Topics: w.p.Topics, MaxPollRecords: pollRecords,
		RebalanceTimeout: RebalanceTimeout, SessionTimeout: w.cfg.SessionTimeout,
	}, stream.Deps{Log: w.deps.Log, Reg: w.deps.Reg, Traces: w.deps.Traces})
	if err != nil {
		return false, fmt.Errorf("open consumer %s: %w", table.Group(w.p.Table), err)
	}
	defer consumer.Close() //nolint:contextcheck // it leaves the group, which has to happen after the context's end, too
	s := &session{worker: w, consumer: consumer, lanes: map[stream.TopicPartition]*lane{}}
	for {
		if err := s.cycle(ctx); err != nil {
			return worked, err
		}
		worked = true
		w.setTrouble(nil)
	}
}

// session is what a worker has in memory while it is a member of its group.
type session struct {
	*worker

	consumer *stream.Consumer
	lanes    map[stream.TopicPartition]*lane
	// turn rotates the lanes, so that none starves where not all fit into memory.
	turn int
	// last is when the last cycle began to insert.
	last time.Time
	// busy says that the last poll brought about as much as one brings.
	busy bool
	// untold counts polls that told of a lost position before its partition was assigned.
	untold int
}

// maxUntold bounds untold.
const maxUntold = 10

// cycle polls, delivers what came, and lets a rebalance pass. Everything that was polled is committed when it returns
// nil, so what a rebalance takes away is never in memory.
func (s *session) cycle(ctx context.Context) error {
	if err := s.gather(ctx); err != nil {
		return err
	}
	s.last = time.Now()
	work, cancel := s.bounded(ctx)
	defer cancel()
	current, err := s.build(work)
	if err != nil {
		return err
	}
	// The intents come first: from here on a crash leaves word of what may be in the table.
	if err := s.commit(work, intents(current)); err != nil {
		return err
	}
	for len(current) > 0 {
		if err := s.deliver(work, current); err != nil {
			return err
		}
		next, err := s.following(ctx, work)
		if err != nil {
			return err
		}
		// The commit that finishes a batch carries the intent of the next, so that under load there is one a round.
		if err := s.commit(work, finished(current, next)); err != nil {
			return err
		}
		current = next
	}
	s.consumer.AllowRebalance()
	return nil
}

// bounded is the context of the work between two polls. It outlives ctx for a moment, so that a batch is finished
// rather than left to the next start; and it ends before a rebalance that waits for us gives up on us.
func (s *session) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	wanted := s.consumer.RebalanceWanted()
	go func() {
		left := stopGrace
		select {
		case <-work.Done():
			return
		case <-ctx.Done():
		case <-wanted:
			left = RebalanceTimeout / 2
		}
		_ = pause(work, left)
		cancel()
	}()
	return work, cancel
}

// intents are the commits that announce batches. A batch without rows needs none.
func intents(batches []*batch) map[stream.TopicPartition]stream.Commit {
	commits := map[stream.TopicPartition]stream.Commit{}
	for _, b := range batches {
		if b.intent != "" {
			commits[b.tp] = stream.Commit{Offset: b.from, Metadata: b.intent}
		}
	}
	return commits
}

// finished are the commits that end batches and announce those that follow.
func finished(done, next []*batch) map[stream.TopicPartition]stream.Commit {
	commits := map[stream.TopicPartition]stream.Commit{}
	for _, b := range done {
		commits[b.tp] = stream.Commit{Offset: b.to}
	}
	maps.Copy(commits, intents(next))
	return commits
}

func (s *session) commit(ctx context.Context, commits map[stream.TopicPartition]stream.Commit) error {
	if len(commits) == 0 {
		return nil
	}
	if err := s.consumer.Commit(ctx, commits); err != nil {
		return fmt.Errorf("commit %d partitions: %w", len(commits), err)
	}
	return nil
}
