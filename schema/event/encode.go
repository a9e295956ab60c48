package event

import (
	"encoding/base64"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/record"
)

// Encode writes the record's value: the bytes that json.Marshal would give, but for the payload, which is taken as it is.
// It is written by hand because the edge does it for every event, and reflection took a third of a batch's time.
func (s *Submission) Encode() ([]byte, error) {
	w := record.Begin(s.encodedSize())
	w.Int("v", RecordVersion)
	w.Optional("id", s.ID)
	w.Text("workspace", s.Workspace)
	w.Text("objectType", string(s.Type))
	w.Optional("objectId", s.ObjectID)
	w.Optional("externalId", s.ExternalID)
	w.Text("name", s.Name)
	w.Optional("description", s.Description)
	w.Optional("icon", s.Icon)
	w.Optional("source", s.Source)
	w.Time("occurredAt", s.OccurredAt.Time)
	w.Time("receivedAt", s.ReceivedAt.Time)
	AppendLookups(&w, "relatedObjects", s.Related)
	w.True("resolved", s.Resolved)
	if len(s.Payload) > 0 {
		w.Name("payload")
		w.B = append(w.B, s.Payload...)
	}
	return w.End(), nil
}

// Encode writes the record's value: the bytes that json.Marshal would give.
func (e *Event) Encode() ([]byte, error) {
	e.Version = RecordVersion
	w := record.Begin(eventBytes + len(e.Name) + len(e.Source) + base64.StdEncoding.EncodedLen(len(e.Sealed)))
	w.Int("v", RecordVersion)
	w.Text("id", e.ID)
	w.Text("workspace", e.Workspace)
	w.Text("objectType", string(e.Type))
	w.Text("objectId", e.ObjectID)
	w.Text("name", e.Name)
	w.Optional("source", e.Source)
	w.Moment("occurredAt", e.OccurredAt.Time)
	w.Moment("receivedAt", e.ReceivedAt.Time)
	AppendLinks(&w, e.Links)
	w.OptionalInt("linksDropped", int64(e.LinksDropped))
	w.Optional("keyId", e.KeyID)
	w.Bytes("sealed", e.Sealed)
	return w.End(), nil
}

// eventBytes is room for an event of a few links, beside what may be long.
const eventBytes = 640

// encodedSize is about the length of the record's value, so that it is allocated once.
func (s *Submission) encodedSize() int {
	// The names of all members, two times and the punctuation.
	const fixed = 320
	n := fixed + len(s.ID) + len(s.Workspace) + len(s.Type) + len(s.ObjectID) + len(s.ExternalID) +
		len(s.Name) + len(s.Description) + len(s.Icon) + len(s.Source) + len(s.Payload)
	for _, l := range s.Related {
		n += 64 + len(l.ID) + len(l.ExternalID)
	}
	return n
}

// AppendLookups appends a member that lists references to objects, where there are any.
func AppendLookups(w *record.Writer, name string, all []object.Lookup) {
	if len(all) == 0 {
		return
	}
	w.Name(name)
	for i, l := range all {
		if i == 0 {
			w.Raw("[{")
		} else {
			w.Raw(",{")
		}
		w.Text("objectType", string(l.Type))
		w.Optional("objectId", l.ID)
		w.Optional("externalId", l.ExternalID)
		w.Raw("}")
	}
	w.Raw("]")
}

// AppendLinks appends the member links.
func AppendLinks(w *record.Writer, links []Link) {
	w.Name("links")
	if links == nil {
		w.Raw("null")
		return
	}
	w.Raw("[")
	for i, l := range links {
		if i > 0 {
			w.Raw(",")
		}
		w.Raw("{")
		w.Text("objectType", string(l.Type))
		w.Text("objectId", l.ID)
		w.Text("link", string(l.Kind))
		if len(l.Via) > 0 {
			w.Raw(`,"via":[`)
			for j, r := range l.Via {
				if j > 0 {
					w.Raw(",")
				}
				w.Raw("{")
				w.Text("objectType", string(r.Type))
				w.Text("objectId", r.ID)
				w.Raw("}")
			}
			w.Raw("]")
		}
		w.Raw("}")
	}
	w.Raw("]")
}
