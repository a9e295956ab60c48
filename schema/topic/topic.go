// Package topic names every topic of Throughline, says how it is kept, and makes the keys of its records.
//
// A topic's full name is prefix + "." + Name; the version is part of the name, so that two record formats can
// stand side by side during an upgrade.
package topic

import "time"

// Name is a topic's name without the installation's prefix.
type Name string

// The topics. What each record is stands in the package that owns it.
const (
	// Workspaces holds workspaces and their API keys (package workspace).
	Workspaces Name = "workspaces.v1"
	// Objects holds the latest state of every object (package object).
	Objects Name = "objects.v1"
	// SubjectKeys holds the wrapped data keys that seal personal fields (package seal).
	SubjectKeys Name = "subject-keys.v1"
	// Submissions holds events as accepted (package event).
	Submissions Name = "submissions.v1"
	// Events is the source of truth: events, de-duplicated and linked (package event).
	Events Name = "events.v1"
	// Rejections holds submissions that did not become events, and why (package event).
	Rejections Name = "rejections.v1"
	// DeadLetters holds records that nobody could process (package event).
	DeadLetters Name = "dead-letters.v1"
	// ConversationCommands holds requested transitions (package conversation).
	ConversationCommands Name = "conversation-commands.v1"
	// Conversations is the source of truth: accepted transitions, with the version they gave (package conversation).
	Conversations Name = "conversations.v1"
	// ConversationState holds the latest state of every conversation (package conversation).
	ConversationState Name = "conversation-state.v1"
	// CommandReplies answers commands (package conversation).
	CommandReplies Name = "command-replies.v1"
)

// Spec says how a topic is created and kept.
type Spec struct {
	Name Name
	// Partitions is the number of partitions, or 0 for the installation's number (Layout).
	Partitions int
	// Compacted topics keep the latest record of a key; the others keep records for Retention.
	Compacted bool
	// Retention is how long records are kept; 0 means for ever. Compacted topics ignore it.
	Retention time.Duration
	// DeleteRetention is how long a compacted topic keeps a tombstone that its readers must see.
	DeleteRetention time.Duration
	// MaxLag bounds, where it is not 0, how long a compacted topic may keep a record that was replaced.
	MaxLag time.Duration
	// Purpose is one sentence for the generated reference.
	Purpose string
}

const day = 24 * time.Hour

// TombstoneRetention is delete.retention.ms of every compacted topic. A local view that was away for more than half
// of it may have missed a tombstone, and is rebuilt.
const TombstoneRetention = 7 * day

// DefaultPartitions is the number of partitions of a partitioned topic on a Kafka cluster. It is chosen once: the
// position of a key depends on it.
const DefaultPartitions = 12

// EmbeddedPartitions is that number on the embedded broker, where every partition costs files and one process reads all.
const EmbeddedPartitions = 3

// MaxRecordBytes is max.message.bytes of every topic. An event is at most 32 KiB as sent; sealed, encoded in base64
// and with 200 links it stays below 256 KiB.
const MaxRecordBytes = 1 << 20

// All lists every topic. Submissions, Events and Rejections share their number of partitions, because link writes
// its output to the partition that it read from; and so do the four of conversations, because their processor does.
func All() []Spec {
	return append([]Spec{
		{
			Name: Workspaces, Partitions: 1, Compacted: true, DeleteRetention: TombstoneRetention,
			Purpose: "A workspace's settings, and each of its API keys (hashed).",
		},
		{
			Name: Objects, Compacted: true, DeleteRetention: TombstoneRetention,
			Purpose: "The latest state of an object: its names, attributes and relations; a tombstone means it is gone.",
		},
		{
			Name: SubjectKeys, Compacted: true, DeleteRetention: TombstoneRetention, MaxLag: day,
			Purpose: "A data key of a subject, wrapped by the master key; a tombstone means its personal fields are erased.",
		},
		{
			Name: Submissions, Retention: 30 * day,
			Purpose: "An event as accepted; any Kafka producer may append here directly.",
		},
		{
			Name:    Events,
			Purpose: "Source of truth: an event, de-duplicated, with every link it got.",
		},
		{
			Name: Rejections, Retention: 7 * day,
			Purpose: "A submission that did not become an event, and why.",
		},
		{
			Name: ConversationCommands, Retention: 7 * day,
			Purpose: "A requested transition of a conversation.",
		},
		{
			Name:    Conversations,
			Purpose: "Source of truth: an accepted transition with the conversation's next version and its links.",
		},
		{
			Name: ConversationState, Compacted: true, DeleteRetention: TombstoneRetention,
			Purpose: "The latest state of a conversation, with the commands that it remembers.",
		},
		{
			Name: CommandReplies, Retention: time.Hour,
			Purpose: "What became of a command; every edge reads all of them and picks its own.",
		},
		{
			Name: DeadLetters, Partitions: 1, Retention: 30 * day,
			Purpose: "A record that nobody could process: its reason, origin and bytes.",
		},
	}, webhooks()...)
}

// Layout gives every Spec its number of partitions.
func Layout(partitions int) []Spec {
	specs := All()
	for i := range specs {
		if specs[i].Partitions == 0 {
			specs[i].Partitions = partitions
		}
	}
	return specs
}
