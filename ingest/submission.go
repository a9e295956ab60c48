package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/web"
)

// eventBody is the body of POST /v1/events. Its members are strict; what stands in payload is the caller's.
type eventBody struct {
	ObjectType     string          `json:"objectType"`
	ObjectID       string          `json:"objectId"`
	ExternalID     string          `json:"externalId"`
	Name           string          `json:"name"`
	Description    string          `json:"description"`
	Icon           string          `json:"icon"`
	Payload        json.RawMessage `json:"payload"`
	ID             string          `json:"id"`
	OccurredAt     event.Time      `json:"occurredAt"`
	Source         string          `json:"source"`
	RelatedObjects []lookupBody    `json:"relatedObjects"`
}

// lookupBody names another object.
type lookupBody struct {
	ObjectType string `json:"objectType"`
	ObjectID   string `json:"objectId"`
	ExternalID string `json:"externalId"`
}

// decodeEvent reads and checks one event. The submission is filled in as far as it could be understood even where the
// event is refused, because the refusal is logged.
func decodeEvent(data []byte, header http.Header, now time.Time) (*event.Submission, *problem.Problem) {
	var b eventBody
	if err := web.DecodeJSON(data, &b); err != nil {
		return understood(&b, now), problem.From(err)
	}
	sub := understood(&b, now)
	broken := checkTypes(&b, sub)
	broken = append(broken, takeKey(header, &sub.ID)...)
	return sub, faults(append(broken, sub.Validate(now)...))
}

// understood makes a submission of a body without judging it.
func understood(b *eventBody, now time.Time) *event.Submission {
	sub := &event.Submission{
		ID: b.ID, Type: object.Type(b.ObjectType), ObjectID: b.ObjectID, ExternalID: b.ExternalID,
		Name: b.Name, Description: b.Description, Icon: b.Icon, Source: b.Source,
		OccurredAt: event.TimeOf(b.OccurredAt.Time), ReceivedAt: event.TimeOf(now), Payload: present(b.Payload),
	}
	for _, l := range b.RelatedObjects {
		sub.Related = append(sub.Related, object.Lookup{Type: object.Type(l.ObjectType), ID: l.ObjectID, ExternalID: l.ExternalID})
	}
	return sub
}

// checkTypes makes the types of a submission canonical and lists those that are none.
func checkTypes(b *eventBody, sub *event.Submission) []object.Violation {
	broken := canonical("/objectType", b.ObjectType, &sub.Type)
	for i := range sub.Related {
		if i >= event.MaxRelatedObjects {
			break
		}
		broken = append(broken, canonical(fmt.Sprintf("/relatedObjects/%d/objectType", i), b.RelatedObjects[i].ObjectType, &sub.Related[i].Type)...)
	}
	return broken
}

// canonical reads the name of a type. An absent one is left to the rules of whoever needs it.
func canonical(pointer, name string, to *object.Type) []object.Violation {
	if name == "" {
		return nil
	}
	t, err := object.ParseType(name)
	if err != nil {
		return []object.Violation{{Pointer: pointer, Detail: err.Error()}}
	}
	*to = t
	return nil
}

// idempotencyHeader may stand for the member id.
const idempotencyHeader = "Idempotency-Key"

// takeKey lets the header stand for the id, and makes an id where there is neither.
func takeKey(header http.Header, id *string) []object.Violation {
	keys := header.Values(idempotencyHeader)
	switch {
	case len(keys) > 1:
		return []object.Violation{{Pointer: "/id", Detail: "the header Idempotency-Key may be given once"}}
	case len(keys) == 1 && *id != "" && *id != keys[0]:
		return []object.Violation{{Pointer: "/id", Detail: "differs from the header Idempotency-Key"}}
	case len(keys) == 1 && *id == "":
		if err := object.ValidateID(keys[0]); err != nil {
			return []object.Violation{{Pointer: "/id", Detail: "the header Idempotency-Key " + err.Error()}}
		}
		*id = keys[0]
	case *id == "":
		*id = newID()
	}
	return nil
}

// newID makes an id that sorts by time.
func newID() string { return uuid.Must(uuid.NewV7()).String() } // fails only where the system has no randomness

// present turns JSON's null into absence.
func present(raw json.RawMessage) json.RawMessage {
	if string(bytes.TrimSpace(raw)) == "null" {
		return nil
	}
	return raw
}

// rejection says what became of a submission that is refused. Only members that are valid by themselves are taken over; all
// of what was sent is in Submission.
func rejection(sub *event.Submission, workspace string, status event.Status, reason string, sent []byte) *event.Rejection {
	r := &event.Rejection{
		ID: sub.ID, Workspace: workspace, Status: status, Reason: reason,
		ReceivedAt: sub.ReceivedAt, Submission: string(sent[:min(len(sent), event.MaxEventBytes)]),
	}
	if object.ValidateID(r.ID) != nil {
		r.ID = newID()
	}
	if t, err := object.ParseType(string(sub.Type)); err == nil {
		r.Type = t
	}
	if object.ValidateID(sub.ObjectID) == nil {
		r.ObjectID = sub.ObjectID
	}
	if object.ValidateID(sub.ExternalID) == nil {
		r.ExternalID = sub.ExternalID
	}
	if utf8.RuneCountInString(sub.Name) <= event.MaxNameLength {
		r.Name = sub.Name
	}
	return r
}
