package projections

import (
	"context"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/words"
)

// Timeline gives one row for each object that an event or a transition is linked to, in the order of its links.
func Timeline() Projection {
	return Projection{
		Table:     table.Timeline,
		Topics:    []topic.Name{topic.Events, topic.Conversations},
		Version:   1,
		Transform: timelineRows,
	}
}

func timelineRows(ctx context.Context, rec Record, open Opener, to *table.Block) error {
	if rec.Name == topic.Conversations {
		return transitionTimeline(ctx, rec, open, to)
	}
	e, p, err := openEvent(ctx, rec, open)
	if err != nil {
		return err
	}
	row := table.TimelineRow{
		Workspace: e.Workspace, OccurredAt: within(e.OccurredAt.Time), EventID: e.ID,
		PrimaryType: string(e.Type), PrimaryID: e.ObjectID, Kind: "event",
		Name: e.Name, Description: p.Description, Words: words.Column(e.Name, p.Description), Icon: p.Icon,
		Source: e.Source, Payload: p.Payload,
		ReceivedAt: within(e.ReceivedAt.Time), StoredAt: rec.StoredAt(),
	}
	for i, link := range e.Links {
		row.ObjectType, row.ObjectID, row.Link = string(link.Type), link.ID, string(link.Kind)
		row.Via = refs(link.Via)
		row.From = rec.source(i)
		to.Add(&row)
	}
	return nil
}

// openEvent reads a record of the topic events. What it gives may be shared with other tables and is not to be changed.
func openEvent(ctx context.Context, rec Record, open Opener) (*event.Event, *event.Personal, error) {
	if e, p := rec.Shared.take(rec); e != nil {
		return e, p, nil
	}
	e, err := event.ParseEvent(rec.Value)
	if err != nil {
		return nil, nil, poison(err)
	}
	p, err := opened(ctx, open, Sealed{
		Workspace: e.Workspace, Subject: e.Primary(), KeyID: e.KeyID, Bytes: e.Sealed, Additional: e.AdditionalData(),
	}, event.ParsePersonal)
	if err != nil {
		return nil, nil, err
	}
	if p == nil {
		return e, &event.Personal{}, nil
	}
	rec.Shared.keep(rec, e, p)
	return e, p, nil
}
