package dispatcher

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/webhook"
)

// notice is what a message says, before it is written in the way of one service or another. Its texts are plain: nothing in
// them is escaped, and whoever writes them out escapes them.
type notice struct {
	icon  string
	title string
	// text says it in a sentence or two.
	text  string
	facts []fact
	// quote is what a person wrote, or the description of an event.
	quote string
	// items are the lines of a digest.
	items []string
	tone  tone
	// about names what the notice is of, for whoever looks for it.
	about string
	at    time.Time
}

// fact is a name and a value, each one line.
type fact struct{ name, value string }

// tone is how much a notice matters.
type tone int

const (
	toneNeutral tone = iota
	toneGood
	toneWarning
	toneAttention
)

// maxFacts is how many facts a message of Slack can show.
const maxFacts = 10

// fact adds a fact, unless it is empty or there are enough.
func (n *notice) fact(name, value string) {
	if value = line(value); value != "" && len(n.facts) < maxFacts {
		n.facts = append(n.facts, fact{line(name), value})
	}
}

// toldBody is the body of a delivery, as far as messages tell of it. Types that are added later are told of by their names.
type toldBody struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      struct {
		Conversation *conversation.Answer `json:"conversation"`
		Transition   *toldTransition      `json:"transition"`
		Event        *linkedEvent         `json:"event"`
		Links        []event.Link         `json:"links"`
		Queue        *toldQueue           `json:"queue"`
		Endpoint     *disabledEndpoint    `json:"endpoint"`
		Delivery     *exhaustedDelivery   `json:"delivery"`
	} `json:"data"`
}

// toldTransition is what messages tell of a transition.
type toldTransition struct {
	From          conversation.State    `json:"from"`
	First         *bool                 `json:"first"`
	Implied       bool                  `json:"implied"`
	Agent         *conversation.Person  `json:"agent"`
	Bot           *conversation.Person  `json:"bot"`
	Agents        []conversation.Person `json:"agents"`
	Team          string                `json:"team"`
	Labels        []string              `json:"labels"`
	Rating        int                   `json:"rating"`
	Comment       string                `json:"comment"`
	Reason        string                `json:"reason"`
	Attributes    json.RawMessage       `json:"attributes"`
	WaitedSeconds *float64              `json:"waitedSeconds"`
}

// noticeOf says what a body tells of. A body that is not as it should be gives a notice of its type alone: somebody is
// told that something happened, and the delivery does not fail for ever.
func noticeOf(body []byte) *notice {
	var t toldBody
	if err := json.Unmarshal(body, &t); err != nil {
		return &notice{icon: "🔔", title: "Something happened", text: sentences("It cannot be shown here", "Type: "+line(t.Type))}
	}
	d := &t.Data
	var n *notice
	switch {
	case t.Type == digestType:
		n = digestNotice(body)
	case d.Conversation != nil && d.Transition != nil:
		n = conversationNotice(t.Type, d.Conversation, d.Transition)
	case d.Queue != nil:
		n = queueNotice(t.Type, d.Queue)
	case d.Event != nil:
		n = eventNotice(d.Event, d.Links)
	case t.Type == webhook.EndpointDisabled && d.Endpoint != nil:
		n = disabledNotice(d.Endpoint)
	case t.Type == webhook.DeliveryExhausted && d.Delivery != nil:
		n = exhaustedNotice(d.Delivery)
	default:
		n = &notice{icon: "🔔", title: t.Type}
	}
	n.at = t.Timestamp
	n.icon, n.title = orElse(line(n.icon), "🔔"), orElse(line(n.title), "Something happened")
	return n
}

// maxIcon bounds what counts as an icon: a grapheme of several code points, and no word.
const maxIcon = 24

// eventNotice tells of an event of an object's timeline.
func eventNotice(e *linkedEvent, links []event.Link) *notice {
	n := &notice{icon: "📌", title: e.Name, about: "event " + e.ID}
	if e.Icon != nil && len(*e.Icon) <= maxIcon && !strings.Contains(*e.Icon, "/") {
		n.icon = *e.Icon
	}
	name := e.Primary.ID
	if e.Primary.Name != nil {
		name = *e.Primary.Name
	}
	n.fact(objectName(e.Primary.Type), name)
	if e.ExternalID != nil {
		n.fact("External id", *e.ExternalID)
	}
	related := 0
	for _, l := range links {
		if l.Kind != event.LinkPrimary && related < 3 {
			n.fact(objectName(l.Type), l.ID)
			related++
		}
	}
	if e.Source != nil {
		n.fact("Source", *e.Source)
	}
	scalars(n, e.Payload)
	if e.Description != nil {
		n.quote = plainText(*e.Description)
	}
	return n
}

// disabledNotice tells of an endpoint that was given up.
func disabledNotice(e *disabledEndpoint) *notice {
	n := &notice{icon: "⛔", title: "Webhook endpoint " + e.ID + " was disabled", tone: toneAttention, about: "endpoint " + e.ID}
	switch e.Reason {
	case webhook.ReasonGone:
		n.text = "It answered 410 Gone, which asks for no more deliveries. PUT it again to bring it back."
	case webhook.ReasonFailing:
		n.text = "It failed for days without a success. Repair it and PUT it again; then what it missed can be replayed."
		if !e.FailingSince.IsZero() && e.DisabledAt.After(e.FailingSince.Time) {
			n.fact("Failing for", span(e.DisabledAt.Sub(e.FailingSince.Time)))
		}
	default:
		n.text = sentences("Reason: " + line(e.Reason))
	}
	return n
}

// exhaustedNotice tells of a delivery that nobody tries again.
func exhaustedNotice(d *exhaustedDelivery) *notice {
	n := &notice{
		icon: "⚠️", title: "A delivery to " + d.Endpoint + " failed for good", tone: toneAttention, about: "delivery " + d.ID,
		text: sentences("Nothing is tried again after "+count(d.Attempts, "attempt"), "The last one ended with: "+outcomeWords(d.Outcome)),
	}
	n.fact("Event type", d.Type)
	n.fact(objectName(d.Subject.Type), d.Subject.ID)
	n.fact("Event", d.Event)
	return n
}

func outcomeWords(o webhook.Outcome) string { return strings.ReplaceAll(string(o), "_", " ") }

// objectName writes an object type as people do: Session recording.
func objectName(t object.Type) string {
	text := strings.ToLower(strings.ReplaceAll(string(t), "_", " "))
	if text == "" {
		return "Object"
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
