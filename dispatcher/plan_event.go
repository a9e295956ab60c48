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
	name, key, keyID, err := d.name(ctx, n.Workspace, o.subject)
	if err != nil {
		return nil, err
	}
	if o.key == nil {
		// The name is personal, although nothing else may be. An event that was sealed by an erased key has no other: its
		// object is gone, or was made again by the same id, with a name and a key of its own.
		o.key, o.keyID = key, keyID
	}
	o.body, err = linkedBody(n.Event, &personal, name, n.html)
	return o, err
}
