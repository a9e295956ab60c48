// Package conversation holds what a conversation is: the transitions it goes through, the rules that say which of them a
// state allows, and the records by which all of it stands in the log.
//
// A conversation is an aggregate. Decide answers a command to its state with transitions or a refusal, Apply folds a
// transition into the state; both are pure. Who runs them, one at a time for each conversation, is package
// ingest/conversation.
package conversation

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// State is where a conversation stands.
type State string

// The states. StateNone is that of a conversation that nobody has begun.
const (
	StateNone     State = ""
	StateOpen     State = "OPEN"
	StateQueued   State = "QUEUED"
	StateAssigned State = "ASSIGNED"
	StateActive   State = "ACTIVE"
	StateClosed   State = "CLOSED"
)

// States lists every state that a conversation can be in, in the order in which it usually goes through them.
func States() []State {
	return []State{StateOpen, StateQueued, StateAssigned, StateActive, StateClosed}
}

// ErrState is what ParseState answers for a name that is no state.
var ErrState = errors.New("unknown state: want one of OPEN, QUEUED, ASSIGNED, ACTIVE, CLOSED")

// ParseState reads a state in any case.
func ParseState(s string) (State, error) {
	if state := State(strings.ToUpper(s)); slices.Contains(States(), state) {
		return state, nil
	}
	return StateNone, ErrState
}

// Type is the kind of a transition.
type Type string

// The transitions.
const (
	Opened      Type = "opened"
	Queued      Type = "queued"
	Broadcasted Type = "broadcasted"
	Assigned    Type = "assigned"
	Responded   Type = "responded"
	Transferred Type = "transferred"
	Labeled     Type = "labeled"
	Surveyed    Type = "surveyed"
	Closed      Type = "closed"
)

// Types lists every transition, in the order of the documentation.
func Types() []Type {
	return []Type{Opened, Queued, Broadcasted, Assigned, Responded, Transferred, Labeled, Surveyed, Closed}
}

// ErrType is what ParseType answers for a name that is no transition.
var ErrType = errors.New("unknown transition")

// ParseType reads the name of a transition, as it is written: "rated" stands for "surveyed".
func ParseType(s string) (Type, error) {
	if s == "rated" {
		return Surveyed, nil
	}
	if t := Type(s); slices.Contains(Types(), t) {
		return t, nil
	}
	names := make([]string, 0, len(Types())+1)
	for _, t := range Types() {
		names = append(names, string(t))
	}
	return "", fmt.Errorf("%w: want one of %s or rated", ErrType, strings.Join(names, ", "))
}

// Party is a customer, an agent or a bot of a conversation, as far as it can be said in the clear.
type Party struct {
	Type object.Type `json:"objectType"`
	// ID is the object's, or the one that was named where no such object is known.
	ID string `json:"objectId,omitempty"`
	// ExternalToken stands for an external id that named no known object. It tells two strangers apart.
	ExternalToken string `json:"externalToken,omitempty"`
}

// Same says whether two parties are one.
func (p *Party) Same(o *Party) bool {
	if p == nil || o == nil {
		return p == o
	}
	return *p == *o
}

// Conversation is the state that transitions have led to. Its zero value is that of a conversation that does not exist.
// Nothing in it is personal: attributes, comments and external ids are in the sealed parts of transitions.
type Conversation struct {
	Workspace string `json:"workspace"`
	ID        string `json:"conversationId"`
	// Version is that of the last transition: 1, 2, 3 … without a gap.
	Version  int64  `json:"version"`
	State    State  `json:"state"`
	Customer *Party `json:"customer,omitempty"`
	// Accounts are the customer's, as the links of the last transition found them.
	Accounts []string `json:"accounts,omitempty"`
	// Agent is the USER or CHATBOT that has the conversation, or had it last where it is closed; nil in the queue.
	Agent *Party `json:"agent,omitempty"`
	// Team and Channel are the last ones named.
	Team    string `json:"team,omitempty"`
	Channel string `json:"channel,omitempty"`
	// Proactive says that an assignment was declared to be one of a proactive chat.
	Proactive bool     `json:"proactive,omitempty"`
	Labels    []string `json:"labels,omitempty"`
	// Rating is 1 to 5, or 0 where nobody rated.
	Rating int    `json:"rating,omitempty"`
	Reason string `json:"reason,omitempty"`

	OpenedAt event.Time `json:"openedAt,omitzero"`
	// QueuedAt is when the last stay in the queue began; in the state QUEUED it still lasts.
	QueuedAt event.Time `json:"queuedAt,omitzero"`
	// TeamQueuedAt is when it came into the queue of Team, which is later where another team transferred it meanwhile.
	TeamQueuedAt     event.Time `json:"teamQueuedAt,omitzero"`
	FirstRespondedAt event.Time `json:"firstRespondedAt,omitzero"`
	ClosedAt         event.Time `json:"closedAt,omitzero"`
	LastTransitionAt event.Time `json:"lastTransitionAt,omitzero"`

	// Stays counts the stays in the queue, with one that lasts.
	Stays int `json:"stays,omitempty"`
	// WaitedMillis adds up the stays that have ended.
	WaitedMillis int64 `json:"waitedMillis,omitempty"`
	// KeyID names the data key of the conversation that seals what is personal.
	KeyID string `json:"keyId,omitempty"`
}

// Ref is the conversation as an object.
func (c *Conversation) Ref() object.Ref { return object.Ref{Type: object.Conversation, ID: c.ID} }

// Waiting is how long the conversation has stood in the queue, all stays together, with one that lasts up to now.
func (c *Conversation) Waiting(now time.Time) time.Duration {
	d := time.Duration(c.WaitedMillis) * time.Millisecond
	if c.State == StateQueued && now.After(c.QueuedAt.Time) {
		d += now.Sub(c.QueuedAt.Time)
	}
	return d
}

// Handling is how long the conversation was handled: from its first response to its end, or up to now; 0 where nobody
// responded.
func (c *Conversation) Handling(now time.Time) time.Duration {
	switch {
	case c.FirstRespondedAt.IsZero():
		return 0
	case !c.ClosedAt.IsZero():
		return c.ClosedAt.Sub(c.FirstRespondedAt.Time)
	default:
		return max(0, now.Sub(c.FirstRespondedAt.Time))
	}
}
