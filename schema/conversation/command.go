package conversation

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// Limits of a transition as it is sent. Each is named in the error of what exceeds it.
const (
	MaxCommandBytes  = event.MaxEventBytes // after decompression
	MaxAgents        = 50                  // of one broadcast
	MaxLabels        = 64
	MaxTextLength    = 256  // code points of a label, a team, a channel, a reason
	MaxCommentLength = 8192 // code points
	MinRating        = 1
	MaxRating        = 5
)

// Reference names a party as a caller does: by its id, or by the id it has in the caller's own system.
type Reference struct {
	ID         string `json:"objectId,omitempty"`
	ExternalID string `json:"externalId,omitempty"`
}

// Lookup is the reference to an object of a type.
func (r Reference) Lookup(t object.Type) object.Lookup {
	return object.Lookup{Type: t, ID: r.ID, ExternalID: r.ExternalID}
}

// Command is a requested transition, in the topic conversation-commands under the key of its conversation. It is in the
// clear; the topic expires.
type Command struct {
	Form           int    `json:"v"`
	Workspace      string `json:"workspace"`
	ConversationID string `json:"conversationId"`
	// Request is the edge's own name for the request, under which it finds the reply.
	Request string `json:"request"`
	// ID makes retries harmless: the caller's, or one that the edge has made.
	ID   string `json:"id"`
	Type Type   `json:"type"`
	// ExpectedVersion is the version that the conversation must have; 0 means that it must be new.
	ExpectedVersion *int64 `json:"expectedVersion,omitempty"`
	// OccurredAt is zero where the caller did not say: then it is ReceivedAt.
	OccurredAt event.Time `json:"occurredAt,omitzero"`
	ReceivedAt event.Time `json:"receivedAt"`

	Customer  *Reference  `json:"customer,omitempty"`
	Agent     *Reference  `json:"agent,omitempty"`
	Bot       *Reference  `json:"bot,omitempty"`
	Agents    []Reference `json:"agents,omitempty"`
	Team      string      `json:"team,omitempty"`
	Channel   string      `json:"channel,omitempty"`
	Proactive bool        `json:"proactive,omitempty"`
	ToQueue   bool        `json:"toQueue,omitempty"`
	// Labels is nil where none are named; an empty list takes all away.
	Labels  *[]string `json:"labels,omitempty"`
	Rating  int       `json:"rating,omitempty"`
	Comment string    `json:"comment,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	// Attributes is a JSON object, byte for byte as the caller sent it: held as a string, because a raw value would be
	// reformatted when the record is written.
	Attributes string `json:"attributes,omitempty"`
}

// Occurred is the time at which the transition is said to have happened.
func (c *Command) Occurred() event.Time {
	if c.OccurredAt.IsZero() {
		return c.ReceivedAt
	}
	return c.OccurredAt
}

// Validate lists every rule that a command breaks. An empty Type is a missing one.
func (c *Command) Validate(now time.Time) []object.Violation {
	v := &violations{}
	if err := object.ValidateID(c.ConversationID); err != nil {
		v.add("/conversationId", "%s", err)
	}
	if c.ID != "" {
		if err := object.ValidateID(c.ID); err != nil {
			v.add("/id", "%s", err)
		}
	}
	if c.ExpectedVersion != nil && *c.ExpectedVersion < 0 {
		v.add("/expectedVersion", "must not be negative")
	}
	if !c.OccurredAt.IsZero() {
		if err := event.CheckTime(c.OccurredAt, now); err != nil {
			v.add("/occurredAt", "%s", err)
		}
	}
	if c.Type == "" {
		v.add("/type", "is required")
		return v.all
	}
	c.members(v)
	c.required(v)
	c.content(v)
	return v.all
}

// violations collects broken rules.
type violations struct{ all []object.Violation }

func (v *violations) add(pointer, format string, args ...any) {
	v.all = append(v.all, object.Violation{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

// named lists the members that a command names, of those that not every transition has, in the order of the
// documentation.
func (c *Command) named() []string {
	var out []string
	for _, m := range [...]struct {
		name  string
		named bool
	}{
		{"customer", c.Customer != nil},
		{"agent", c.Agent != nil},
		{"bot", c.Bot != nil},
		{"agents", c.Agents != nil},
		{"team", c.Team != ""},
		{"channel", c.Channel != ""},
		{"proactive", c.Proactive},
		{"toQueue", c.ToQueue},
		{"labels", c.Labels != nil},
		{"rating", c.Rating != 0},
		{"comment", c.Comment != ""},
		{"reason", c.Reason != ""},
		{"attributes", c.Attributes != ""},
	} {
		if m.named {
			out = append(out, m.name)
		}
	}
	return out
}

// Members lists what a transition may name beside id, type, times and expectedVersion.
func Members(t Type) []string {
	switch t {
	case Opened:
		return []string{"customer", "channel", "team", "attributes"}
	case Queued:
		return []string{"team", "channel"}
	case Broadcasted:
		return []string{"agents"}
	case Assigned:
		return []string{"agent", "proactive"}
	case Responded:
		return []string{"agent", "bot"}
	case Transferred:
		return []string{"agent", "team", "toQueue"}
	case Labeled:
		return []string{"labels"}
	case Surveyed:
		return []string{"rating", "comment"}
	case Closed:
		return []string{"reason"}
	default:
		return nil
	}
}

// members refuses what a transition does not have: a member that did nothing would hide a mistake.
func (c *Command) members(v *violations) {
	may := Members(c.Type)
	for _, m := range c.named() {
		if !slices.Contains(may, m) {
			v.add("/"+m, "is not a member of %s; its members are %s", c.Type, strings.Join(may, ", "))
		}
	}
}

// required refuses what says too little, or two things at once.
func (c *Command) required(v *violations) {
	switch c.Type {
	case Broadcasted:
		if len(c.Agents) == 0 {
			v.add("/agents", "is required: one or several")
		}
	case Assigned:
		if c.Agent == nil {
			v.add("/agent", "is required")
		}
	case Responded:
		if (c.Agent == nil) == (c.Bot == nil) {
			v.add("/agent", "exactly one of agent and bot is required")
		}
	case Transferred:
		toTeam := c.Team != "" || c.ToQueue
		if (c.Agent == nil) != toTeam {
			v.add("/agent", "either agent, or team or toQueue is required")
		}
	case Labeled:
		if c.Labels == nil {
			v.add("/labels", "is required")
		}
	case Surveyed:
		if c.Rating == 0 && c.Comment == "" {
			v.add("/rating", "is required where comment is absent")
		}
	default:
	}
}

// content refuses values that break a limit.
func (c *Command) content(v *violations) {
	v.reference("/customer", c.Customer)
	v.reference("/agent", c.Agent)
	v.reference("/bot", c.Bot)
	if len(c.Agents) > MaxAgents {
		v.add("/agents", "has %d items; at most %d are allowed", len(c.Agents), MaxAgents)
	} else {
		for i, r := range c.Agents {
			v.reference(fmt.Sprintf("/agents/%d", i), &r)
		}
	}
	v.text("/team", c.Team)
	v.text("/channel", c.Channel)
	v.text("/reason", c.Reason)
	if c.Labels != nil {
		v.labels(*c.Labels)
	}
	if c.Rating != 0 && (c.Rating < MinRating || c.Rating > MaxRating) {
		v.add("/rating", "must be a whole number from %d to %d", MinRating, MaxRating)
	}
	v.atMost("/comment", c.Comment, MaxCommentLength)
	switch a := c.Attributes; {
	case a == "":
	case a[0] != '{':
		v.add("/attributes", "must be a JSON object")
	default:
		if d := object.Depth([]byte(a)); d > object.MaxPayloadDepth {
			v.add("/attributes", "is nested %d levels deep; at most %d are allowed", d, object.MaxPayloadDepth)
		}
	}
}

func (v *violations) reference(pointer string, r *Reference) {
	if r != nil {
		v.all = append(v.all, object.ValidateIdentity(pointer, r.ID, r.ExternalID)...)
	}
}

func (v *violations) labels(labels []string) {
	if len(labels) > MaxLabels {
		v.add("/labels", "has %d items; at most %d are allowed", len(labels), MaxLabels)
		return
	}
	for i, l := range labels {
		at := fmt.Sprintf("/labels/%d", i)
		if l == "" {
			v.add(at, "must not be empty")
		}
		v.text(at, l)
	}
}

// text checks a short text on one line.
func (v *violations) text(pointer, s string) {
	v.atMost(pointer, s, MaxTextLength)
	if strings.ContainsFunc(s, unicode.IsControl) {
		v.add(pointer, "must not contain control characters")
	}
}

func (v *violations) atMost(pointer, s string, limit int) {
	// No text has more code points than bytes.
	if len(s) <= limit {
		return
	}
	if n := utf8.RuneCountInString(s); n > limit {
		v.add(pointer, "has %d code points; at most %d are allowed", n, limit)
	}
}

// ParseCommand reads a record's value. It ignores members that it does not know, and does not validate beyond what
// deciding needs: the edge has done so.
func ParseCommand(value []byte) (*Command, error) {
	c, err := read(value, "command", decodeCommand)
	if err != nil {
		return nil, err
	}
	if err := knownForm(c.Form); err != nil {
		return nil, fmt.Errorf("parse command: %w", err)
	}
	if c.Workspace == "" || c.ConversationID == "" || c.ID == "" || c.ReceivedAt.IsZero() {
		return nil, errors.New("parse command: workspace, conversationId, id and receivedAt are required")
	}
	if _, err := ParseType(string(c.Type)); err != nil {
		return nil, fmt.Errorf("parse command: %w", err)
	}
	return c, nil
}
