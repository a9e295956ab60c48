package dispatcher

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"time"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/webhook"
)

// runDigest posts what was gathered. Its deliveries begin at one moment and are settled in one transaction, so that the log
// has the outcomes of all of them or of none, as it has one delivery's.
func (s *sender) runDigest(ctx context.Context, l *lane, g *group) {
	jobs := s.digests.take(g)
	tasks := make([]*stream.Task, len(jobs))
	for i, j := range jobs {
		tasks[i] = j.task
	}
	begun := map[*stream.Task]bool{}
	for _, t := range stream.BeginAll(ctx, tasks) {
		begun[t] = true
	}
	ours := jobs[:0]
	for _, j := range jobs {
		if begun[j.task] {
			ours = append(ours, j)
		}
	}
	ctx = context.WithoutCancel(ctx)
	switch len(ours) {
	case 0:
		l.left()
	case 1:
		s.attempt(ctx, l, ours[0])
	default:
		s.attemptDigest(ctx, l, ours)
	}
}

// part is a delivery of a digest, and its body.
type part struct {
	job

	content content
}

// attemptDigest posts deliveries that have begun as one message. What cannot be told any more is left out of it.
func (s *sender) attemptDigest(ctx context.Context, l *lane, jobs []job) {
	first := jobs[0].delivery
	to, err := s.directory.find(first.Workspace, first.Endpoint)
	if err == nil && to != nil {
		err = to.broken
	}
	var parts []part
	for _, j := range jobs {
		if p, ok := s.part(ctx, to, j, err); ok {
			parts = append(parts, p)
		}
	}
	if len(parts) == 0 {
		l.left()
		return
	}
	ids := make([]string, len(parts))
	for i, p := range parts {
		ids[i] = p.delivery.ID
	}
	message := *parts[0].delivery
	message.ID = webhook.DigestID(ids)
	body, err := digestBody(to.DigestSeconds, parts)
	if err == nil {
		body, err = render(to.Format, body)
	}
	if err != nil {
		s.log.ErrorContext(ctx, "digest cannot be written", "digest", message.ID, "error", err)
		l.left()
		for _, p := range parts {
			s.park(p.job, maxQueueWait, "broken")
		}
		return
	}
	s.metrics.inFlight.Inc()
	res := s.poster.post(ctx, to.private, &message, body)
	s.metrics.inFlight.Dec()
	took := time.Duration(res.attempt.Timing.Total) * time.Microsecond
	h := l.ended(s.now(), res.attempt.Outcome == webhook.OutcomeSuccess, took, res.wait)
	s.metrics.attempts.WithLabelValues(string(res.attempt.Outcome)).Add(float64(len(parts)))
	s.metrics.seconds.Observe(took.Seconds())
	s.log.LogAttrs(ctx, slog.LevelInfo, "digest attempted", slog.String("workspace", first.Workspace),
		slog.String("endpoint", first.Endpoint), slog.String("digest", message.ID), slog.Int("deliveries", len(parts)),
		slog.String("outcome", string(res.attempt.Outcome)), slog.Int("status", res.attempt.StatusCode), slog.Duration("duration", took))
	s.settleDigest(to, message.ID, parts, res, h)
}

// part opens a delivery of a digest, or settles it where it is not to be told.
func (s *sender) part(ctx context.Context, to *target, j job, err error) (part, bool) {
	var c content
	why := skipped(to, j.delivery)
	if err == nil && why == "" {
		c, err = s.open(ctx, j.delivery)
	}
	switch {
	case errors.Is(err, errErased):
		s.skip(j, webhook.OutcomeErased)
	case err != nil:
		s.log.ErrorContext(ctx, "delivery cannot be prepared", "delivery", j.delivery.ID, "error", err)
		s.park(j, maxQueueWait, "broken")
	case why != "":
		s.skip(j, why)
	default:
		return part{j, c}, true
	}
	return part{}, false
}

// settleDigest gives each delivery of a digest its own outcome. What was answered stands in the attempt of the first. They
// are tried again together: the delay is that of the digest, after as many attempts as the one has that had fewest.
func (s *sender) settleDigest(to *target, id string, parts []part, res result, h health) {
	now := s.now()
	again := retrying{id: id, attempts: parts[0].delivery.Attempts, digest: id, size: len(parts)}
	for _, p := range parts {
		again.attempts = min(again.attempts, p.delivery.Attempts)
	}
	reason := s.givenUp(to, res.attempt, h, now)
	tasks, outputs := make([]*stream.Task, len(parts)), make([][]*stream.Record, len(parts))
	for i, p := range parts {
		a := *res.attempt
		a.RequestHeaders = maps.Clone(a.RequestHeaders)
		if i == 0 {
			p.content.keep(p.delivery.ID, result{attempt: &a, response: res.response})
		} else {
			a.ResponseHeaders, a.Truncated = nil, false
		}
		out, err := s.outcome(p.delivery, &a, again, reason, res.wait)
		if err == nil && i == 0 {
			var more []*stream.Record
			more, err = s.note(to, &a, h, reason, now)
			out = append(out, more...)
		}
		if err != nil {
			s.log.Error("outcome cannot be written", slog.String("error", err.Error()))
			return
		}
		for _, r := range out {
			stream.SetOrigin(r, p.task.Record)
		}
		tasks[i], outputs[i] = p.task, out
	}
	stream.SettleAll(tasks, outputs)
}
