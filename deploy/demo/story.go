package demo

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Types of objects that the demo makes.
const (
	customerType = "CUSTOMER"
	agentType    = "USER"
	centreType   = "HELPCENTER"
)

// centreID is the object of calls that have no customer and no agent.
const centreID = "call-centre"

// source names the demo as the origin of its events.
const source = "call-centre-trace"

// reference names an object in the API.
type reference struct {
	ObjectType string `json:"objectType"`
	ObjectID   string `json:"objectId"`
}

func (r reference) String() string { return r.ObjectType + " " + r.ObjectID }

// upsert is an object and the body that writes it.
type upsert struct {
	reference `json:"-"`

	Name       string         `json:"name"`
	ExternalID string         `json:"externalId,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

// post is the body of an event.
type post struct {
	reference

	ID          string      `json:"id"`
	Name        string      `json:"name"`
	Description string      `json:"description"`
	Icon        string      `json:"icon"`
	Source      string      `json:"source"`
	OccurredAt  time.Time   `json:"occurredAt"`
	Related     []reference `json:"relatedObjects,omitempty"`
	Payload     payload     `json:"payload"`
}

// payload is what the trace says of a call.
type payload struct {
	Service   string     `json:"service"`
	Priority  int        `json:"priority"`
	Outcome   string     `json:"outcome"`
	Agent     string     `json:"agent,omitempty"`
	Opened    time.Time  `json:"opened"`
	Queued    *time.Time `json:"queued,omitempty"`
	Responded *time.Time `json:"responded,omitempty"`
	Closed    time.Time  `json:"closed"`
}

// objects lists every object that the calls name, each once: agents and the call centre first, then customers in the
// order of their ids. A customer has the attributes of their last call.
func objects(calls []Call) []upsert {
	customers, agents := make(map[string]upsert), make(map[string]upsert)
	for _, c := range calls {
		if c.Customer != "" {
			customers[c.Customer] = upsert{
				reference: reference{customerType, c.Customer}, Name: "Customer " + c.Customer,
				ExternalID: "bank-" + c.Customer, Attributes: map[string]any{"priority": c.Priority},
			}
		}
		if c.Agent != "" {
			agents[c.Agent] = upsert{reference: reference{agentType, c.Agent}, Name: title(c.Agent)}
		}
	}
	all := []upsert{{reference: reference{centreType, centreID}, Name: "Call centre"}}
	for _, group := range []map[string]upsert{agents, customers} {
		start := len(all)
		for _, o := range group {
			all = append(all, o)
		}
		slices.SortFunc(all[start:], func(a, b upsert) int { return strings.Compare(a.ObjectID, b.ObjectID) })
	}
	return all
}

// event tells a call as one event. It belongs to the customer, or where the caller did not say who they are to the
// agent, or where no agent took the call to the call centre; a customer's call is on the agent's timeline as well.
func event(c Call) post {
	p := post{
		ID: c.ID, Source: source, OccurredAt: c.Opened, Description: describe(c),
		Payload: payload{
			Service: c.Service, Priority: c.Priority, Outcome: c.Outcome, Agent: c.Agent,
			Opened: c.Opened, Queued: optional(c.Queued), Responded: optional(c.Responded), Closed: c.Closed,
		},
	}
	agent := reference{agentType, c.Agent}
	switch {
	case c.Customer != "":
		p.reference = reference{customerType, c.Customer}
		if c.Agent != "" {
			p.Related = []reference{agent}
		}
	case c.Agent != "":
		p.reference = agent
	default:
		p.reference = reference{centreType, centreID}
	}
	switch {
	case c.Agent != "":
		p.Name, p.Icon = "Call answered", "📞"
	case !c.Queued.IsZero():
		p.Name, p.Icon = "Call abandoned in the queue", "📵"
	default:
		p.Name, p.Icon = "Call ended in the menu", "🔇"
	}
	return p
}

// describe says in one line what happened in a call.
func describe(c Call) string {
	parts := []string{service(c.Service)}
	if !c.Queued.IsZero() {
		left := c.Closed
		if c.Agent != "" {
			left = c.Responded
		}
		parts = append(parts, "waited "+length(left.Sub(c.Queued)))
	}
	if c.Agent != "" {
		parts = append(parts, "talked "+length(c.Closed.Sub(c.Responded))+" with "+title(c.Agent))
	}
	if c.Queued.IsZero() && c.Agent == "" {
		parts = append(parts, "left after "+length(c.Closed.Sub(c.Opened)))
	}
	return strings.Join(parts, ", ")
}

// service spells out the kind of service as the data set's authors describe it.
func service(code string) string {
	switch code {
	case "PS":
		return "Regular service"
	case "PE":
		return "Service in English"
	case "IN":
		return "Internet support"
	case "NE":
		return "Stock exchange"
	case "NW":
		return "New customer"
	case "TT":
		return "Call returned"
	default:
		return code
	}
}

// length writes a duration for people: 34 s, 1 min 44 s.
func length(d time.Duration) string {
	seconds := int(d / time.Second)
	if seconds < 60 {
		return fmt.Sprintf("%d s", seconds)
	}
	return fmt.Sprintf("%d min %02d s", seconds/60, seconds%60)
}

// title writes an agent's id, which is all capitals, as a name.
func title(s string) string { return s[:1] + strings.ToLower(s[1:]) }

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// busiest is the customer with the most calls; among equals, the one with the smallest id.
func busiest(calls []Call) string {
	count := make(map[string]int)
	for _, c := range calls {
		if c.Customer != "" {
			count[c.Customer]++
		}
	}
	best := ""
	for id, n := range count {
		if best == "" || n > count[best] || (n == count[best] && id < best) {
			best = id
		}
	}
	return best
}
