package projections

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// transition is a transition as the API answers it, on timelines too. What it does not name is left out.
type transition struct {
	ConversationID string             `json:"conversationId"`
	Version        int64              `json:"version"`
	Type           conversation.Type  `json:"type"`
	ID             string             `json:"id,omitempty"`
	From           conversation.State `json:"from,omitempty"`
	To             conversation.State `json:"to"`
	OccurredAt     event.Time         `json:"occurredAt"`
	ReceivedAt     event.Time         `json:"receivedAt"`
	Implied        bool               `json:"implied,omitempty"`
	First          *bool              `json:"first,omitempty"`
	Customer       *person            `json:"customer,omitempty"`
	Agent          *person            `json:"agent,omitempty"`
	Bot            *person            `json:"bot,omitempty"`
	Agents         []*person          `json:"agents,omitempty"`
	Team           string             `json:"team,omitempty"`
	Channel        string             `json:"channel,omitempty"`
	Proactive      bool               `json:"proactive,omitempty"`
	ToQueue        bool               `json:"toQueue,omitempty"`
	Labels         *[]string          `json:"labels,omitempty"`
	Rating         int                `json:"rating,omitempty"`
	Comment        string             `json:"comment,omitempty"`
	Reason         string             `json:"reason,omitempty"`
	Attributes     json.RawMessage    `json:"attributes,omitempty"`
	// WaitedSeconds is the length of the stay in the queue that the transition has ended.
	WaitedSeconds *float64        `json:"waitedSeconds,omitempty"`
	Missing       []object.Lookup `json:"missing,omitempty"`
}

// person is a party as the API answers it. One that is not known has no id; what it was called is among the missing.
type person struct {
	Type object.Type `json:"objectType"`
	ID   string      `json:"objectId,omitempty"`
}

func personOf(p *conversation.Party) *person {
	if p == nil {
		return nil
	}
	return &person{p.Type, p.ID}
}

// transitionText writes a transition as the API answers it. Attributes stay byte for byte what was sent.
func transitionText(t *conversation.Transition, p *conversation.Personal) (string, error) {
	out := transition{
		ConversationID: t.ConversationID, Version: t.Version, Type: t.Type, ID: t.CommandID, From: t.From, To: t.To,
		OccurredAt: t.OccurredAt, ReceivedAt: t.ReceivedAt, Implied: t.Implied, First: t.First,
		Customer: personOf(t.Customer), Agent: personOf(t.Agent), Team: t.Team, Channel: t.Channel, Proactive: t.Proactive,
		ToQueue: t.ToQueue, Rating: t.Rating, Comment: p.Comment, Reason: t.Reason, Missing: p.Missing,
	}
	if t.Agent != nil && t.Agent.Type == object.Chatbot {
		out.Agent, out.Bot = nil, out.Agent
	}
	for i := range t.Agents {
		out.Agents = append(out.Agents, personOf(&t.Agents[i]))
	}
	if t.Type == conversation.Labeled {
		labels := append([]string{}, t.Labels...)
		out.Labels = &labels
	}
	if t.Stay != nil {
		waited := t.OccurredAt.Sub(t.Stay.From.Time).Seconds()
		out.WaitedSeconds = &waited
	}
	// A raw value would be compacted on the way; so it is put in behind.
	const hole = `{"attributes":0}`
	if p.Attributes != "" {
		out.Attributes = json.RawMessage(hole)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(out); err != nil {
		return "", poison(fmt.Errorf("encode transition: %w", err))
	}
	text := strings.TrimSuffix(b.String(), "\n")
	if p.Attributes != "" {
		before, after, _ := strings.Cut(text, `"attributes":`+hole)
		text = before + `"attributes":` + p.Attributes + after
	}
	return text, nil
}

// transitionWords says what happened in words, as it stands on timelines.
func transitionWords(t *conversation.Transition, p *conversation.Personal) (name, description string) {
	switch t.Type {
	case conversation.Opened:
		return "Conversation opened", about("", t.Team, t.Channel)
	case conversation.Queued:
		return "Conversation queued", about("Waiting", t.After.Team, t.After.Channel)
	case conversation.Broadcasted:
		return "Conversation broadcasted", sentence("To " + count(len(t.Agents), "agent"))
	case conversation.Assigned:
		return "Conversation assigned", sentence("To "+who(t.Agent), waited(t))
	case conversation.Responded:
		if t.First != nil && !*t.First {
			return "Conversation taken up", sentence("By "+who(t.Agent), waited(t))
		}
		return "Conversation answered", sentence("By "+who(t.Agent), waited(t))
	case conversation.Transferred:
		if t.Agent != nil {
			return "Conversation transferred", sentence("To "+who(t.Agent), waited(t))
		}
		return "Conversation transferred", about("To the queue", t.After.Team, "")
	case conversation.Labeled:
		return "Conversation labeled", strings.Join(t.Labels, ", ")
	case conversation.Surveyed:
		return "Conversation rated", rated(t.Rating, p.Comment)
	case conversation.Closed:
		return closedWords(t)
	default:
		return "Conversation " + string(t.Type), ""
	}
}

func closedWords(t *conversation.Transition) (name, description string) {
	if t.Stay != nil {
		return "Conversation abandoned in the queue", sentence(capital(waited(t)), t.Reason)
	}
	var handled string
	if c := &t.After; !c.FirstRespondedAt.IsZero() {
		handled = span(c.ClosedAt.Sub(c.FirstRespondedAt.Time)) + " after the first response"
	}
	return "Conversation closed", sentence(capital(handled), t.Reason)
}

// sentence joins what is there.
func sentence(parts ...string) string {
	said := parts[:0:0]
	for _, p := range parts {
		if p != "" {
			said = append(said, p)
		}
	}
	return strings.Join(said, ", ")
}

func about(what, team, channel string) string {
	if team != "" {
		team = "team " + team
	}
	if channel != "" {
		channel = "by " + channel
	}
	return capital(sentence(what, team, channel))
}

func who(p *conversation.Party) string {
	switch {
	case p == nil:
		return "somebody"
	case p.ID == "":
		return "somebody unknown"
	default:
		return p.ID
	}
}

// waited says how long the stay was that a transition has ended.
func waited(t *conversation.Transition) string {
	if t.Stay == nil {
		return ""
	}
	return "after " + span(t.OccurredAt.Sub(t.Stay.Began.Time)) + " in the queue"
}

func rated(rating int, comment string) string {
	if rating == 0 {
		return comment
	}
	stars := fmt.Sprintf("%d of %d", rating, conversation.MaxRating)
	if comment == "" {
		return stars
	}
	return stars + ": " + comment
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// capital begins with a capital letter; what is said here begins in English.
func capital(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// span writes a length of time in its two greatest units: 34 s, 3 min 13 s, 2 h 5 min.
func span(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%d h %d min", s/3600, s/60%60)
	default:
		return fmt.Sprintf("%d d %d h", s/86400, s/3600%24)
	}
}
