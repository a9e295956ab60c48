package projections

import (
	"context"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/words"
)

// Timeline gives one row for each object that an event is linked to, in the order of its links.
func Timeline() Projection {
	return Projection{
		Table:     table.Timeline,
		Topics:    []topic.Name{topic.Events},
		Version:   1,
		Columns:   table.TimelineRow{}.Columns(),
		Transform: timelineRows,
	}
}

func timelineRows(ctx context.Context, rec Record, open Opener) ([]Row, error) {
	e, p, err := openEvent(ctx, rec, open)
	if err != nil {
		return nil, err
	}
	stored := rec.storedAt()
	row := table.TimelineRow{
		Workspace: e.Workspace, OccurredAt: within(e.OccurredAt.Time), EventID: e.ID,
		PrimaryType: string(e.Type), PrimaryID: e.ObjectID, Kind: "event",
		Name: e.Name, Description: p.Description, Words: words.Column(e.Name, p.Description), Icon: p.Icon,
		Source: e.Source, Payload: p.Payload,
		ReceivedAt: within(e.ReceivedAt.Time), StoredAt: stored,
	}
	rows := make([]Row, len(e.Links))
	for i, link := range e.Links {
		row.ObjectType, row.ObjectID, row.Link = string(link.Type), link.ID, string(link.Kind)
		if row.Via, err = list(link.Via); err != nil {
			return nil, poison(err)
		}
		row.From = rec.source(i)
		rows[i] = rec.row(i, stored, row.Values())
	}
	return rows, nil
}

// openEvent reads a record of the topic events.
func openEvent(ctx context.Context, rec Record, open Opener) (*event.Event, *event.Personal, error) {
	e, err := event.ParseEvent(rec.Value)
	if err != nil {
		return nil, nil, poison(err)
	}
	var p event.Personal
	sealed := Sealed{
		Workspace: e.Workspace, Subject: e.Primary(), KeyID: e.KeyID, Bytes: e.Sealed, Additional: e.AdditionalData(),
	}
	if err := opened(ctx, open, sealed, &p); err != nil {
		return nil, nil, err
	}
	return e, &p, nil
}
