package wallboard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// againEvery is how long a feed waits before it begins anew.
const againEvery = 2 * time.Second

// forgetEvery is how often boards drop what no figure needs any more.
const forgetEvery = time.Minute

// Deps is what a feed works with.
type Deps struct {
	Kafka stream.Config
	Log   *slog.Logger
	Reg   prometheus.Registerer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// ErrLoading says that the boards are not complete yet: a start reads every conversation that has not ended and the
// transitions of two days.
var ErrLoading = errors.New("wallboard: still being read from the log")

// Feed keeps the wallboards of all workspaces. It holds no position: each start reads them from the log again.
type Feed struct {
	deps    Deps
	metrics *metrics

	mu     sync.Mutex
	boards map[string]*Board
	ready  bool
	// tail is where transitions come from; nil while the feed begins anew.
	tail *stream.Tail
}

// NewFeed returns a feed without boards. Nothing is read before Run.
func NewFeed(deps Deps) *Feed {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	f := &Feed{deps: deps, boards: map[string]*Board{}}
	f.metrics = newMetrics(deps.Reg, f)
	return f
}

// Run reads the log until the context ends, and then returns nil. Where the log cannot be read, or its topics are not made
// yet, it begins anew a little later: nobody but the wallboard waits for it. Call it once.
func (f *Feed) Run(ctx context.Context) error {
	again := time.NewTicker(againEvery)
	defer again.Stop()
	for {
		err := f.read(ctx)
		if ctx.Err() != nil {
			return nil
		}
		f.deps.Log.WarnContext(ctx, "wallboard is read again", "error", err)
		f.mu.Lock()
		f.boards, f.ready = map[string]*Board{}, false
		f.mu.Unlock()
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (f *Feed) read(ctx context.Context) error {
	plumbing := stream.Deps{Log: f.deps.Log, Reg: f.deps.Reg}
	// The transitions begin before the snapshots are read, so that whatever a snapshot does not have is among them.
	since := f.deps.Now().Add(-keep)
	transitions, err := stream.OpenTailSince(ctx, f.deps.Kafka, "wallboard", topic.Conversations, since, plumbing)
	if err != nil {
		return fmt.Errorf("read wallboard: %w", err)
	}
	defer transitions.Close()
	if err := f.restore(ctx, plumbing); err != nil {
		return fmt.Errorf("read wallboard: %w", err)
	}
	f.follow(transitions)
	defer f.follow(nil)
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return transitions.Run(ctx, f.apply) })
	work.Go(func() error {
		f.forget(ctx, transitions.CaughtUp())
		return nil
	})
	if err := work.Wait(); err != nil {
		return fmt.Errorf("read wallboard: %w", err)
	}
	return nil
}

// restore reads the conversations that have not ended. Those that have are read too, and left out: they stay in the log
// so that their ids are never used again.
func (f *Feed) restore(ctx context.Context, plumbing stream.Deps) error {
	snapshots, err := stream.OpenTailSince(ctx, f.deps.Kafka, "wallboard-state", topic.ConversationState, time.Time{}, plumbing)
	if err != nil {
		return err
	}
	defer snapshots.Close()
	reading, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-snapshots.CaughtUp():
			stop()
		case <-reading.Done():
		}
	}()
	// The log may still have what a conversation was before, and a board must be told of a stay in the queue once.
	live := map[string]*conversation.Conversation{}
	if err := snapshots.Run(reading, func(r *stream.Record) { f.restored(live, r) }); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range live {
		f.board(c.Workspace).Restore(c)
	}
	return nil
}

// restored notes the newest snapshot of a conversation among those that have not ended.
func (f *Feed) restored(live map[string]*conversation.Conversation, r *stream.Record) {
	key := string(r.Key)
	if len(r.Value) == 0 {
		delete(live, key) // erased
		return
	}
	s, err := conversation.ParseSnapshot(r.Value)
	switch {
	case err != nil:
		f.unread(r, err)
	case s.State == conversation.StateClosed:
		delete(live, key)
	default:
		live[key] = &s.Conversation
	}
}

func (f *Feed) apply(r *stream.Record) {
	if len(r.Value) == 0 {
		return
	}
	t, err := conversation.ParseTransition(r.Value)
	if err != nil {
		f.unread(r, err)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.board(t.Workspace).Apply(t)
	f.metrics.applied.Inc()
}

// unread passes over a record that cannot be read: a screen with one conversation too few is better than none. The
// projector keeps it among the dead letters.
func (f *Feed) unread(r *stream.Record, err error) {
	f.metrics.unread.Inc()
	f.deps.Log.Warn("record is not on the wallboard", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", err)
}

// board is a workspace's, made if there is none. The caller holds the lock.
func (f *Feed) board(workspace string) *Board {
	b := f.boards[workspace]
	if b == nil {
		b = NewBoard(f.deps.Now())
		f.boards[workspace] = b
	}
	return b
}

// forget keeps the boards small, and says when they are complete.
func (f *Feed) forget(ctx context.Context, caughtUp <-chan struct{}) {
	tick := time.NewTicker(forgetEvery)
	defer tick.Stop()
	for {
		select {
		case <-caughtUp:
			caughtUp = nil
			f.mu.Lock()
			f.ready = true
			f.mu.Unlock()
		case <-tick.C:
			now := f.deps.Now()
			f.mu.Lock()
			for _, b := range f.boards {
				b.Forget(now)
			}
			f.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

func (f *Feed) follow(tail *stream.Tail) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tail = tail
}

// WaitRead returns once the boards show every transition before an offset of each partition. Errors: ErrLoading, that of
// the context.
func (f *Feed) WaitRead(ctx context.Context, before map[int32]int64) error {
	f.mu.Lock()
	tail := f.tail
	f.mu.Unlock()
	if tail == nil {
		return ErrLoading
	}
	for partition, offset := range before {
		if err := tail.WaitRead(ctx, partition, offset); err != nil {
			return fmt.Errorf("wait for the wallboard: %w", err)
		}
	}
	return nil
}

// Ready says why the boards are not complete yet. It fits run.Readiness.
func (f *Feed) Ready(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ready {
		return ErrLoading
	}
	return nil
}

// View is a workspace's board now. Errors: ErrLoading.
func (f *Feed) View(workspace string, zone *time.Location, by GroupBy) (*View, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ready {
		return nil, ErrLoading
	}
	b := f.boards[workspace]
	if b == nil {
		b = &Board{}
	}
	return b.View(f.deps.Now(), zone, by), nil
}
