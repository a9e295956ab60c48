package dispatcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// planner turns events into deliveries: one for each endpoint that wants the event. It keeps no state of its own, so
// that what it gives for an event depends on the event and the endpoints alone.
type planner struct {
	directory *directory
	records   records
	metrics   *metrics
}

// Load implements stream.Handler. The planner's outputs are in the partitions of endpoints and not in that of its input,
// so it cannot learn from them which inputs are answered. It need not: where a transaction was torn, which the embedded
// broker alone does, an event is planned again with the same id.
func (p *planner) Load(_ context.Context, _ int32, out *stream.OutputReader) error {
	p.records.deliveries = out.Partitions(topic.WebhookDeliveries)
	if p.records.deliveries == 0 {
		return errors.New("topic webhook-deliveries has no partitions")
	}
	return nil
}

// Process implements stream.Handler.
func (p *planner) Process(ctx context.Context, _ int32, in []*stream.Record) ([]*stream.Record, error) {
	// Every endpoint whose PUT was answered before these events were polled is there.
	if err := p.directory.view.Barrier(ctx); err != nil {
		return nil, fmt.Errorf("bring endpoints up to date: %w", err)
	}
	var out []*stream.Record
	for _, r := range in {
		planned, err := p.plan(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("plan %s: %w", topic.Origin(r.Topic, r.Partition, r.Offset), err)
		}
		for _, d := range planned {
			stream.SetOrigin(d, r)
		}
		out = append(out, planned...)
	}
	return out, nil
}

// Commit implements stream.Handler.
func (p *planner) Commit(context.Context, []stream.Done) error { return nil }

// Discard implements stream.Handler.
func (p *planner) Discard() {}

// Unload implements stream.Handler.
func (p *planner) Unload(int32) {}

// occurrence is something that endpoints may want to hear of.
type occurrence struct {
	workspace, eventType string
	subject              object.Ref
	// of tells occurrences of a subject apart: an event's id, a conversation's version.
	of         string
	receivedAt event.Time
	plannedAt  event.Time
	body       []byte
	// key seals the body; it is nil where nothing in it is personal.
	key   *seal.DataKey
	keyID string
}

func (p *planner) plan(ctx context.Context, r *stream.Record) ([]*stream.Record, error) {
	e, err := event.ParseEvent(r.Value)
	if err != nil {
		return p.dead(err.Error(), "", r)
	}
	all, err := p.directory.of(e.Workspace)
	if err != nil {
		return nil, err
	}
	// Most workspaces have no endpoint for events, and then nothing is opened.
	wanting := slices.DeleteFunc(slices.Clone(all), func(t *target) bool {
		return !t.Wants(webhook.EventLinked) || e.ReceivedAt.Before(t.CreatedAt.Time) ||
			len(t.ObjectTypes) > 0 && !slices.Contains(t.ObjectTypes, e.Type)
	})
	if len(wanting) == 0 {
		return nil, nil
	}
	o, err := p.linked(ctx, e, r)
	switch {
	case errors.Is(err, seal.ErrKey):
		return nil, fmt.Errorf("%w: is this the master key that the events were written with? %w", stream.ErrStop, err)
	case errors.Is(err, errPoison):
		return p.dead(err.Error(), e.Workspace, r)
	case err != nil:
		return nil, err
	}
	return p.deliver(o, wanting)
}

// maxBodyBytes bounds what is sent. Sealed, and written as text in a record, it stays below what a topic takes.
const maxBodyBytes = 512 << 10

var errPoison = errors.New("event cannot be told")

// linked opens an event and writes what endpoints are told of it.
func (p *planner) linked(ctx context.Context, e *event.Event, r *stream.Record) (*occurrence, error) {
	o := &occurrence{
		workspace: e.Workspace, eventType: webhook.EventLinked, subject: e.Primary(), of: e.ID,
		receivedAt: e.ReceivedAt, plannedAt: event.TimeOf(r.Timestamp),
	}
	var personal *event.Personal
	if len(e.Sealed) > 0 {
		key, err := p.directory.dataKey(ctx, e.Workspace, e.Primary(), e.KeyID)
		switch {
		case errors.Is(err, errErased):
			// It is told like any other, without what was personal, so that counts are right.
		case err != nil:
			return nil, err
		default:
			plain, err := key.Open(e.Sealed, e.AdditionalData())
			if err != nil {
				return nil, fmt.Errorf("%w: sealed part does not open", errPoison)
			}
			personal = &event.Personal{}
			if err := json.Unmarshal(plain, personal); err != nil {
				return nil, fmt.Errorf("%w: %w", errPoison, err)
			}
			o.key, o.keyID = key, e.KeyID
		}
	}
	var err error
	if o.body, err = linkedBody(e, personal); err == nil && len(o.body) > maxBodyBytes {
		return nil, fmt.Errorf("%w: its body has %d bytes; at most %d are sent", errPoison, len(o.body), maxBodyBytes)
	}
	return o, err
}

// deliver makes a delivery for each endpoint whose filter lets the occurrence through.
func (p *planner) deliver(o *occurrence, wanting []*target) ([]*stream.Record, error) {
	var data map[string]any
	var sealed []byte
	var out []*stream.Record
	for _, t := range wanting {
		if t.filter != nil {
			var err error
			if data == nil {
				if data, err = parseData(o.body); err != nil {
					return nil, err
				}
			}
			matched, err := t.filter.matches(o.eventType, data)
			if err != nil {
				p.metrics.filtered.WithLabelValues("failed").Inc()
				continue
			}
			if !matched {
				p.metrics.filtered.WithLabelValues("no_match").Inc()
				continue
			}
		}
		d := &webhook.Delivery{
			ID:        webhook.DeliveryID(o.workspace, o.eventType, o.subject, o.of, t.ID),
			Workspace: o.workspace, Endpoint: t.ID, Type: o.eventType, Subject: o.subject, Event: o.of, PlannedAt: o.plannedAt,
		}
		if o.key == nil {
			d.Body = string(o.body)
		} else {
			if sealed == nil {
				sealed = o.key.Seal(o.body, webhook.BodyData(o.workspace, o.eventType, o.subject, o.of))
			}
			d.KeyID, d.Sealed = o.keyID, sealed
		}
		r, err := p.records.delivery(topic.WebhookDeliveries, d)
		if err != nil {
			return nil, err
		}
		p.metrics.planned.WithLabelValues(o.eventType).Inc()
		out = append(out, r)
	}
	return out, nil
}

func (p *planner) dead(reason, workspace string, r *stream.Record) ([]*stream.Record, error) {
	p.metrics.dead.WithLabelValues("plan").Inc()
	letter, err := p.records.deadLetter(rolePlan, reason, workspace, r)
	if err != nil {
		return nil, err
	}
	return []*stream.Record{letter}, nil
}

var _ stream.Handler = (*planner)(nil)
