package projections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

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
		Replacing: true,
		Key:       []string{"workspace", "object_type", "object_id"},
		Gone:      "deleted",
		Transform: objectRows,
	}
}

func objectRows(ctx context.Context, rec Record, open Opener, to *table.Block) error {
	var row table.ObjectRow
	var err error
	if rec.Value == nil {
		row, err = goneObject(rec)
	} else {
		row, err = liveObject(ctx, rec, open)
	}
	if err != nil {
		return err
	}
	row.From = rec.source(0)
	to.Add(&row)
	return nil
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
		Attributes: "{}", Relations: "[]", UpdatedAt: rec.StoredAt(), Deleted: true,
	}, nil
}

func liveObject(ctx context.Context, rec Record, open Opener) (table.ObjectRow, error) {
	r, err := object.ParseRecord(rec.Value)
	if err != nil {
		return table.ObjectRow{}, poison(err)
	}
	p, err := opened(ctx, open, Sealed{
		Workspace: r.Workspace, Subject: object.Ref{Type: r.Type, ID: r.ID}, KeyID: r.KeyID,
		Bytes: r.Sealed, Additional: r.AdditionalData(),
	}, parsePersonal)
	if err != nil {
		return table.ObjectRow{}, err
	}
	o := r.Open(p)
	row := table.ObjectRow{
		Workspace: r.Workspace, ObjectType: string(r.Type), ObjectID: r.ID,
		ExternalID: o.ExternalID, Name: o.Name, Attributes: string(o.Attributes), UpdatedAt: within(r.UpdatedAt),
	}
	if row.Attributes == "" {
		row.Attributes = "{}"
	}
	row.Relations = lookups(o.Relations)
	return row, nil
}

// parsePersonal reads the sealed part of an object, once it is opened.
func parsePersonal(plain []byte) (*object.Personal, error) {
	var p object.Personal
	if err := json.Unmarshal(plain, &p); err != nil {
		return nil, fmt.Errorf("parse sealed part of object: %w", err)
	}
	return &p, nil
}
