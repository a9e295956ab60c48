package dispatcher

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// orderPause is how soon the first delivery of a line is looked at again that could not be attempted.
const (
	orderPause  = 100 * time.Millisecond
	orderRepair = 5 * time.Second
)

// run attempts the first delivery of a line. It has a place in the endpoint's lane.
func (o *order) run(p *orderedPart, ln *orderedLine, l *lane, limiter *rate.Limiter) {
	wait, attempted := o.try(p, ln, l, limiter)
	if !attempted {
		l.left()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	ln.queue.running--
	if p.gone {
		return
	}
	if !attempted {
		ln.flying = false
		ln.due = o.sender.now().Add(wait)
		o.readyLocked(p, ln)
	}
	o.pumpLocked(p, ln.queue)
}

// recorded goes on with a line when what became of its first delivery is in the log, and not before: a process that dies
// has then at most one delivery of a conversation to repeat, and it repeats it before the next one.
func (o *order) recorded(p *orderedPart, ln *orderedLine) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p.gone {
		return
	}
	ln.busy, ln.flying = false, false
	if len(ln.entries) == 0 {
		delete(p.lines, lineKey(ln.queue.workspace, ln.queue.endpoint, ln.subject))
	} else {
		o.readyLocked(p, ln)
	}
	o.metricsLocked()
}

// try makes the attempt. Where it could not be made it says when to come again, and the place in the lane is still held.
func (o *order) try(p *orderedPart, ln *orderedLine, l *lane, limiter *rate.Limiter) (wait time.Duration, attempted bool) {
	s := o.sender
	if limiter != nil && limiter.Wait(p.ctx) != nil || l.spend(p.ctx) != nil {
		return orderPause, false
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-p.ctx.Done():
		return orderPause, false
	}
	o.mu.Lock()
	first := ln.entries[0]
	d, attempts := first.delivery, ln.attempts
	o.mu.Unlock()
	at := stream.Offset{TopicPartition: p.tp, Offset: first.offset}
	if d == nil {
		var err error
		d, err = s.readDelivery(p.ctx, at)
		if err != nil {
			o.log.WarnContext(p.ctx, "delivery that waits in a lane cannot be read", slog.Any("offset", at), slog.String("error", err.Error()))
			return orderRepair, false
		}
	}
	// d is nil where the log has lost it: it is left out, and the line goes on.
	if d != nil {
		copied := *d
		copied.Attempts = max(attempts, d.Attempts)
		d = &copied
	}
	to, err := o.endpoint(p.ctx, ln, d)
	if err != nil {
		return orderRepair, false
	}
	task, ours := o.taskOf(ln, at)
	if !ours || task == nil || !task.Begin(p.ctx) {
		return orderPause, false
	}
	// From here on the attempt is made whatever happens, and has an outcome.
	v := verdict{final: true}
	if d != nil {
		v = s.make(context.WithoutCancel(p.ctx), l, to, d, o.given(ln, to))
	} else {
		l.left()
	}
	o.conclude(p, ln, task, to, v)
	return 0, true
}

// taskOf is the task of the first delivery of a line: the one that was handed out, or another one.
func (o *order) taskOf(ln *orderedLine, at stream.Offset) (*stream.Task, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e := ln.entries[0]; e.task != nil {
		return e.task, true
	}
	return o.again(at)
}

// endpoint looks the endpoint up. Where it seems to be gone or disabled it is doubted first: the view may be behind.
func (o *order) endpoint(ctx context.Context, ln *orderedLine, d *webhook.Delivery) (*target, error) {
	to, err := o.sender.directory.find(ln.queue.workspace, ln.queue.endpoint)
	if err != nil || d == nil || skipped(to, d) == "" {
		return to, err
	}
	if err := o.sender.directory.view.Barrier(ctx, o.sender.directory.partition); err != nil {
		return nil, err
	}
	return o.sender.directory.find(ln.queue.workspace, ln.queue.endpoint)
}

// given says whether the endpoint was given up as it is: its state may not have come back from the log yet.
func (o *order) given(ln *orderedLine, to *target) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return to != nil && ln.queue.given != 0 && to.Revision <= ln.queue.given
}

// conclude writes what became of an attempt, and what of the line is left, in one outcome.
func (o *order) conclude(p *orderedPart, ln *orderedLine, task *stream.Task, to *target, v verdict) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p.gone {
		return // the new owner makes the attempt again
	}
	first := ln.entries[0]
	if first.task != nil {
		ln.queue.live--
	}
	first.task = nil
	out := v.out
	if v.given {
		ln.queue.given = to.Revision
	}
	kept := ln.kept
	if v.final {
		ln.entries = ln.entries[1:]
		ln.queue.waiting--
		ln.attempts, ln.due = 0, time.Time{}
	} else {
		ln.attempts, ln.due = v.attempts, o.sender.now().Add(v.wait)
		ln.kept = true
		first.delivery = nil
	}
	// What has come behind it meanwhile would wait as long: with the line in the log it holds nothing up.
	more, err := o.boundLocked(ln)
	out = append(out, more...)
	if err == nil && (kept || ln.kept) {
		var r *stream.Record
		r, err = o.sender.records.lane(p.tp.Partition, ln)
		out = append(out, r)
	}
	if err != nil {
		o.log.Error("outcome cannot be written", slog.String("error", err.Error()))
		return
	}
	for _, r := range out {
		stream.SetOrigin(r, task.Record)
	}
	task.SettleThen(out, func() { o.recorded(p, ln) })
	if len(ln.entries) == 0 {
		ln.kept = false
	}
	for _, e := range ln.entries {
		if ln.kept && e.task != nil {
			o.detachLocked(ln, e, nil)
		}
	}
}

// boundLocked gives the endpoint up where more waits for it than may.
func (o *order) boundLocked(ln *orderedLine) ([]*stream.Record, error) {
	if len(ln.entries) <= maxLine && ln.queue.waiting <= maxOrdered {
		return nil, nil
	}
	to, err := o.sender.directory.find(ln.queue.workspace, ln.queue.endpoint)
	if err != nil || to == nil || !to.active() || ln.queue.given >= to.Revision {
		return nil, err
	}
	ln.queue.given = to.Revision
	return o.sender.note(to, &webhook.Attempt{}, health{}, webhook.ReasonBlocked, o.sender.now())
}

// readDelivery reads a delivery from the log; it is nil where the log does not have it any more.
func (s *sender) readDelivery(ctx context.Context, at stream.Offset) (*webhook.Delivery, error) {
	ctx, cancel := context.WithTimeout(ctx, historyTime)
	defer cancel()
	r, err := stream.ReadRecord(ctx, s.records.kafka, stream.Deps{Log: s.log}, at)
	if lost, ok := errors.AsType[*stream.OffsetLostError](err); ok && lost.LogStart > at.Offset || err == nil && r == nil {
		s.metrics.dead.WithLabelValues("send").Inc()
		s.log.ErrorContext(ctx, "delivery that waited in a lane is gone: is the topic of deliveries kept for less than seven days?",
			slog.Any("offset", at))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return webhook.ParseDelivery(r.Value)
}

// loadLanes reads the lanes of a partition: the last word on each.
func (s *sender) loadLanes(ctx context.Context, partition int32) ([]*webhook.Lane, error) {
	spans, err := stream.Spans(ctx, s.records.kafka, stream.Deps{Log: s.log}, topic.WebhookLanes, time.Time{}, s.now(), replayKept)
	if err != nil {
		return nil, err
	}
	lanes := map[string]*webhook.Lane{}
	if int(partition) >= len(spans) {
		return nil, errors.New("topic webhook-lanes has fewer partitions than webhook-deliveries")
	}
	span := spans[partition]
	err = stream.ReadRange(ctx, s.records.kafka, stream.Deps{Log: s.log}, span.TopicPartition, span.From, span.To, func(r *stream.Record) error {
		delete(lanes, string(r.Key))
		if r.Value == nil {
			return nil
		}
		l, err := webhook.ParseLane(r.Value)
		if err != nil {
			return err
		}
		lanes[string(r.Key)] = l
		return nil
	})
	if err != nil {
		return nil, err
	}
	all := make([]*webhook.Lane, 0, len(lanes))
	for _, l := range lanes {
		all = append(all, l)
	}
	return all, nil
}
