package projections

import (
	"context"
	"errors"
	"strings"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
)

// EventLog gives one row for each thing that became of a submission.
func EventLog() Projection {
	return Projection{
		Table:     table.EventLog,
		Topics:    []topic.Name{topic.Events, topic.Rejections, topic.Submissions, topic.DeadLetters},
		Version:   1,
		Transform: eventLogRows,
	}
}

func eventLogRows(ctx context.Context, rec Record, open Opener, to *table.Block) error {
	var row *table.EventLogRow
	var err error
	switch rec.Name {
	case topic.Events:
		row, err = linkedRow(ctx, rec, open)
	case topic.Rejections:
		row, err = rejectedRow(rec)
	case topic.Submissions:
		row = pendingRow(rec)
	case topic.DeadLetters:
		row, err = failedRow(rec)
	default:
		err = poison(errors.New("the event log knows no topic of this name"))
	}
	if err != nil || row == nil {
		return err
	}
	row.StoredAt, row.From = rec.StoredAt(), rec.source(0)
	row.ReceivedAt, row.OccurredAt = within(row.ReceivedAt), within(row.OccurredAt)
	if row.Links == "" {
		row.Links = "[]"
	}
	if row.Missing == "" {
		row.Missing = "[]"
	}
	to.Add(row)
	return nil
}

func linkedRow(ctx context.Context, rec Record, open Opener) (*table.EventLogRow, error) {
	e, p, err := openEvent(ctx, rec, open)
	if err != nil {
		return nil, err
	}
	row := &table.EventLogRow{
		Workspace: e.Workspace, ReceivedAt: e.ReceivedAt.Time, EventID: e.ID, Status: string(event.StatusLinked),
		Name: e.Name, Icon: p.Icon, ObjectType: string(e.Type), ObjectID: e.ObjectID, ExternalID: p.ExternalID,
		OccurredAt: e.OccurredAt.Time,
	}
	row.Links, row.Missing = links(e.Links), lookups(p.Missing)
	row.Submission = submitted{
		Type: e.Type, ObjectID: e.ObjectID, ExternalID: p.ExternalID, Name: e.Name, Description: p.Description,
		Icon: p.Icon, OccurredAt: e.OccurredAt, Source: e.Source, Related: p.Related, Payload: p.Payload,
	}.text()
	return row, nil
}

func rejectedRow(rec Record) (*table.EventLogRow, error) {
	r, err := event.ParseRejection(rec.Value)
	if err != nil {
		return nil, poison(err)
	}
	return &table.EventLogRow{
		Workspace: r.Workspace, ReceivedAt: r.ReceivedAt.Time, EventID: r.ID, Status: string(r.Status), Reason: r.Reason,
		Name: r.Name, ObjectType: string(r.Type), ObjectID: r.ObjectID, ExternalID: r.ExternalID,
		OccurredAt: r.ReceivedAt.Time, Submission: r.Submission,
	}, nil
}

// pendingRow is the row of a submission that was answered before its primary object was found. One that was resolved
// by the edge, or forwarded by link, has none: its next row says all. A record that is no submission has none either,
// and no dead letter of ours: link reads it, too, and decides what becomes of it.
func pendingRow(rec Record) *table.EventLogRow {
	s, err := event.ParseSubmission(rec.Value)
	if err != nil || s.Resolved {
		return nil
	}
	row := submissionRow(s, event.PlaceID(rec.Topic, rec.Partition, rec.Offset, rec.Timestamp))
	// A foreign producer may say what it likes; link believes it within a day, and so does this row.
	if at := row.ReceivedAt; at.Before(rec.Timestamp.Add(-event.Ahead)) || at.After(rec.Timestamp.Add(event.Ahead)) {
		row.ReceivedAt = rec.Timestamp
	}
	if row.OccurredAt.IsZero() {
		row.OccurredAt = row.ReceivedAt
	}
	row.Status = string(event.StatusPending)
	return row
}

// submissionRow is what the rows of a submission share. placeID is its id where it has none of its own.
func submissionRow(s *event.Submission, placeID string) *table.EventLogRow {
	if t, err := object.ParseType(string(s.Type)); err == nil {
		s.Type = t
	}
	row := &table.EventLogRow{
		Workspace: s.Workspace, ReceivedAt: s.ReceivedAt.Time, EventID: s.ID, Name: s.Name, Icon: s.Icon,
		ObjectType: string(s.Type), ObjectID: s.ObjectID, ExternalID: s.ExternalID, OccurredAt: s.Occurred().Time,
	}
	if object.ValidateID(row.EventID) != nil {
		row.EventID = placeID
	}
	row.Submission = submitted{
		Type: s.Type, ObjectID: s.ObjectID, ExternalID: s.ExternalID, Name: s.Name, Description: s.Description,
		Icon: s.Icon, OccurredAt: s.OccurredAt, Source: s.Source, Related: s.Related, Payload: string(s.Payload),
	}.text()
	return row
}

// failedRow is the row of a submission that link could not process. Other dead letters are the operator's alone.
func failedRow(rec Record) (*table.EventLogRow, error) {
	d, err := event.ParseDeadLetter(rec.Value)
	if err != nil {
		return nil, poison(err)
	}
	if d.Workspace == "" || !isTopic(d.Topic, topic.Submissions) {
		return nil, nil //nolint:nilnil // no row, as the comment above says
	}
	row := &table.EventLogRow{EventID: event.PlaceID(d.Topic, d.Partition, d.Offset, d.At.Time)}
	if s, err := event.ParseSubmission(d.Value); err == nil {
		row = submissionRow(s, row.EventID)
	}
	row.Workspace, row.Status, row.Reason = d.Workspace, string(event.StatusFailed), d.Reason
	if row.ReceivedAt.IsZero() {
		row.ReceivedAt = d.At.Time
	}
	if row.OccurredAt.IsZero() {
		row.OccurredAt = row.ReceivedAt
	}
	value := d.Value
	if len(value) > event.MaxEventBytes {
		value = value[:event.MaxEventBytes]
	}
	row.Submission = strings.ToValidUTF8(string(value), "\uFFFD")
	return row, nil
}

// isTopic says whether full is a topic's name, with any prefix or none.
func isTopic(full string, name topic.Name) bool {
	return full == string(name) || strings.HasSuffix(full, "."+string(name))
}
