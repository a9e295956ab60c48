package dispatcher

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/markup"
	"github.com/throughline/throughline/schema/webhook"
)

// lowRating is the best rating that somebody should look at.
const lowRating = 2

// conversationNotice tells of a transition: who did what, for which customer and team, and how long it took.
func conversationNotice(eventType string, c *conversation.Answer, t *toldTransition) *notice {
	n := &notice{about: "conversation " + c.ConversationID}
	team := deref(c.Team)
	waited := ""
	if d := seconds(t.WaitedSeconds); d > 0 {
		waited = span(d)
	}
	agent := personName(t.Agent, t.Bot)
	switch eventType {
	case webhook.ConversationOpened:
		n.icon, n.title = "💬", "New chat"+forTeam(team)
	case webhook.ConversationQueued:
		n.icon, n.title, n.tone = "⏳", "Chat waiting in the queue"+ofTeam(team), toneWarning
	case webhook.ConversationBroadcasted:
		n.icon, n.title = "📣", "Chat offered to "+count(len(t.Agents), "agent")
		n.fact("Agents", personNames(t.Agents))
	case webhook.ConversationAssigned:
		n.icon, n.title = "👤", "Chat assigned to "+agent
		if c.Proactive {
			n.title = "Proactive chat assigned to " + agent
		}
	case webhook.ConversationResponded:
		n.icon, n.title, n.tone = "✅", "Chat answered by "+agent, toneGood
		if t.First != nil && !*t.First {
			n.title = "Chat taken up by " + agent
		}
	case webhook.ConversationTransferred:
		n.icon, n.title = "🔀", "Chat transferred to "+agent
		if t.Agent == nil && t.Bot == nil {
			n.title, n.tone = "Chat transferred to the queue"+ofTeam(team), toneWarning
		}
	case webhook.ConversationLabeled:
		n.icon, n.title = "🏷️", "Chat labeled "+strings.Join(t.Labels, ", ")
		if len(t.Labels) == 0 {
			n.title = "Labels of a chat removed"
		}
	case webhook.ConversationSurveyed:
		surveyed(n, t)
	case webhook.ConversationClosed:
		closed(n, c, t, waited)
	default:
		n.icon, n.title = "💬", "Chat "+strings.TrimPrefix(eventType, "conversation.")
	}
	if n.text == "" && waited != "" {
		n.text = sentences("It waited " + waited + " in the queue")
	}
	conversationFacts(n, c, t)
	return n
}

func surveyed(n *notice, t *toldTransition) {
	n.icon, n.title, n.quote = "⭐", "Chat commented on", lines(t.Comment)
	if t.Rating < 1 || t.Rating > conversation.MaxRating {
		return
	}
	n.title = fmt.Sprintf("Chat rated %d of %d", t.Rating, conversation.MaxRating)
	n.text = strings.Repeat("★", t.Rating) + strings.Repeat("☆", conversation.MaxRating-t.Rating)
	switch {
	case t.Rating <= lowRating:
		n.tone = toneAttention
	case t.Rating == conversation.MaxRating:
		n.tone = toneGood
	}
}

// closed tells of an end: a chat that was left while it waited, or one that was handled.
func closed(n *notice, c *conversation.Answer, t *toldTransition, waited string) {
	n.icon, n.title = "🏁", "Chat closed"
	if t.From == conversation.StateQueued || waited != "" {
		n.icon, n.title, n.tone = "🚪", "Chat abandoned in the queue"+ofTeam(deref(c.Team)), toneAttention
		if waited != "" {
			n.text = sentences("The customer left after waiting " + waited)
		}
	} else if d := seconds(c.HandlingSeconds); d > 0 {
		n.text = sentences("It was handled for " + span(d))
	}
	n.fact("Reason", t.Reason)
}

// conversationFacts adds what the team needs to find the chat and the customer, unless the title says it.
func conversationFacts(n *notice, c *conversation.Answer, t *toldTransition) {
	if c.Customer != nil {
		n.fact("Customer", personName(c.Customer, nil))
	}
	n.fact("Team", deref(c.Team))
	n.fact("Channel", deref(c.Channel))
	if c.Agent != nil && t.Agent == nil && t.Bot == nil {
		n.fact("Agent", personName(c.Agent, nil))
	}
	if d := seconds(&c.WaitingSeconds); d > 0 && t.WaitedSeconds == nil {
		n.fact("Waited before", span(d))
	}
	if len(c.Labels) > 0 && len(t.Labels) == 0 {
		n.fact("Labels", strings.Join(c.Labels, ", "))
	}
	scalars(n, t.Attributes)
}

// toldQueue is what a body tells of a team's queue.
type toldQueue struct {
	Team               string   `json:"team"`
	Size               int      `json:"size"`
	Threshold          int      `json:"threshold"`
	LongestWaitSeconds *float64 `json:"longestWaitSeconds"`
}

// queueNotice tells of the size of a team's queue.
func queueNotice(eventType string, q *toldQueue) *notice {
	n := &notice{about: "queue" + ofTeam(q.Team)}
	if eventType == webhook.QueueCleared {
		n.icon, n.title, n.tone = "🟢", "Queue"+ofTeam(q.Team)+" is down to "+count(q.Size, "chat"), toneGood
		if q.Size == 0 {
			n.title = "Queue" + ofTeam(q.Team) + " is empty"
		}
	} else {
		n.icon, n.title, n.tone = "🚦", count(q.Size, "chat")+" waiting in the queue"+ofTeam(q.Team), toneWarning
		if d := seconds(q.LongestWaitSeconds); d > 0 {
			n.text = sentences("The longest has waited " + span(d))
		}
	}
	n.fact("Team", q.Team)
	if q.Threshold > 1 {
		n.fact("Told of from", count(q.Threshold, "chat"))
	}
	return n
}

func ofTeam(team string) string {
	if team == "" {
		return ""
	}
	return " of " + team
}

func forTeam(team string) string {
	if team == "" {
		return ""
	}
	return " for " + team
}

// personName is the first of two parties that is there. One that is not known has no id.
func personName(p, or *conversation.Person) string {
	if p == nil {
		p = or
	}
	switch {
	case p == nil:
		return "somebody"
	case p.ID == "":
		return "somebody unknown"
	default:
		return p.ID
	}
}

// maxNames is how many people are named before the others are counted.
const maxNames = 8

func personNames(people []conversation.Person) string {
	var names []string
	for i := range people[:min(len(people), maxNames)] {
		names = append(names, personName(&people[i], nil))
	}
	if more := len(people) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// maxScalars is how many members of a payload or of attributes are shown.
const maxScalars = 3

// scalars adds the members of an object that are a word, a number or a truth, the first by name.
func scalars(n *notice, raw json.RawMessage) {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	shown := 0
	for _, name := range names {
		var v any
		if shown == maxScalars || json.Unmarshal(members[name], &v) != nil {
			continue
		}
		value := strings.TrimSpace(string(members[name]))
		switch v := v.(type) {
		case string:
			value = v
		case float64, bool:
		default:
			continue
		}
		before := len(n.facts)
		n.fact(name, value)
		shown += len(n.facts) - before
	}
}

// plainText is what people read of a description.
func plainText(description string) string { return lines(markup.Text(description)) }

// deref is the text that is there, or none.
func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
