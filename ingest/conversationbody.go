package ingest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/web"
)

// transitionBody is the body of a transition: the members of all kinds of them. Which kind has which is said by package
// conversation.
type transitionBody struct {
	ConversationID  string          `json:"conversationId"`
	Type            string          `json:"type"`
	ID              string          `json:"id"`
	ExpectedVersion *int64          `json:"expectedVersion"`
	OccurredAt      event.Time      `json:"occurredAt"`
	Customer        *referenceBody  `json:"customer"`
	Agent           *referenceBody  `json:"agent"`
	Bot             *referenceBody  `json:"bot"`
	Agents          []referenceBody `json:"agents"`
	Team            string          `json:"team"`
	Channel         string          `json:"channel"`
	Proactive       bool            `json:"proactive"`
	ToQueue         bool            `json:"toQueue"`
	Labels          *[]string       `json:"labels"`
	Rating          int             `json:"rating"`
	Comment         string          `json:"comment"`
	Reason          string          `json:"reason"`
	Attributes      json.RawMessage `json:"attributes"`
}

// referenceBody names a customer, an agent or a bot: by an object, or by a string, which is an objectId.
type referenceBody struct {
	ObjectID   string `json:"objectId"`
	ExternalID string `json:"externalId"`
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (r *referenceBody) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == jsontext.KindString {
		return jsonv2.UnmarshalDecode(d, &r.ObjectID)
	}
	type members referenceBody // without this method
	return jsonv2.UnmarshalDecode(d, (*members)(r))
}

func (r *referenceBody) reference() *conversation.Reference {
	if r == nil {
		return nil
	}
	return &conversation.Reference{ID: r.ObjectID, ExternalID: r.ExternalID}
}

// decodeTransition reads and checks one transition. conversationID is that of the path; where it is empty the body names
// the conversation.
func decodeTransition(data []byte, conversationID string, header http.Header, now time.Time) (*conversation.Command, *problem.Problem) {
	var b transitionBody
	if err := web.DecodeJSON(data, &b); err != nil {
		return nil, problem.From(err)
	}
	c := &conversation.Command{
		ConversationID: conversationID, ID: b.ID, ExpectedVersion: b.ExpectedVersion,
		OccurredAt: event.TimeOf(b.OccurredAt.Time), ReceivedAt: event.TimeOf(now),
		Customer: b.Customer.reference(), Agent: b.Agent.reference(), Bot: b.Bot.reference(),
		Team: b.Team, Channel: b.Channel, Proactive: b.Proactive, ToQueue: b.ToQueue, Labels: b.Labels,
		Rating: b.Rating, Comment: b.Comment, Reason: b.Reason, Attributes: string(present(b.Attributes)),
	}
	for i := range b.Agents {
		c.Agents = append(c.Agents, *b.Agents[i].reference())
	}
	var broken []object.Violation
	switch {
	case conversationID == "":
		c.ConversationID = b.ConversationID
	case b.ConversationID != "" && b.ConversationID != conversationID:
		broken = append(broken, object.Violation{Pointer: "/conversationId", Detail: "must be that of the path, or absent"})
	}
	if b.Type != "" {
		t, err := conversation.ParseType(b.Type)
		if err != nil {
			// What else it says cannot be judged.
			return nil, faults(append(broken, object.Violation{Pointer: "/type", Detail: err.Error()}))
		}
		c.Type = t
	}
	broken = append(broken, takeKey(header, &c.ID)...)
	return c, faults(append(broken, c.Validate(now)...))
}

// requestID names the command at an index of a request.
func requestID(request string, index int) string { return request + "/" + strconv.Itoa(index) }
