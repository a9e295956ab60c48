package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// Bounds of one step of a replay.
const (
	stepTime    = 30 * time.Second
	stepRecords = 5000
	stepBytes   = 2 << 20
	// stepDeliveries is less than the rows that a statement may give.
	stepDeliveries = 500
	// replaySlack is by how much the times of a source topic may be out of order: several processes write it, whose clocks
	// differ.
	replaySlack = 10 * time.Minute
)

// step gives the records of a job's next step: deliveries, and the job as it is after them.
func (r *replays) step(ctx context.Context, job *webhook.Replay) ([]*stream.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	end := func(status webhook.ReplayStatus, reason string) ([]*stream.Record, error) {
		return r.written(ended(job, status, reason, r.now()), nil)
	}
	if err := r.jobs.view.BarrierKey(ctx, topic.WebhookReplays, cancelKey(job.Workspace, job.ID)); err != nil {
		return nil, err
	}
	if cancelled, err := r.jobs.cancelled(job.Workspace, job.ID); err != nil || cancelled {
		if err != nil {
			return nil, err
		}
		return end(webhook.ReplayCancelled, "")
	}
	if err := r.directory.view.Barrier(ctx, r.directory.partition); err != nil {
		return nil, err
	}
	to, err := r.directory.find(job.Workspace, job.Endpoint)
	switch {
	case err != nil:
		return nil, err
	case to == nil || !to.CreatedAt.Equal(job.EndpointCreatedAt.Time):
		return end(webhook.ReplayFailed, "the endpoint was deleted")
	case !to.active():
		return end(webhook.ReplayFailed, "the endpoint is disabled")
	case !job.Started:
		return r.begin(ctx, job)
	case len(job.Left) == 0:
		return end(webhook.ReplayDone, "")
	}
	return r.advance(ctx, job, to)
}

// begin finds what is to be read. What came into the log before the job is planned by then, and what is known of it is in
// the tables: so nothing is taken for missing that is only on its way.
func (r *replays) begin(ctx context.Context, job *webhook.Replay) ([]*stream.Record, error) {
	next := *job
	for _, s := range r.sources {
		spans, err := stream.Spans(ctx, r.deps.Kafka, stream.Deps{Log: r.log}, s.topic, job.From.Time, job.To.Time, replaySlack)
		if err != nil {
			return nil, err
		}
		for _, span := range spans {
			if span.From >= span.To {
				continue
			}
			if err := r.watch.WaitCommitted(ctx, s.planner.role, span.TopicPartition, span.To); err != nil {
				return nil, err
			}
			next.Left = append(next.Left, webhook.ReplayRange{Topic: span.Topic, Partition: span.Partition, Next: span.From, End: span.To})
			next.Total += span.To - span.From
		}
	}
	home := r.records.home(endpointKey(job.Workspace, job.Endpoint))
	for _, t := range []topic.Name{topic.WebhookDeliveries, topic.WebhookAttempts} {
		ends, err := r.watch.EndOffsets(ctx, t)
		if err != nil {
			return nil, err
		}
		tp := stream.TopicPartition{Topic: r.deps.Kafka.Topic(t), Partition: home}
		if err := r.watch.WaitCommitted(ctx, table.Group(table.WebhookAttempts), tp, ends[home]); err != nil {
			return nil, err
		}
	}
	next.Started, next.Status, next.UpdatedAt = true, webhook.ReplayRunning, eventTime(r.now())
	return r.written(&next, nil)
}

// advance reads some events and makes the deliveries of those that are to be sent.
func (r *replays) advance(ctx context.Context, job *webhook.Replay, to *target) ([]*stream.Record, error) {
	next := *job
	next.Left = slices.Clone(job.Left)
	rate := r.rate(to)
	found, err := r.read(ctx, &next, to, min(stepDeliveries, max(1, int(rate))))
	if err != nil {
		return nil, err
	}
	var out []*stream.Record
	if len(found) > 0 {
		h, err := r.past()
		if err != nil {
			return nil, err
		}
		known, err := h.standings(ctx, job.Workspace, job.Endpoint, found)
		if err != nil {
			return nil, err
		}
		for _, d := range found {
			if !chosen(job.Only, known[d.ID].status) {
				continue
			}
			again, err := r.again(job, d, known[d.ID])
			if err != nil {
				return nil, err
			}
			out = append(out, again...)
			next.Sent++
		}
	}
	next.Matched += int64(len(found))
	sent := next.Sent - job.Sent
	next.UpdatedAt = eventTime(r.now())
	next.DueAt = eventTime(r.now().Add(time.Duration(float64(sent) / rate * float64(time.Second))))
	r.metrics.replayed.Add(float64(sent))
	return r.written(&next, out)
}

// rate is how many deliveries a second are made: live events have to get through beside them.
func (r *replays) rate(to *target) float64 {
	rate := float64(r.cfg.ReplayRate)
	if to.RateLimit != nil {
		rate = min(rate, *to.RateLimit)
	}
	return rate
}

// read gives what is to be told of the next events of the range that is being read, and moves the range beyond them.
func (r *replays) read(ctx context.Context, job *webhook.Replay, to *target, most int) ([]*webhook.Delivery, error) {
	at := &job.Left[0]
	s := slices.IndexFunc(r.sources, func(s source) bool { return r.deps.Kafka.Topic(s.topic) == at.Topic })
	if s < 0 {
		return nil, fmt.Errorf("%s is no topic of events", at.Topic)
	}
	var found []*webhook.Delivery
	records, size, next := 0, 0, at.End
	tp := stream.TopicPartition{Topic: at.Topic, Partition: at.Partition}
	err := stream.ReadRange(ctx, r.deps.Kafka, stream.Deps{Log: r.log}, tp, at.Next, at.End, func(rec *stream.Record) error {
		if records == stepRecords || len(found) == most || size >= stepBytes {
			next = rec.Offset
			return stream.ErrStopReading
		}
		records++
		if rec.Timestamp.Before(job.From.Time) || !rec.Timestamp.Before(job.To.Time) {
			return nil
		}
		d, err := r.sources[s].planner.planFor(ctx, rec, to)
		if errors.Is(err, errPoison) {
			return nil
		}
		if d != nil {
			found = append(found, d)
			size += len(d.Body) + len(d.Sealed)
		}
		return err
	})
	lost, isLost := errors.AsType[*stream.OffsetLostError](err)
	switch {
	case isLost && lost.LogStart > at.Next:
		// An operator has taken the beginning of the log away; the rest can still be sent.
		found, next = nil, min(lost.LogStart, at.End)
	case err != nil:
		return nil, err
	}
	job.Read += next - at.Next
	if at.Next = next; next == at.End {
		job.Left = job.Left[1:]
	}
	return found, nil
}

// standing is what the tables know of a delivery; its status is empty where they know nothing.
type standing struct {
	status   webhook.Status
	attempts int
}

// chosen says whether a replay sends what stands there. What is under way is never sent beside itself.
func chosen(only webhook.Only, s webhook.Status) bool {
	switch {
	case s == webhook.Pending, s == webhook.Retrying:
		return false
	case only == webhook.OnlyFailed:
		return s == webhook.Exhausted
	case only == webhook.OnlyMissing:
		return s == "" || s == webhook.Skipped
	default:
		return true
	}
}

// again gives the records of a delivery that is sent again: itself, and, where it is in the tables, that it is under way.
func (r *replays) again(job *webhook.Replay, d *webhook.Delivery, known standing) ([]*stream.Record, error) {
	d.Before, d.ReplayedAt, d.Again = known.attempts, job.CreatedAt, known.status != ""
	out, err := r.records.delivery(topic.WebhookDeliveries, d)
	if err != nil || known.status == "" {
		return []*stream.Record{out}, err
	}
	a := &webhook.Attempt{Number: d.Before, Status: webhook.Pending, At: eventTime(r.now())}
	describe(a, d)
	note, err := r.records.attempt(a)
	return []*stream.Record{note, out}, err
}

// written adds the job's next record to those of its deliveries.
func (r *replays) written(next *webhook.Replay, out []*stream.Record) ([]*stream.Record, error) {
	rec, err := r.records.replay(next)
	if err != nil {
		return nil, err
	}
	return append(out, rec), nil
}

// source is a topic of what endpoints are told of, and its planner. What has happened to queues and to webhooks themselves
// is in none: it was true then, and is not told later.
type source struct {
	topic   topic.Name
	planner *planner
}

// planFor gives what one endpoint is told of a record, or nil. It may be told of what came before it was made. An error
// wraps errPoison where the planner has kept the record as a dead letter.
func (p *planner) planFor(ctx context.Context, rec *stream.Record, to *target) (*webhook.Delivery, error) {
	early, settings := *to, *to.Endpoint
	settings.CreatedAt = event.Time{}
	early.Endpoint = &settings
	n, err := p.read(rec)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPoison, err)
	}
	if n.about() != to.Workspace || !n.wanted(&early) {
		return nil, nil
	}
	o, err := n.occurrence(ctx, p.directory, event.TimeOf(rec.Timestamp))
	if err != nil {
		return nil, err
	}
	if len(o.body) > maxBodyBytes {
		return nil, errPoison
	}
	out, err := p.deliver(o, []*target{&early})
	if err != nil || len(out) == 0 {
		return nil, err
	}
	return webhook.ParseDelivery(out[0].Value)
}
