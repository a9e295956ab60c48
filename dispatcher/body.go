package dispatcher

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/sanitize"
	"github.com/throughline/throughline/schema/webhook"
)

// body is what is posted: a type, the time at which the thing happened, and data that the type describes.
type body struct {
	Type      string     `json:"type"`
	Timestamp event.Time `json:"timestamp"`
	Data      any        `json:"data"`
}

// encodeBody writes a body, without the escapes that HTML would need: it is read by programs, and signed byte for byte.
func encodeBody(eventType string, at event.Time, data any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body{eventType, at, data}); err != nil {
		return nil, fmt.Errorf("write body of %s: %w", eventType, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

// linkedData is the data of event.linked.
type linkedData struct {
	Event linkedEvent  `json:"event"`
	Links []event.Link `json:"links"`
}

// linkedEvent is the event as its primary object's timeline shows it.
type linkedEvent struct {
	ID          string  `json:"id"`
	Kind        string  `json:"kind"`
	Name        string  `json:"name"`
	Description *string `json:"description"`
	// DescriptionHTML is the description as HTML that a page may show.
	DescriptionHTML *string         `json:"descriptionHtml"`
	Icon            *string         `json:"icon"`
	Source          *string         `json:"source"`
	OccurredAt      event.Time      `json:"occurredAt"`
	ReceivedAt      event.Time      `json:"receivedAt"`
	Primary         primaryRef      `json:"primary"`
	Link            event.LinkKind  `json:"link"`
	Via             []object.Ref    `json:"via"`
	ExternalID      *string         `json:"externalId"`
	Payload         json.RawMessage `json:"payload"`
	Transition      *struct{}       `json:"transition"`
}

// primaryRef is an event's primary object, with the name that it has when the event is planned.
type primaryRef struct {
	object.Ref

	Name *string `json:"name"`
}

// linkedBody is the body of event.linked. The personal part is empty where the subject was erased.
func linkedBody(e *event.Event, p *event.Personal, name string, html *sanitize.Sanitizer) ([]byte, error) {
	var safe *string
	if p.Description != "" {
		text := html.Description(p.Description)
		safe = &text
	}
	var payload json.RawMessage
	if json.Valid([]byte(p.Payload)) {
		payload = json.RawMessage(p.Payload)
	}
	return encodeBody(webhook.EventLinked, e.OccurredAt, linkedData{
		Event: linkedEvent{
			ID: e.ID, Kind: "event", Name: e.Name, Description: optional(p.Description), DescriptionHTML: safe, Icon: optional(p.Icon),
			Source: optional(e.Source), OccurredAt: e.OccurredAt, ReceivedAt: e.ReceivedAt,
			Primary: primaryRef{e.Primary(), optional(name)}, Link: event.LinkPrimary, Via: []object.Ref{},
			ExternalID: optional(p.ExternalID), Payload: payload,
		},
		Links: e.Links,
	})
}

// transitionData is the data of conversation.…: the conversation as GET /v1/conversations/{id} answered at the time of the
// transition, and the transition as …/transitions has it.
type transitionData struct {
	Conversation conversation.Answer `json:"conversation"`
	Transition   json.RawMessage     `json:"transition"`
}

// transitionBody is the body of conversation.…. The personal part is empty where the subject was erased.
func transitionBody(t *conversation.Transition, p *conversation.Personal) ([]byte, error) {
	text, err := t.Answer(p)
	if err != nil {
		return nil, fmt.Errorf("write body of %s: %w", t.Type, err)
	}
	return encodeBody(conversationEvent(t.Type), t.OccurredAt, transitionData{
		Conversation: t.After.Answer(t.OccurredAt.Time), Transition: text,
	})
}

// queueData is the data of queue.formed and queue.cleared.
type queueData struct {
	Queue queueAnswer `json:"queue"`
	Cause queueCause  `json:"cause"`
}

// queueAnswer is the queue of a team; the team is null for conversations that have none.
type queueAnswer struct {
	Team      *string `json:"team"`
	Size      int     `json:"size"`
	Threshold int     `json:"threshold"`
}

// queueCause is the transition by which the size crossed the threshold.
type queueCause struct {
	ConversationID string `json:"conversationId"`
	Version        int64  `json:"version"`
	Type           string `json:"type"`
}

// queueBody is the body of queue.formed and queue.cleared. It is the same for all endpoints that are told of a change: they
// have the same threshold.
func queueBody(n queueNews) ([]byte, error) {
	return encodeBody(n.eventType(), n.OccurredAt, queueData{
		queueAnswer{optional(n.Team), n.size, n.threshold}, queueCause{n.ConversationID, n.ConversationVersion, n.Transition},
	})
}

// optional is null for what is absent.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// disabledData is the data of endpoint.disabled.
type disabledData struct {
	Endpoint disabledEndpoint `json:"endpoint"`
}

type disabledEndpoint struct {
	ID           string     `json:"id"`
	Reason       string     `json:"reason"`
	DisabledAt   event.Time `json:"disabledAt"`
	FailingSince event.Time `json:"failingSince"`
}

// exhaustedData is the data of delivery.exhausted.
type exhaustedData struct {
	Delivery exhaustedDelivery `json:"delivery"`
}

type exhaustedDelivery struct {
	ID       string          `json:"id"`
	Endpoint string          `json:"endpoint"`
	Type     string          `json:"type"`
	Subject  object.Ref      `json:"subject"`
	Event    string          `json:"event"`
	Attempts int             `json:"attempts"`
	Outcome  webhook.Outcome `json:"outcome"`
}
