package dispatcher

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/webhook"
)

// Bounds of what waits for one endpoint that wants an order. Beyond them it is given up: what was planned for it then is
// skipped, and can be replayed, in order. Nothing overtakes.
const (
	// maxLine bounds the deliveries of one conversation.
	maxLine = 1000
	// maxOrdered bounds those of all conversations.
	maxOrdered = 100_000
	// maxOrderedAge is how old a delivery may be that fails. It leaves time to read what waits behind it: the topic of
	// deliveries keeps it for seven days.
	maxOrderedAge = 5 * 24 * time.Hour
)

// order has the deliveries of conversations to endpoints that want them in order: at most one of a conversation is under
// way, and the next one begins when it has ended. What has to wait longer than a moment waits in webhook-lanes.
type order struct {
	sender *sender
	// again hands out a delivery that is finished in the log's bookkeeping and waits in a lane.
	again func(at stream.Offset) (task *stream.Task, ours bool)
	// load reads the lanes of a partition.
	load func(ctx context.Context, partition int32) ([]*webhook.Lane, error)
	log  *slog.Logger

	// mu guards everything below, and the order in which outcomes of one lane are settled.
	mu    sync.Mutex
	parts map[int32]*orderedPart
}

// verdict is what became of an attempt of an ordered delivery: the records that say so, and whether it is over with it. Where
// it is not, the next attempt is made after a while. given says that the endpoint was given up.
type verdict struct {
	out      []*stream.Record
	final    bool
	attempts int
	wait     time.Duration
	given    bool
}

// orderedPart is what one assignment of a partition has.
type orderedPart struct {
	tp stream.TopicPartition
	// ctx ends when the partition goes: timers begin attempts with it.
	ctx    context.Context //nolint:containedctx // it is the assignment's own, and ends with it
	cancel context.CancelFunc
	lines  map[string]*orderedLine
	queues map[string]*lineQueue
	// gone says that the partition is somebody else's.
	gone bool
}

// lineQueue is the lines of one endpoint whose first delivery may be attempted.
type lineQueue struct {
	workspace, endpoint string
	ready               []*orderedLine
	running             int
	// waiting counts the deliveries of all lines, and live those of them that are tasks: they hold the low-water mark back.
	waiting, live int
	// given is the revision of the endpoint's settings that was given up.
	given int64
	armed bool
}

// orderedLine is the deliveries of one conversation to one endpoint.
type orderedLine struct {
	queue   *lineQueue
	subject object.Ref
	entries []*entry
	// kept says that the log has the line: every entry but one that is under way counts as finished.
	kept bool
	// attempts counts those of the first entry, and due is when its next one may be made.
	attempts int
	due      time.Time
	// busy says that the line waits in its queue or for its time, or is flying: its first entry is under way.
	busy, flying bool
}

// entry is a delivery in a line. task is nil where the log has it, and delivery where it has to be read again.
type entry struct {
	offset   int64
	task     *stream.Task
	delivery *webhook.Delivery
}

func newOrder(s *sender) *order {
	return &order{sender: s, log: s.log, parts: map[int32]*orderedPart{}}
}

// wanted says whether a delivery has its place in a line. Where the endpoint is not known it may be only to come.
func (o *order) wanted(to *target, d *webhook.Delivery) bool {
	return d.Subject.Type == object.Conversation && !d.Once && (to == nil || to.Ordering == webhook.OrderingConversation)
}

// assigned takes a partition over, with what waits in it.
func (o *order) assigned(ctx context.Context, tp stream.TopicPartition) error {
	lanes, err := o.load(ctx, tp.Partition)
	if err != nil {
		return err
	}
	p := &orderedPart{tp: tp, lines: map[string]*orderedLine{}, queues: map[string]*lineQueue{}}
	p.ctx, p.cancel = context.WithCancel(ctx)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropLocked(tp.Partition)
	o.parts[tp.Partition] = p
	for _, l := range lanes {
		ln := p.lineOf(l.Workspace, l.Endpoint, l.Subject)
		ln.kept, ln.attempts, ln.due = true, l.Attempts, l.DueAt.Time
		for _, at := range l.Offsets {
			ln.entries = append(ln.entries, &entry{offset: at})
		}
		ln.queue.waiting += len(ln.entries)
		o.readyLocked(p, ln) //nolint:contextcheck // attempts end with the partition's context, which is made of this one
	}
	return nil
}

// lost lets a partition go. What is under way ends, and counts no more.
func (o *order) lost(tp stream.TopicPartition) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropLocked(tp.Partition)
}

func (o *order) dropLocked(partition int32) {
	if p := o.parts[partition]; p != nil {
		p.gone = true
		p.cancel()
		delete(o.parts, partition)
	}
}

func lineKey(workspace, endpoint string, subject object.Ref) string {
	return string(laneKey(workspace, endpoint, subject))
}

// lineOf is the line of a conversation, which is made where there is none.
func (p *orderedPart) lineOf(workspace, endpoint string, subject object.Ref) *orderedLine {
	key := lineKey(workspace, endpoint, subject)
	if ln := p.lines[key]; ln != nil {
		return ln
	}
	of := string(endpointKey(workspace, endpoint))
	if p.queues[of] == nil {
		p.queues[of] = &lineQueue{workspace: workspace, endpoint: endpoint}
	}
	ln := &orderedLine{queue: p.queues[of], subject: subject}
	p.lines[key] = ln
	return ln
}

// arrive puts a delivery at the end of its line. It is called in the order of the log.
func (o *order) arrive(j job) {
	d, at := j.delivery, j.task.Record.Offset
	j.task.Bind()
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.parts[j.task.Record.Partition]
	if p == nil {
		return // it has gone, and its new owner gets the delivery
	}
	ln := p.lineOf(d.Workspace, d.Endpoint, d.Subject)
	for i, e := range ln.entries {
		if e.offset != at {
			continue
		}
		// The process before this one wrote the lane and did not come to finish the delivery.
		if i == 0 && e.task == nil {
			e.task, e.delivery = j.task, d
			ln.queue.live++
		} else {
			o.settle(j.task, nil)
		}
		return
	}
	ln.entries = append(ln.entries, &entry{offset: at, task: j.task, delivery: d})
	ln.queue.waiting++
	ln.queue.live++
	o.metricsLocked()
	if ln.kept || o.overloadedLocked(ln.queue) || len(ln.entries) > laneQueue {
		o.keepLocked(p, ln)
	}
	if !ln.busy {
		o.readyLocked(p, ln)
	}
}

// overloadedLocked says whether the deliveries of an endpoint would hold the low-water mark back for long.
func (o *order) overloadedLocked(q *lineQueue) bool {
	return q.live > laneQueue || o.sender.lane(q.workspace, q.endpoint).slow(o.sender.now(), q.live)
}

// keepLocked writes a line into the log, as the outcome of one of its tasks; what the line has is finished then, but for a
// delivery that is under way. The other tasks are settled after it, so that they are never finished without it.
func (o *order) keepLocked(p *orderedPart, ln *orderedLine) {
	r, err := o.sender.records.lane(p.tp.Partition, ln)
	out, tooMuch := o.boundLocked(ln)
	if err := errors.Join(err, tooMuch); err != nil {
		o.log.Error("lane cannot be written", slog.String("error", err.Error()))
		return
	}
	out = append(out, r)
	for i, e := range ln.entries {
		if e.task != nil && (i > 0 || !ln.flying) {
			o.detachLocked(ln, e, out)
			ln.kept, out = true, nil
		}
	}
}

// detachLocked settles the task of an entry, which goes on without it.
func (o *order) detachLocked(ln *orderedLine, e *entry, out []*stream.Record) {
	o.settle(e.task, out)
	e.task, e.delivery = nil, nil
	ln.queue.live--
}

func (o *order) settle(t *stream.Task, out []*stream.Record) {
	for _, r := range out {
		stream.SetOrigin(r, t.Record)
	}
	t.Settle(out)
}

// readyLocked has a line attempted when it is due.
func (o *order) readyLocked(p *orderedPart, ln *orderedLine) {
	ln.busy = true
	if wait := ln.due.Sub(o.sender.now()); wait > 0 {
		time.AfterFunc(wait, func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			if !p.gone {
				ln.queue.ready = append(ln.queue.ready, ln)
				o.pumpLocked(p, ln.queue)
			}
		})
		return
	}
	ln.queue.ready = append(ln.queue.ready, ln)
	o.pumpLocked(p, ln.queue)
}

// crowded is how soon an endpoint is looked at again whose places other deliveries have.
const crowded = 50 * time.Millisecond

// pumpLocked begins as many attempts as the endpoint's lane has places for.
func (o *order) pumpLocked(p *orderedPart, q *lineQueue) {
	l := o.sender.lane(q.workspace, q.endpoint)
	if to, err := o.sender.directory.find(q.workspace, q.endpoint); err == nil && to != nil {
		o.sender.budgets.limit(l, to)
	}
	for len(q.ready) > 0 && !p.gone {
		limiter, ok, wait := l.place(o.sender.now())
		if !ok {
			if wait == 0 && q.running > 0 {
				return // one of them will pump
			}
			for _, ln := range q.ready {
				if wait > 0 && ln.entries[0].task != nil {
					o.keepLocked(p, ln) // nobody knows how long the endpoint is broken
				}
			}
			if !q.armed {
				q.armed = true
				time.AfterFunc(max(wait, crowded), func() {
					o.mu.Lock()
					defer o.mu.Unlock()
					q.armed = false
					o.pumpLocked(p, q)
				})
			}
			return
		}
		ln := q.ready[0]
		q.ready = q.ready[1:]
		q.running++
		ln.flying = true
		go o.run(p, ln, l, limiter)
	}
}

// metricsLocked tells how many deliveries wait.
func (o *order) metricsLocked() {
	n := 0
	for _, p := range o.parts {
		for _, q := range p.queues {
			n += q.waiting
		}
	}
	o.sender.metrics.ordered.Set(float64(n))
}

// tooOld says that a delivery has failed for so long that the line behind it must not wait for it any more.
func tooOld(d *webhook.Delivery, now time.Time) bool { return now.Sub(d.Since().Time) >= maxOrderedAge }
