package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// Types of the records in the topic webhook-endpoints: the middle parts of their keys (workspace/TYPE/id).
const (
	EndpointType = "ENDPOINT"
	StateType    = "STATE"
)

// What Endpoint.AssignedScope may be: which conversations a conversation.assigned is told of.
const (
	// ScopeProactive is SnapEngage's meaning: chats that the site began.
	ScopeProactive = "proactive"
	ScopeAll       = "all"
)

// What Endpoint.Format may be.
const (
	FormatJSON  = "json"
	FormatSlack = "slack"
	FormatTeams = "teams"
)

// What Endpoint.Ordering may be.
const (
	OrderingNone         = "none"
	OrderingConversation = "conversation"
)

// Endpoint is who is told of what, in the topic webhook-endpoints. What lets somebody in, or is likely to, is sealed:
// the URL, the headers and all secrets.
type Endpoint struct {
	Version   int    `json:"v"`
	Workspace string `json:"workspace"`
	ID        string `json:"id"`
	// Revision counts the writes of the settings. A State belongs to one revision: a PUT makes the endpoint a new one.
	Revision       int64         `json:"revision"`
	Enabled        bool          `json:"enabled"`
	Events         []string      `json:"events"`
	AssignedScope  string        `json:"assignedScope"`
	Teams          []string      `json:"teams,omitempty"`
	Channels       []string      `json:"channels,omitempty"`
	ObjectTypes    []object.Type `json:"objectTypes,omitempty"`
	Filter         string        `json:"filter,omitempty"`
	QueueThreshold int           `json:"queueThreshold"`
	Format         string        `json:"format"`
	DigestSeconds  int           `json:"digestSeconds,omitempty"`
	// RateLimit is attempts a second, or nil for no limit.
	RateLimit *float64   `json:"rateLimitPerSecond,omitempty"`
	Ordering  string     `json:"ordering"`
	CreatedAt event.Time `json:"createdAt"`
	UpdatedAt event.Time `json:"updatedAt"`
	// Sealed is a Private.
	Sealed []byte `json:"sealed"`
}

// Private is the sealed part of an Endpoint.
type Private struct {
	URL            string            `json:"url"`
	AuthToken      string            `json:"authToken,omitempty"`
	AuthHeaderName string            `json:"authHeaderName,omitempty"`
	Headers        map[string]string `json:"headers,omitempty"`
	// Secrets sign deliveries, the newest first. The others are on their way out.
	Secrets []Secret `json:"secrets"`
}

// Encode writes the text that is sealed.
func (p *Private) Encode() ([]byte, error) { return encode("private part", p) }

// Secret is a signing secret in the form of Standard Webhooks: whsec_ and base64.
type Secret struct {
	Value     string     `json:"value"`
	CreatedAt event.Time `json:"createdAt"`
	// ExpiresAt is zero for the secret in force.
	ExpiresAt event.Time `json:"expiresAt,omitzero"`
}

// Current lists the secrets that sign at a time, the newest first.
func (p *Private) Current(now time.Time) []Secret {
	return slices.DeleteFunc(slices.Clone(p.Secrets), func(s Secret) bool {
		return !s.ExpiresAt.IsZero() && !now.Before(s.ExpiresAt.Time)
	})
}

// AdditionalData binds the sealed part to its endpoint.
func (e *Endpoint) AdditionalData() []byte {
	return fmt.Appendf(nil, "webhook-endpoint\x00%s\x00%s", e.Workspace, e.ID)
}

// Wants says whether the endpoint asked for events of a type.
func (e *Endpoint) Wants(eventType string) bool { return slices.Contains(e.Events, eventType) }

// Encode writes the record's value.
func (e *Endpoint) Encode() ([]byte, error) {
	e.Version = RecordVersion
	return encode("endpoint", e)
}

// ParseEndpoint reads a record's value. It ignores members that it does not know.
func ParseEndpoint(value []byte) (*Endpoint, error) {
	var e Endpoint
	if err := decode("endpoint", value, &e, &e.Version); err != nil {
		return nil, err
	}
	if e.Workspace == "" || e.ID == "" || len(e.Sealed) == 0 {
		return nil, errors.New("parse webhook endpoint: workspace, id and sealed are required")
	}
	return &e, nil
}

// State is what deliveries have made of an endpoint, in the topic webhook-endpoints. It is written by the sender alone,
// so that it and a PUT cannot undo each other.
type State struct {
	Version   int    `json:"v"`
	Workspace string `json:"workspace"`
	ID        string `json:"id"`
	// Revision is the endpoint's revision that the state is of. It says nothing of any other.
	Revision int64 `json:"revision"`
	// FailingSince is the first failure after the last success, or zero.
	FailingSince event.Time `json:"failingSince,omitzero"`
	// DisabledAt is when the sender gave the endpoint up, or zero.
	DisabledAt event.Time `json:"disabledAt,omitzero"`
	Reason     string     `json:"reason,omitempty"`
}

// Why an endpoint was given up.
const (
	ReasonGone    = "gone"
	ReasonFailing = "failing"
	// ReasonBlocked: its deliveries are to come in order, and one of them could not be made.
	ReasonBlocked = "blocked"
)

// Encode writes the record's value.
func (s *State) Encode() ([]byte, error) {
	s.Version = RecordVersion
	return encode("state", s)
}

// ParseState reads a record's value. It ignores members that it does not know.
func ParseState(value []byte) (*State, error) {
	var s State
	if err := decode("state", value, &s, &s.Version); err != nil {
		return nil, err
	}
	if s.Workspace == "" || s.ID == "" {
		return nil, errors.New("parse webhook state: workspace and id are required")
	}
	return &s, nil
}

// Of says whether the state is that of the endpoint as it is now.
func (s *State) Of(e *Endpoint) bool { return s != nil && s.Revision == e.Revision }

func encode(what string, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode webhook %s: %w", what, err)
	}
	return b, nil
}

func decode(what string, value []byte, v any, version *int) error {
	if err := json.Unmarshal(value, v); err != nil {
		return fmt.Errorf("parse webhook %s: %w", what, err)
	}
	if *version < 1 || *version > RecordVersion {
		return fmt.Errorf("parse webhook %s: version %d is not known, the newest known is %d", what, *version, RecordVersion)
	}
	return nil
}
