package conversation

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/topic"
)

// RecordVersion is the version of the forms of records in this package. A reader refuses a greater one.
const RecordVersion = 1

func knownForm(v int) error {
	if v < 1 || v > RecordVersion {
		return fmt.Errorf("version %d is not known, the newest known is %d", v, RecordVersion)
	}
	return nil
}

// Transition is an accepted transition in the topic conversations, the source of truth, under the key of its
// conversation. It says what happened and what the conversation was like after it, so that a reader needs no other record.
// What is personal is sealed with a data key of the conversation.
type Transition struct {
	Form           int    `json:"v"`
	Workspace      string `json:"workspace"`
	ConversationID string `json:"conversationId"`
	// Version is the conversation's: 1, 2, 3 … without a gap.
	Version int64 `json:"version"`
	Type    Type  `json:"type"`
	// CommandID is the id of the command; empty where the transition is implied.
	CommandID string `json:"commandId,omitempty"`
	// From is empty for the first transition of a conversation.
	From State `json:"from,omitempty"`
	To   State `json:"to"`
	// OccurredAt is never before that of the transition before it.
	OccurredAt event.Time `json:"occurredAt"`
	ReceivedAt event.Time `json:"receivedAt"`
	// Implied says that nobody asked for it: the conversation began with another transition.
	Implied bool `json:"implied,omitempty"`
	// First is there for responded: whether nobody had responded before. Only the first one counts and is announced.
	First *bool `json:"first,omitempty"`

	Customer *Party `json:"customer,omitempty"`
	// Agent is the USER or the CHATBOT of the transition.
	Agent     *Party   `json:"agent,omitempty"`
	Agents    []Party  `json:"agents,omitempty"`
	Team      string   `json:"team,omitempty"`
	Channel   string   `json:"channel,omitempty"`
	Proactive bool     `json:"proactive,omitempty"`
	ToQueue   bool     `json:"toQueue,omitempty"`
	Labels    []string `json:"labels,omitempty"`
	Rating    int      `json:"rating,omitempty"`
	Reason    string   `json:"reason,omitempty"`

	// Stay is the stay in a team's queue that the transition has ended.
	Stay *Stay `json:"stay,omitempty"`
	// Links has the conversation first, then the others on whose timelines the transition belongs, each object once.
	Links []event.Link `json:"links"`
	// LinksDropped counts related objects beyond event.MaxLinks.
	LinksDropped int    `json:"linksDropped,omitempty"`
	KeyID        string `json:"keyId,omitempty"`
	// Sealed is a Personal; empty where nothing is personal, or the subject was erased before.
	Sealed []byte `json:"sealed,omitempty"`
	// After is the conversation after the transition.
	After Conversation `json:"after"`
}

// Stay is time in the queue of a team, up to the transition's OccurredAt.
type Stay struct {
	// From is when the conversation came into this team's queue.
	From event.Time `json:"from"`
	// Began is when it came into the queue at all: before From where other teams had it first.
	Began   event.Time `json:"began"`
	Team    string     `json:"team,omitempty"`
	Channel string     `json:"channel,omitempty"`
	// Continues says that the conversation went over to another team's queue: it stays in the state QUEUED, and only this
	// team's part of the stay has ended.
	Continues bool `json:"continues,omitempty"`
}

// Personal is the sealed part of a Transition.
type Personal struct {
	// Attributes is a JSON text held as a string, because a raw value would be reformatted when the record is written.
	Attributes string `json:"attributes,omitempty"`
	Comment    string `json:"comment,omitempty"`
	// Named is whom the caller named, where that was by an external id.
	Named []object.Lookup `json:"named,omitempty"`
	// Missing lists those that were not found.
	Missing []object.Lookup `json:"missing,omitempty"`
}

// Empty says that there is nothing to seal.
func (p *Personal) Empty() bool {
	return p.Attributes == "" && p.Comment == "" && len(p.Named) == 0 && len(p.Missing) == 0
}

// Ref is the conversation as an object.
func (t *Transition) Ref() object.Ref {
	return object.Ref{Type: object.Conversation, ID: t.ConversationID}
}

// Key is the key of every record of a conversation.
func Key(workspace, id string) []byte { return topic.Key(workspace, string(object.Conversation), id) }

// Envelope is what the record says of itself in its headers.
func (c *Command) Envelope() topic.Envelope {
	return topic.Envelope{ID: c.ID, Type: topic.TypeConversationCommand, Workspace: c.Workspace, Time: c.ReceivedAt.Time}
}

// Envelope is what the record says of itself in its headers.
func (t *Transition) Envelope() topic.Envelope {
	return topic.Envelope{ID: t.ID(), Type: topic.TypeTransition, Workspace: t.Workspace, Time: t.OccurredAt.Time}
}

// Envelope is what the record says of itself in its headers.
func (s *Snapshot) Envelope() topic.Envelope {
	return topic.Envelope{ID: s.ID, Type: topic.TypeConversation, Workspace: s.Workspace, Time: s.LastTransitionAt.Time}
}

// Envelope is what the record says of itself in its headers. at is when the command was received.
func (r *Reply) Envelope(at event.Time) topic.Envelope {
	return topic.Envelope{ID: r.Request, Type: topic.TypeCommandReply, Workspace: r.Workspace, Time: at.Time}
}

// ID names the transition on timelines and in record headers: conversation:version.
func (t *Transition) ID() string { return t.ConversationID + ":" + strconv.FormatInt(t.Version, 10) }

// AdditionalData binds the sealed part to the transition.
func (t *Transition) AdditionalData() []byte {
	return fmt.Appendf(nil, "transition\x00%s\x00%s\x00%d", t.Workspace, t.ConversationID, t.Version)
}

// Snapshot is the state of a conversation in the compacted topic conversation-state, under the key of its conversation,
// with the commands that it remembers. That of a closed conversation stays, so that its id is never used again.
type Snapshot struct {
	Form int `json:"v"`
	Conversation

	// Commands has the newest last.
	Commands []Remembered `json:"commands,omitempty"`
}

// Reply answers a command, in the topic command-replies. It is in the clear and expires soon.
type Reply struct {
	Form           int    `json:"v"`
	Request        string `json:"request"`
	Workspace      string `json:"workspace"`
	ConversationID string `json:"conversationId"`
	CommandID      string `json:"commandId"`
	// Version and State are the conversation's, also where the command is refused.
	Version int64 `json:"version"`
	State   State `json:"state,omitempty"`
	Changed bool  `json:"changed,omitempty"`
	// Missing lists those that the command names and that are not known.
	Missing []object.Lookup `json:"missing,omitempty"`
	// Refusal is nil where the command was accepted.
	Refusal *Refusal `json:"refusal,omitempty"`
}

// read is a record of its value: decode takes those that are in the form in which they are written.
func read[T any](value []byte, what string, decode func(string) (T, bool)) (*T, error) {
	if v, ok := decode(string(value)); ok {
		return &v, nil
	}
	var v T
	if err := json.Unmarshal(value, &v); err != nil {
		return nil, fmt.Errorf("parse %s: %w", what, err)
	}
	return &v, nil
}

// ParseTransition reads a record's value. It ignores members that it does not know.
func ParseTransition(value []byte) (*Transition, error) {
	t, err := read(value, "transition", decodeTransition)
	if err != nil {
		return nil, err
	}
	if err := knownForm(t.Form); err != nil {
		return nil, fmt.Errorf("parse transition: %w", err)
	}
	if t.Workspace == "" || t.ConversationID == "" || t.Version < 1 || t.Type == "" || t.To == StateNone || len(t.Links) == 0 {
		return nil, errors.New("parse transition: workspace, conversationId, version, type, to and links are required")
	}
	if t.After.ID != t.ConversationID || t.After.Workspace != t.Workspace || t.After.Version != t.Version {
		return nil, errors.New("parse transition: after is another conversation's, or of another version")
	}
	return t, nil
}

// ParseSnapshot reads a record's value. It ignores members that it does not know.
func ParseSnapshot(value []byte) (*Snapshot, error) {
	s, err := read(value, "snapshot", decodeSnapshot)
	if err != nil {
		return nil, err
	}
	if err := knownForm(s.Form); err != nil {
		return nil, fmt.Errorf("parse snapshot: %w", err)
	}
	if s.Workspace == "" || s.ID == "" || s.Version < 1 || s.State == StateNone {
		return nil, errors.New("parse snapshot: workspace, conversationId, version and state are required")
	}
	return s, nil
}

// ParseReply reads a record's value. It ignores members that it does not know.
func ParseReply(value []byte) (*Reply, error) {
	r, err := read(value, "reply", decodeReply)
	if err != nil {
		return nil, err
	}
	if err := knownForm(r.Form); err != nil {
		return nil, fmt.Errorf("parse reply: %w", err)
	}
	if r.Request == "" || r.ConversationID == "" {
		return nil, errors.New("parse reply: request and conversationId are required")
	}
	return r, nil
}
