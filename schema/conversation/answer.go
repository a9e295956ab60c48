package conversation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// Answer is a conversation as the API answers it, and as webhooks carry it. What is not there is null.
type Answer struct {
	ConversationID   string      `json:"conversationId"`
	State            State       `json:"state"`
	Version          int64       `json:"version"`
	Customer         *Person     `json:"customer"`
	Agent            *Person     `json:"agent"`
	Team             *string     `json:"team"`
	Channel          *string     `json:"channel"`
	Proactive        bool        `json:"proactive"`
	Labels           []string    `json:"labels"`
	Rating           *int        `json:"rating"`
	Reason           *string     `json:"reason"`
	OpenedAt         *event.Time `json:"openedAt"`
	QueuedAt         *event.Time `json:"queuedAt"`
	FirstRespondedAt *event.Time `json:"firstRespondedAt"`
	ClosedAt         *event.Time `json:"closedAt"`
	LastTransitionAt *event.Time `json:"lastTransitionAt"`
	// WaitingSeconds is the time in the queue so far, all stays together; HandlingSeconds the time since the first
	// response, up to the end, or null where nobody has responded.
	WaitingSeconds  float64  `json:"waitingSeconds"`
	HandlingSeconds *float64 `json:"handlingSeconds"`
}

// Person is a party as the API answers it. One that is not known has no id; what it was called is among the missing.
type Person struct {
	Type object.Type `json:"objectType"`
	ID   string      `json:"objectId,omitempty"`
}

func person(p *Party) *Person {
	if p == nil {
		return nil
	}
	return &Person{p.Type, p.ID}
}

// Answer is the conversation as of a moment, which counts where a wait or a handling lasts.
func (c *Conversation) Answer(now time.Time) Answer {
	a := Answer{
		ConversationID: c.ID, State: c.State, Version: c.Version, Customer: person(c.Customer), Agent: person(c.Agent),
		Team: orNull(c.Team), Channel: orNull(c.Channel), Proactive: c.Proactive, Labels: append([]string{}, c.Labels...),
		Rating: orNull(c.Rating), Reason: orNull(c.Reason), OpenedAt: timeOrNull(c.OpenedAt), QueuedAt: timeOrNull(c.QueuedAt),
		FirstRespondedAt: timeOrNull(c.FirstRespondedAt), ClosedAt: timeOrNull(c.ClosedAt),
		LastTransitionAt: timeOrNull(c.LastTransitionAt), WaitingSeconds: c.Waiting(now).Seconds(),
	}
	if !c.FirstRespondedAt.IsZero() {
		handling := c.Handling(now).Seconds()
		a.HandlingSeconds = &handling
	}
	return a
}

func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func timeOrNull(t event.Time) *event.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// transitionAnswer is a transition as the API answers it, on timelines and in webhooks too. What it does not name is left
// out.
type transitionAnswer struct {
	ConversationID string          `json:"conversationId"`
	Version        int64           `json:"version"`
	Type           Type            `json:"type"`
	ID             string          `json:"id,omitempty"`
	From           State           `json:"from,omitempty"`
	To             State           `json:"to"`
	OccurredAt     event.Time      `json:"occurredAt"`
	ReceivedAt     event.Time      `json:"receivedAt"`
	Implied        bool            `json:"implied,omitempty"`
	First          *bool           `json:"first,omitempty"`
	Customer       *Person         `json:"customer,omitempty"`
	Agent          *Person         `json:"agent,omitempty"`
	Bot            *Person         `json:"bot,omitempty"`
	Agents         []*Person       `json:"agents,omitempty"`
	Team           string          `json:"team,omitempty"`
	Channel        string          `json:"channel,omitempty"`
	Proactive      bool            `json:"proactive,omitempty"`
	ToQueue        bool            `json:"toQueue,omitempty"`
	Labels         *[]string       `json:"labels,omitempty"`
	Rating         int             `json:"rating,omitempty"`
	Comment        string          `json:"comment,omitempty"`
	Reason         string          `json:"reason,omitempty"`
	Attributes     json.RawMessage `json:"attributes,omitempty"`
	// WaitedSeconds is the length of the stay in a team's queue that the transition has ended.
	WaitedSeconds *float64        `json:"waitedSeconds,omitempty"`
	Missing       []object.Lookup `json:"missing,omitempty"`
}

// Answer writes the transition as the API answers it, as one JSON object. Attributes stay byte for byte what was sent. The
// personal part is the opened one; its zero value where it is erased.
func (t *Transition) Answer(p *Personal) ([]byte, error) {
	out := transitionAnswer{
		ConversationID: t.ConversationID, Version: t.Version, Type: t.Type, ID: t.CommandID, From: t.From, To: t.To,
		OccurredAt: t.OccurredAt, ReceivedAt: t.ReceivedAt, Implied: t.Implied, First: t.First,
		Customer: person(t.Customer), Agent: person(t.Agent), Team: t.Team, Channel: t.Channel, Proactive: t.Proactive,
		ToQueue: t.ToQueue, Rating: t.Rating, Comment: p.Comment, Reason: t.Reason, Missing: p.Missing,
	}
	if t.Agent != nil && t.Agent.Type == object.Chatbot {
		out.Agent, out.Bot = nil, out.Agent
	}
	for i := range t.Agents {
		out.Agents = append(out.Agents, person(&t.Agents[i]))
	}
	if t.Type == Labeled {
		labels := append([]string{}, t.Labels...)
		out.Labels = &labels
	}
	if t.Stay != nil {
		waited := t.OccurredAt.Sub(t.Stay.From.Time).Seconds()
		out.WaitedSeconds = &waited
	}
	// A raw value would be compacted on the way, so it is put in behind. Strings hold no bare quotes, so the hole is not
	// found in one.
	const hole = `{"":0}`
	if p.Attributes != "" {
		out.Attributes = json.RawMessage(hole)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(out); err != nil {
		return nil, fmt.Errorf("encode transition: %w", err)
	}
	text := strings.TrimSuffix(b.String(), "\n")
	if p.Attributes != "" {
		before, after, _ := strings.Cut(text, `"attributes":`+hole)
		text = before + `"attributes":` + p.Attributes + after
	}
	return []byte(text), nil
}
