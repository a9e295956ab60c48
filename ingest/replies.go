package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// replyTimeout is how long a request waits for the replies to its commands; then it is answered that they are pending.
const replyTimeout = 5 * time.Second

// replies hands the replies to commands to the requests that wait for them. Every edge reads the replies to all edges'
// commands, from an end that it took before it produced any, and picks its own.
type replies struct {
	log *slog.Logger

	mu sync.Mutex
	// open says that replies are being read.
	open    bool
	waiting map[string]place
}

// place is where a reply belongs.
type place struct {
	of    *awaited
	index int
}

// awaited are the replies that one request waits for. The lock of replies guards it until all have come.
type awaited struct {
	ids  []string
	got  []*conversation.Reply
	left int
	// all is closed when the last reply has come.
	all chan struct{}
}

func newReplies(log *slog.Logger) *replies {
	return &replies{log: log, waiting: map[string]place{}}
}

// run reads replies until the context ends.
func (r *replies) run(ctx context.Context, kafka stream.Config, deps stream.Deps) error {
	tail, err := stream.OpenTail(ctx, kafka, "replies", topic.CommandReplies, deps)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("read replies: %w", err)
	}
	defer tail.Close()
	r.setOpen(true)
	defer r.setOpen(false)
	return tail.Run(ctx, r.take)
}

func (r *replies) setOpen(open bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = open
}

// ready says why no reply would be seen.
func (r *replies) ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.open {
		return errors.New("replies to commands are not read yet")
	}
	return nil
}

// expect begins to wait for replies to requests. It comes before the commands are produced; forget ends it.
func (r *replies) expect(ids []string) (*awaited, error) {
	a := &awaited{ids: ids, got: make([]*conversation.Reply, len(ids)), left: len(ids), all: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.open {
		return nil, problem.Busy("Conversations cannot be changed yet; nothing was done.", retryAfter)
	}
	for i, id := range ids {
		r.waiting[id] = place{a, i}
	}
	if a.left == 0 {
		close(a.all)
	}
	return a, nil
}

// take hands a reply over.
func (r *replies) take(rec *stream.Record) {
	id, ok := stream.HeaderValue(rec, topic.HeaderRequest)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.waiting[id]
	if !ok {
		// Another edge's, or of a request that has stopped waiting.
		return
	}
	reply, err := conversation.ParseReply(rec.Value)
	if err != nil {
		r.log.Warn("reply cannot be read", slog.String("origin", topic.Origin(rec.Topic, rec.Partition, rec.Offset)), slog.String("error", err.Error()))
		return
	}
	delete(r.waiting, id)
	p.of.settle(p.index, reply)
}

// settle notes a reply, or that none will come.
func (a *awaited) settle(i int, reply *conversation.Reply) {
	a.got[i] = reply
	if a.left--; a.left == 0 {
		close(a.all)
	}
}

// drop stops waiting for one reply: its command was not written.
func (r *replies) drop(a *awaited, i int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.waiting[a.ids[i]]; !ok {
		return
	}
	delete(r.waiting, a.ids[i])
	a.settle(i, nil)
}

// wait returns the replies that have come when all are there or the time is over; the others are nil. Nobody waits for
// them any more. A client that left is an error, because nobody reads the answer.
func (r *replies) wait(ctx context.Context, a *awaited) ([]*conversation.Reply, error) {
	timeout := time.NewTimer(replyTimeout)
	defer timeout.Stop()
	select {
	case <-a.all:
	case <-timeout.C:
	case <-ctx.Done():
	}
	r.forget(a)
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, fmt.Errorf("wait for replies: %w", ctx.Err())
	}
	return a.got, nil
}

// forget ends the wait for whatever has not come.
func (r *replies) forget(a *awaited) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range a.ids {
		delete(r.waiting, id)
	}
}
