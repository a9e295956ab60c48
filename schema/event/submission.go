// Package event holds what an event is at each stage: a submission (accepted), an event (linked), a rejection, a dead
// letter; and the pure rules of their content.
package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/throughline/throughline/schema/object"
)

// Limits of an event. Each is named in the error of what exceeds it.
const (
	MaxEventBytes        = 32 << 10 // as sent, after decompression
	MaxBatchItems        = 2500
	MaxBatchBytes        = 8 << 20 // after decompression
	MaxNameLength        = 256     // code points
	MaxDescriptionLength = 8192    // code points
	MaxIconLength        = 2048    // code points: a URL
	MaxSourceLength      = 256     // code points
	MaxRelatedObjects    = 50
	MaxLinks             = 200
)

// RecordVersion is the version of the forms of records in this package. A reader refuses a greater one.
const RecordVersion = 1

// Submission is an event as accepted, in the topic submissions, and as any Kafka producer may append it there. It is
// in the clear; the topic expires.
type Submission struct {
	Version   int         `json:"v"`
	ID        string      `json:"id,omitempty"`
	Workspace string      `json:"workspace"`
	Type      object.Type `json:"objectType"`
	// ObjectID and ExternalID name the primary object as the caller did; once Resolved, ObjectID is the object's.
	ObjectID    string `json:"objectId,omitempty"`
	ExternalID  string `json:"externalId,omitempty"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Icon        string `json:"icon,omitempty"`
	Source      string `json:"source,omitempty"`
	// OccurredAt is zero where the caller did not say: then it is ReceivedAt.
	OccurredAt Time            `json:"occurredAt,omitzero"`
	ReceivedAt Time            `json:"receivedAt,omitzero"`
	Related    []object.Lookup `json:"relatedObjects,omitempty"`
	// Resolved says that the edge has found the primary object and answered so; link never refuses it again.
	Resolved bool `json:"resolved,omitempty"`
	// Payload is the caller's JSON, byte for byte.
	Payload json.RawMessage `json:"payload,omitempty"`
}

// Validate lists every rule that a submission breaks; Type must be canonical already, or empty where it is absent.
func (s *Submission) Validate(now time.Time) []object.Violation {
	var v []object.Violation
	add := func(pointer, format string, args ...any) {
		v = append(v, object.Violation{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
	atMost := func(pointer, s string, limit int) {
		// No text has more code points than bytes.
		if len(s) <= limit {
			return
		}
		if n := utf8.RuneCountInString(s); n > limit {
			add(pointer, "has %d code points; at most %d are allowed", n, limit)
		}
	}
	if s.Type == "" {
		add("/objectType", "is required")
	}
	v = append(v, object.ValidateIdentity("", s.ObjectID, s.ExternalID)...)
	if s.ID != "" {
		if err := object.ValidateID(s.ID); err != nil {
			add("/id", "%s", err)
		}
	}
	if s.Name == "" {
		add("/name", "is required")
	}
	atMost("/name", s.Name, MaxNameLength)
	atMost("/description", s.Description, MaxDescriptionLength)
	atMost("/icon", s.Icon, MaxIconLength)
	atMost("/source", s.Source, MaxSourceLength)
	if !s.OccurredAt.IsZero() {
		if err := CheckTime(s.OccurredAt, now); err != nil {
			add("/occurredAt", "%s", err)
		}
	}
	v = append(v, object.ValidateLookups("/relatedObjects", s.Related, MaxRelatedObjects)...)
	// Each level takes a byte at both of its ends.
	if len(s.Payload) > 2*object.MaxPayloadDepth {
		if d := object.Depth(s.Payload); d > object.MaxPayloadDepth {
			add("/payload", "is nested %d levels deep; at most %d are allowed", d, object.MaxPayloadDepth)
		}
	}
	return v
}

// Occurred is the time at which the event happened.
func (s *Submission) Occurred() Time {
	if s.OccurredAt.IsZero() {
		return s.ReceivedAt
	}
	return s.OccurredAt
}

// ErrWorkspaceMissing is what ParseSubmission answers for a record that names no workspace.
var ErrWorkspaceMissing = errors.New("workspace is required")

// ParseSubmission reads a record's value. It ignores members that it does not know, accepts the aliases of object
// types, and does not validate: the edge has done so, and link does it for records of other producers.
func ParseSubmission(value []byte) (*Submission, error) {
	s, ok := decodeSubmission(string(value))
	if !ok {
		s = Submission{}
		if err := json.Unmarshal(value, &s); err != nil {
			return nil, fmt.Errorf("parse submission: %w", err)
		}
	}
	if s.Version > RecordVersion {
		return nil, fmt.Errorf("parse submission: version %d is not known, the newest known is %d", s.Version, RecordVersion)
	}
	if s.Workspace == "" {
		return nil, fmt.Errorf("parse submission: %w", ErrWorkspaceMissing)
	}
	if bytes.Equal(s.Payload, []byte("null")) {
		s.Payload = nil
	}
	return &s, nil
}

// Digest is a hash of what the caller said of the event, its primary and id aside. Two submissions with the same
// identity and digest are the same; with another digest the later one conflicts.
func (s *Submission) Digest() [16]byte {
	h := sha256.New()
	var n [8]byte
	field := func(b []byte) {
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	field([]byte(s.Name))
	field([]byte(s.Description))
	field([]byte(s.Icon))
	field([]byte(s.Source))
	if s.OccurredAt.IsZero() {
		field(nil)
	} else {
		field(fmt.Appendf(nil, "%d", s.OccurredAt.UnixMilli()))
	}
	field(s.Payload)
	for _, r := range s.Related {
		field([]byte(r.Type))
		field([]byte(r.ID))
		field([]byte(r.ExternalID))
	}
	return [16]byte(h.Sum(nil)[:16])
}
