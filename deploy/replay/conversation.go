package replay

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/object"
)

// channel is how every conversation of a call centre's trace comes in.
const channel = "phone"

// step is a transition of a conversation: the body that asks for it, and the time at which it happens.
type step struct {
	ConversationID string            `json:"conversationId"`
	Type           conversation.Type `json:"type"`
	// ID makes the step harmless to repeat: a conversation has each of its kinds once.
	ID         string                  `json:"id"`
	OccurredAt time.Time               `json:"occurredAt"`
	Team       string                  `json:"team,omitempty"`
	Channel    string                  `json:"channel,omitempty"`
	Customer   *conversation.Reference `json:"customer,omitempty"`
	Agent      *conversation.Reference `json:"agent,omitempty"`
}

// talk is a conversation's steps, in their order.
type talk []step

// talkOf tells a call as a conversation: opened as it came in, queued where it waited, responded by whoever took it, and
// closed. The kind of service that was asked for is the team.
func talkOf(c *Call) talk {
	all := make(talk, 0, 4)
	add := func(t conversation.Type, at time.Time) *step {
		if at.IsZero() {
			return &step{}
		}
		all = append(all, step{ConversationID: c.ID, Type: t, ID: string(t), OccurredAt: at})
		return &all[len(all)-1]
	}
	opened := add(conversation.Opened, c.Opened)
	opened.Team, opened.Channel = c.Service, channel
	if c.Customer != "" {
		opened.Customer = &conversation.Reference{ID: c.Customer}
	}
	add(conversation.Queued, c.Queued)
	if c.Agent != "" {
		add(conversation.Responded, c.Responded).Agent = &conversation.Reference{ID: c.Agent}
	}
	add(conversation.Closed, c.Closed)
	return all
}

// upsert is an object that conversations name.
type upsert struct {
	ObjectType object.Type    `json:"objectType"`
	ObjectID   string         `json:"objectId"`
	ExternalID string         `json:"externalId,omitempty"`
	Name       string         `json:"name"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

// objectsOf lists whom the calls name, each once: agents, then customers, in the order of their ids. A customer has the
// priority of their last call.
func objectsOf(calls []Call) []upsert {
	customers, agents := make(map[string]upsert), make(map[string]upsert)
	for _, c := range calls {
		if c.Customer != "" {
			customers[c.Customer] = upsert{
				ObjectType: object.Customer, ObjectID: c.Customer, Name: "Customer " + c.Customer, ExternalID: "bank-" + c.Customer,
				Attributes: map[string]any{"priority": c.Priority},
			}
		}
		if c.Agent != "" {
			agents[c.Agent] = upsert{ObjectType: object.User, ObjectID: c.Agent, Name: title(c.Agent)}
		}
	}
	var all []upsert
	for _, group := range []map[string]upsert{agents, customers} {
		all = append(all, slices.SortedFunc(maps.Values(group), func(a, b upsert) int { return strings.Compare(a.ObjectID, b.ObjectID) })...)
	}
	return all
}

// title writes an agent's id, which is all capitals, as a name.
func title(s string) string { return s[:1] + strings.ToLower(s[1:]) }
