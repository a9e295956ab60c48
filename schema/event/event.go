package event

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/throughline/throughline/schema/object"
)

// Event is an event in the topic events, the source of truth: de-duplicated, with every link it got. Its key is its
// primary object's. What identifies and links it is plain; what is personal is sealed with a data key of the
// primary object.
type Event struct {
	Version    int         `json:"v"`
	ID         string      `json:"id"`
	Workspace  string      `json:"workspace"`
	Type       object.Type `json:"objectType"`
	ObjectID   string      `json:"objectId"`
	Name       string      `json:"name"`
	Source     string      `json:"source,omitempty"`
	OccurredAt Time        `json:"occurredAt"`
	ReceivedAt Time        `json:"receivedAt"`
	// Links has the primary object first, then the others, each object once.
	Links []Link `json:"links"`
	// LinksDropped counts related objects beyond MaxLinks.
	LinksDropped int    `json:"linksDropped,omitempty"`
	KeyID        string `json:"keyId,omitempty"`
	// Sealed is a Personal; empty where the subject was erased before the event was linked.
	Sealed []byte `json:"sealed,omitempty"`
}

// LinkKind says how an object came to have an event.
type LinkKind string

// The kinds of links.
const (
	LinkPrimary LinkKind = "primary"
	LinkRelated LinkKind = "related"
)

// Link puts the event on the timeline of one object.
type Link struct {
	Type object.Type `json:"objectType"`
	ID   string      `json:"objectId"`
	Kind LinkKind    `json:"link"`
	// Via lists the objects over which a related one was found, the primary first; empty where the event named it.
	Via []object.Ref `json:"via,omitempty"`
}

// Personal is the sealed part of an Event. Payload is a JSON text held as a string, because a raw value would be
// reformatted when the record is written.
type Personal struct {
	ExternalID  string `json:"externalId,omitempty"`
	Description string `json:"description,omitempty"`
	Icon        string `json:"icon,omitempty"`
	Payload     string `json:"payload,omitempty"`
	// Related is relatedObjects as the caller sent it.
	Related []object.Lookup `json:"relatedObjects,omitempty"`
	// Missing lists related objects that were not found.
	Missing []object.Lookup `json:"missing,omitempty"`
}

// Primary is the object that the event is about.
func (e *Event) Primary() object.Ref { return object.Ref{Type: e.Type, ID: e.ObjectID} }

// ParseEvent reads a record's value. It ignores members that it does not know.
func ParseEvent(value []byte) (*Event, error) {
	e, ok := decodeEvent(string(value))
	if !ok {
		e = Event{}
		if err := json.Unmarshal(value, &e); err != nil {
			return nil, fmt.Errorf("parse event: %w", err)
		}
	}
	if e.Version < 1 || e.Version > RecordVersion {
		return nil, fmt.Errorf("parse event: version %d is not known, the newest known is %d", e.Version, RecordVersion)
	}
	if e.Workspace == "" || e.ID == "" || e.Type == "" || e.ObjectID == "" || len(e.Links) == 0 {
		return nil, errors.New("parse event: workspace, id, objectType, objectId and links are required")
	}
	return &e, nil
}

// AdditionalData binds the sealed part to the event.
func (e *Event) AdditionalData() []byte {
	parts := [...]string{"event", e.Workspace, string(e.Type), e.ObjectID, e.ID}
	b := make([]byte, 0, len("event")+len(parts)+len(e.Workspace)+len(e.Type)+len(e.ObjectID)+len(e.ID))
	for i, part := range parts {
		if i > 0 {
			b = append(b, 0)
		}
		b = append(b, part...)
	}
	return b
}
