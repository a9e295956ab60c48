// Package table holds the tables of the read side: their migrations and the rows that projections write into them.
//
// Every row carries where in the log it came from: _topic, _partition, _offset, and _row, which counts the rows of one
// record from 0. Together they are a row's identity, by which the projector proves that a batch is there once.
package table

import (
	"embed"
	"io/fs"
	"time"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations is the folder of numbered one-statement files, applied in order and never changed once released.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		// The folder is part of the binary: its absence is a build that cannot exist.
		return migrations
	}
	return sub
}

// Names of the tables that projections write.
const (
	Timeline = "timeline"
	EventLog = "event_log"
	Objects  = "objects"
)

// Group is the consumer group, without the installation's prefix, that projects a table: there is one for each. What
// it has committed is in the table, which is how a read waits for a position.
func Group(table string) string { return "projector." + table }

// Source is where in the log a row came from.
type Source struct {
	Topic     string
	Partition int32
	Offset    int64
	Row       int32
}

// TimelineRow is one row of timeline.
type TimelineRow struct {
	Workspace, ObjectType, ObjectID string
	OccurredAt                      time.Time
	EventID                         string
	PrimaryType, PrimaryID          string
	// Kind is event or transition; Link is primary or related.
	Kind, Link string
	// Via is a JSON array of references.
	Via               string
	Name, Description string
	// Words are those of name and description, as words.Column gives them.
	Words        string
	Icon, Source string
	// Payload is the caller's JSON as sent; Transition is the JSON of a conversation's transition.
	Payload, Transition  string
	ReceivedAt, StoredAt time.Time
	From                 Source
}

// EventLogRow is one row of event_log.
type EventLogRow struct {
	Workspace                        string
	ReceivedAt                       time.Time
	EventID, Status, Reason          string
	Name, Icon                       string
	ObjectType, ObjectID, ExternalID string
	OccurredAt                       time.Time
	// Links and Missing are JSON arrays; Submission is what was sent.
	Links, Missing, Submission string
	StoredAt                   time.Time
	From                       Source
}

// ObjectRow is one row of objects.
type ObjectRow struct {
	Workspace, ObjectType, ObjectID string
	ExternalID, Name                string
	// Attributes is a JSON object, Relations a JSON array.
	Attributes, Relations string
	UpdatedAt             time.Time
	Deleted               bool
	From                  Source
}

// Columns lists the columns of a table in the order in which Values gives them.
func (TimelineRow) Columns() []string {
	return []string{
		"workspace", "object_type", "object_id", "occurred_at", "event_id", "primary_type", "primary_id", "kind", "link",
		"via", "name", "description", "words", "icon", "source", "payload", "transition", "received_at", "stored_at",
		"_topic", "_partition", "_offset", "_row",
	}
}

// Values gives the row's values in the order of Columns.
func (r TimelineRow) Values() []any {
	return []any{
		r.Workspace, r.ObjectType, r.ObjectID, r.OccurredAt, r.EventID, r.PrimaryType, r.PrimaryID, r.Kind, r.Link,
		r.Via, r.Name, r.Description, r.Words, r.Icon, r.Source, r.Payload, r.Transition, r.ReceivedAt, r.StoredAt,
		r.From.Topic, r.From.Partition, r.From.Offset, r.From.Row,
	}
}

// Columns lists the columns of a table in the order in which Values gives them.
func (EventLogRow) Columns() []string {
	return []string{
		"workspace", "received_at", "event_id", "status", "reason", "name", "icon", "object_type", "object_id",
		"external_id", "occurred_at", "links", "missing", "submission", "stored_at",
		"_topic", "_partition", "_offset", "_row",
	}
}

// Values gives the row's values in the order of Columns.
func (r EventLogRow) Values() []any {
	return []any{
		r.Workspace, r.ReceivedAt, r.EventID, r.Status, r.Reason, r.Name, r.Icon, r.ObjectType, r.ObjectID,
		r.ExternalID, r.OccurredAt, r.Links, r.Missing, r.Submission, r.StoredAt,
		r.From.Topic, r.From.Partition, r.From.Offset, r.From.Row,
	}
}

// Columns lists the columns of a table in the order in which Values gives them.
func (ObjectRow) Columns() []string {
	return []string{
		"workspace", "object_type", "object_id", "external_id", "name", "attributes", "relations", "updated_at", "deleted",
		"_topic", "_partition", "_offset", "_row",
	}
}

// Values gives the row's values in the order of Columns.
func (r ObjectRow) Values() []any {
	deleted := uint8(0)
	if r.Deleted {
		deleted = 1
	}
	return []any{
		r.Workspace, r.ObjectType, r.ObjectID, r.ExternalID, r.Name, r.Attributes, r.Relations, r.UpdatedAt, deleted,
		r.From.Topic, r.From.Partition, r.From.Offset, r.From.Row,
	}
}
