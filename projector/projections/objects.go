package projections

import (
	"context"
	"errors"
	"time"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
)

// Objects gives the latest state of every object: one row for each record, where the greatest offset wins.
func Objects() Projection {
	return Projection{
		Table:     table.Objects,
		Topics:    []topic.Name{topic.Objects},
		Version:   1,
		Columns:   table.ObjectRow{}.Columns(),
		Replacing: true,
		Transform: objectRows,
	}
}

func objectRows(ctx context.Context, rec Record, open Opener) ([]Row, error) {
	var row table.ObjectRow
	var err error
	if rec.Value == nil {
		row, err = goneObject(rec)
	} else {
		row, err = liveObject(ctx, rec, open)
	}
	if err != nil {
		return nil, err
	}
	row.From = rec.source(0)
	return []Row{rec.row(0, time.Time{}, row.Values())}, nil
}

// goneObject makes the row of a tombstone, which has nothing but its key.
func goneObject(rec Record) (table.ObjectRow, error) {
	parts, err := topic.ParseKey(rec.Key)
	if err != nil {
		return table.ObjectRow{}, poison(err)
	}
	if len(parts) != 3 {
		return table.ObjectRow{}, poison(errors.New("the key of an object is workspace/TYPE/id"))
	}
	return table.ObjectRow{
		Workspace: parts[0], ObjectType: parts[1], ObjectID: parts[2],
		Attributes: "{}", Relations: "[]", UpdatedAt: rec.storedAt(), Deleted: true,
	}, nil
}

func liveObject(ctx context.Context, rec Record, open Opener) (table.ObjectRow, error) {
	r, err := object.ParseRecord(rec.Value)
	if err != nil {
		return table.ObjectRow{}, poison(err)
	}
	var p object.Personal
	sealed := Sealed{
		Workspace: r.Workspace, Subject: object.Ref{Type: r.Type, ID: r.ID}, KeyID: r.KeyID,
		Bytes: r.Sealed, Additional: r.AdditionalData(),
	}
	if err := opened(ctx, open, sealed, &p); err != nil {
		return table.ObjectRow{}, err
	}
	o := r.Open(&p)
	row := table.ObjectRow{
		Workspace: r.Workspace, ObjectType: string(r.Type), ObjectID: r.ID,
		ExternalID: o.ExternalID, Name: o.Name, Attributes: string(o.Attributes), UpdatedAt: within(r.UpdatedAt),
	}
	if row.Attributes == "" {
		row.Attributes = "{}"
	}
	if row.Relations, err = list(o.Relations); err != nil {
		return table.ObjectRow{}, poison(err)
	}
	return row, nil
}
