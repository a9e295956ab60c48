package topic

import (
	"slices"
	"strconv"
	"time"
)

// Names of record headers. The ce_ ones are CloudEvents 1.0 in the binary mode of its Kafka binding, so that any
// client can read what a record is without knowing its body.
const (
	HeaderSpecVersion = "ce_specversion"
	HeaderID          = "ce_id"
	HeaderType        = "ce_type"
	HeaderSource      = "ce_source"
	HeaderTime        = "ce_time"
	HeaderContentType = "content-type"
	// HeaderOrigin names the record that this one was derived from: topic/partition/offset.
	HeaderOrigin = "origin"
	// HeaderDigest is the digest of an event's content, by which a repeat is told from a conflict.
	HeaderDigest = "digest"
	// HeaderRequest names the request that a reply answers, so that an edge need not read those of others.
	HeaderRequest = "request"
	// HeaderRetryOf names the dead letter whose record this one puts back: group/topic/partition/offset.
	HeaderRetryOf = "retry-of"
)

// Types of records, as in ce_type.
const (
	TypeWorkspace  = "throughline.workspace"
	TypeAPIKey     = "throughline.api-key"
	TypeObject     = "throughline.object"
	TypeSubjectKey = "throughline.subject-key"
	TypeSubmission = "throughline.submission"
	TypeEvent      = "throughline.event"
	TypeRejection  = "throughline.rejection"
	TypeDeadLetter = "throughline.dead-letter"
	// TypeDeadLetterRetry is that of the note that a dead letter's record was put back.
	TypeDeadLetterRetry = "throughline.dead-letter-retry"

	TypeConversationCommand = "throughline.conversation-command"
	TypeTransition          = "throughline.transition"
	TypeConversation        = "throughline.conversation"
	TypeCommandReply        = "throughline.command-reply"
)

// Header is one header of a record.
type Header struct {
	Key   string
	Value string
}

// Envelope is what a record says of itself in its headers.
type Envelope struct {
	ID        string
	Type      string
	Workspace string
	Time      time.Time
}

// Headers lists the envelope's headers, and those in more, in a stable order.
func (e Envelope) Headers(more ...Header) []Header {
	return append([]Header{
		{HeaderSpecVersion, "1.0"},
		{HeaderID, e.ID},
		{HeaderType, e.Type},
		{HeaderSource, "/workspaces/" + e.Workspace},
		{HeaderTime, e.Time.UTC().Format(time.RFC3339Nano)},
		{HeaderContentType, "application/json"},
	}, more...)
}

// Origin is the value of HeaderOrigin for a record.
func Origin(name string, partition int32, offset int64) string {
	return string(AppendOrigin(nil, name, partition, offset))
}

// AppendOrigin appends what Origin gives.
func AppendOrigin(b []byte, name string, partition int32, offset int64) []byte {
	const numbers = 24 // two of them with their slashes, as long as they usually are
	b = append(slices.Grow(b, len(name)+numbers), name...)
	b = strconv.AppendInt(append(b, '/'), int64(partition), 10)
	return strconv.AppendInt(append(b, '/'), offset, 10)
}
