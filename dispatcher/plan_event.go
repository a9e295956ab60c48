package dispatcher

import (
	"context"
	"slices"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/sanitize"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/webhook"
)

// linkedNews is an event that was linked to its objects.
type linkedNews struct {
	*event.Event

	html *sanitize.Sanitizer
}

// linkedReader reads events whose descriptions are made safe by html.
func linkedReader(html *sanitize.Sanitizer) func(r *stream.Record) (news, error) {
	return func(r *stream.Record) (news, error) {
		e, err := event.ParseEvent(r.Value)
		if err != nil {
			return nil, err
		}
		return linkedNews{e, html}, nil
	}
}

func (n linkedNews) about() string { return n.Workspace }

// wanted leaves out what was received before the endpoint was made.
func (n linkedNews) wanted(t *target) bool {
	return t.Wants(webhook.EventLinked) && !n.ReceivedAt.Before(t.CreatedAt.Time) && wants(t.ObjectTypes, n.Type)
}

// wants says whether a list of what is wanted has an item, or is empty, which means all.
func wants[T comparable](list []T, item T) bool { return len(list) == 0 || slices.Contains(list, item) }

func (n linkedNews) occurrence(ctx context.Context, d *directory, at event.Time) (*occurrence, error) {
	o := &occurrence{
		workspace: n.Workspace, eventType: webhook.EventLinked, subject: n.Primary(), of: n.ID, plannedAt: at, keyID: n.KeyID,
	}
	var personal event.Personal
	var err error
	o.key, err = sealed{n.Workspace, o.subject, n.KeyID, n.Sealed, n.AdditionalData()}.open(ctx, d, &personal)
	if err != nil {
		return nil, err
	}
	o.body, err = linkedBody(n.Event, &personal, n.html)
	return o, err
}
