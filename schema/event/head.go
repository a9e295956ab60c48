package event

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/record"
)

// Head is what identifies an event, and when it was received.
type Head struct {
	ID         string      `json:"id"`
	Workspace  string      `json:"workspace"`
	Type       object.Type `json:"objectType"`
	ObjectID   string      `json:"objectId"`
	ReceivedAt Time        `json:"receivedAt"`
}

// headBytes is more than nearly every head has.
const headBytes = 512

// ParseHead reads the head of an event in any form, also of a version later than this program's. It ignores members that it
// does not know, and of an event as Encode writes it all that stands behind: the links and the sealed part are most of it,
// and who loads millions of events needs neither.
func ParseHead(value []byte) (Head, error) {
	var h Head
	ok := len(value) > 0 && value[len(value)-1] == '}'
	if ok {
		h, _, ok = decodeHead(string(value[:min(len(value), headBytes)]))
	}
	if !ok {
		h = Head{}
		if err := json.Unmarshal(value, &h); err != nil {
			return Head{}, fmt.Errorf("parse head of event: %w", err)
		}
	}
	if h.Workspace == "" || h.ID == "" || h.Type == "" || h.ObjectID == "" {
		return Head{}, errors.New("parse head of event: workspace, id, objectType and objectId are required")
	}
	return h, nil
}

// decodeHead reads the members with which Encode begins, and gives where they end. ok is false where they are others.
func decodeHead(value string) (h Head, end int, ok bool) {
	s := record.Scan(value)
	next := func(name string) string {
		if !s.Next(name) {
			s.GiveUp()
		}
		return s.Text()
	}
	if !s.Next("v") {
		return h, 0, false
	}
	s.Number()
	h.ID = next("id")
	h.Workspace = next("workspace")
	h.Type = object.Type(next("objectType"))
	h.ObjectID = next("objectId")
	next("name")
	if s.Next("source") {
		s.Text()
	}
	next("occurredAt")
	if !s.Next("receivedAt") {
		return h, 0, false
	}
	h.ReceivedAt = Time{s.Time()}
	end, ok = s.At()
	return h, end, ok && value[end:] != "" && value[end] == ','
}
