package dispatcher

import (
	"context"
	"log/slog"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// retries brings deliveries out of the retry topics when their time has come: to the sender, or, where a delay is longer
// than every topic's, on to the next topic. They go back through webhook-deliveries, so that one sender has all attempts
// of an endpoint.
type retries struct {
	records records
	metrics *metrics
	log     *slog.Logger
	now     func() time.Time
}

func (r *retries) tracked(deps Deps, cfg Config) (*stream.Tracked, error) {
	return stream.NewTracked(deps.Kafka, stream.TrackedConfig{
		Role: roleRetry, Instance: cfg.Instance,
		Inputs:  tierTopics(),
		Outputs: append([]topic.Name{topic.WebhookDeliveries, topic.DeadLetters}, tierTopics()...),
		// A topic's deliveries leave it in about the order in which they came, so few have to be watched at once.
		Window: 100, WindowBytes: 32 << 20, StopGrace: time.Second,
	}, r.take, stream.Deps{Log: deps.Log, Reg: deps.Reg, Traces: deps.Traces})
}

// take is called for each delivery, by the loop that reads the log.
func (r *retries) take(ctx context.Context, t *stream.Task) {
	d, err := webhook.ParseDelivery(t.Record.Value)
	if err != nil {
		r.metrics.dead.WithLabelValues("retry").Inc()
		letter, err := r.records.deadLetter(roleRetry, err.Error(), "", t.Record)
		r.settle(t, letter, err)
		return
	}
	r.metrics.waiting.Inc()
	go r.leave(ctx, t, d)
}

// leave waits until the delivery may go, and sends it on.
func (r *retries) leave(ctx context.Context, t *stream.Task, d *webhook.Delivery) {
	defer r.metrics.waiting.Dec()
	timer := time.NewTimer(d.LeavesAt.Sub(r.now()))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return
	}
	r.metrics.overdue.Inc()
	defer r.metrics.overdue.Dec()
	if !t.Begin(ctx) {
		return
	}
	to := topic.WebhookDeliveries
	if now := r.now(); now.Before(d.DueAt.Time) {
		tier, leaves := webhook.Hop(now, d.DueAt.Time, time.Duration(d.Waits)*time.Millisecond)
		to, d.LeavesAt = tier.Topic, event.TimeOf(leaves)
	} else {
		d.DueAt, d.LeavesAt, d.Waits = event.Time{}, event.Time{}, 0
	}
	out, err := r.records.delivery(to, d)
	r.settle(t, out, err)
}

func (r *retries) settle(t *stream.Task, out *stream.Record, err error) {
	if err != nil {
		r.log.Error("retry cannot be written", slog.String("error", err.Error()))
		return
	}
	stream.SetOrigin(out, t.Record)
	t.Settle([]*stream.Record{out})
}
