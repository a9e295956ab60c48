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
	Timeline      = "timeline"
	EventLog      = "event_log"
	Objects       = "objects"
	Transitions   = "conversation_transitions"
	Conversations = "conversations"
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

func (r *TimelineRow) write(b *Block) {
	b.word("workspace", r.Workspace)
	b.word("object_type", r.ObjectType)
	b.text("object_id", r.ObjectID)
	b.time("occurred_at", r.OccurredAt)
	b.text("event_id", r.EventID)
	b.word("primary_type", r.PrimaryType)
	b.text("primary_id", r.PrimaryID)
	b.word("kind", r.Kind)
	b.word("link", r.Link)
	b.text("via", r.Via)
	b.text("name", r.Name)
	b.text("description", r.Description)
	b.text("words", r.Words)
	b.text("icon", r.Icon)
	b.text("source", r.Source)
	b.text("payload", r.Payload)
	b.text("transition", r.Transition)
	b.time("received_at", r.ReceivedAt)
	b.time("stored_at", r.StoredAt)
	b.source(r.From)
}

func (r *EventLogRow) write(b *Block) {
	b.word("workspace", r.Workspace)
	b.time("received_at", r.ReceivedAt)
	b.text("event_id", r.EventID)
	b.word("status", r.Status)
	b.text("reason", r.Reason)
	b.text("name", r.Name)
	b.text("icon", r.Icon)
	b.word("object_type", r.ObjectType)
	b.text("object_id", r.ObjectID)
	b.text("external_id", r.ExternalID)
	b.time("occurred_at", r.OccurredAt)
	b.text("links", r.Links)
	b.text("missing", r.Missing)
	b.text("submission", r.Submission)
	b.time("stored_at", r.StoredAt)
	b.source(r.From)
}

func (r *ObjectRow) write(b *Block) {
	b.word("workspace", r.Workspace)
	b.word("object_type", r.ObjectType)
	b.text("object_id", r.ObjectID)
	b.text("external_id", r.ExternalID)
	b.text("name", r.Name)
	b.text("attributes", r.Attributes)
	b.text("relations", r.Relations)
	b.time("updated_at", r.UpdatedAt)
	b.flag("deleted", r.Deleted)
	b.source(r.From)
}
