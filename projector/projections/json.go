package projections

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// writer writes JSON as encoding/json does where it does not escape for HTML, without reflection.
type writer struct{ b []byte }

// comma stands before every member of an object and item of an array but the first.
func (w *writer) comma() {
	if last := w.b[len(w.b)-1]; last != '{' && last != '[' {
		w.b = append(w.b, ',')
	}
}

func (w *writer) name(name string) {
	w.comma()
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
}

func (w *writer) member(name, value string) {
	w.name(name)
	w.text(value)
}

// some writes a member that is left out where it is empty.
func (w *writer) some(name, value string) {
	if value != "" {
		w.member(name, value)
	}
}

func (w *writer) text(s string) {
	if !simple(s) {
		w.b = append(w.b, escaped(s)...)
		return
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, s...)
	w.b = append(w.b, '"')
}

// simple says whether a text is written as it is, between quotes.
func simple(s string) bool {
	ascii := true
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c == '"', c == '\\':
			return false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	// Two separators are ends of lines in JavaScript, and so are escaped.
	return ascii || utf8.ValidString(s) && !strings.Contains(s, "\u2028") && !strings.Contains(s, "\u2029")
}

// escaped leaves to the standard library what has to be escaped.
func escaped(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // no string is refused
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}

func (w *writer) refs(all []object.Ref) {
	w.b = append(w.b, '[')
	for _, r := range all {
		w.comma()
		w.b = append(w.b, '{')
		w.member("objectType", string(r.Type))
		w.member("objectId", r.ID)
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
}

func (w *writer) lookups(all []object.Lookup) {
	w.b = append(w.b, '[')
	for _, l := range all {
		w.comma()
		w.b = append(w.b, '{')
		w.member("objectType", string(l.Type))
		w.some("objectId", l.ID)
		w.some("externalId", l.ExternalID)
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
}

// refs and lookups write a JSON array.
func refs(all []object.Ref) string       { return array(all, (*writer).refs) }
func lookups(all []object.Lookup) string { return array(all, (*writer).lookups) }

func array[T any](all []T, write func(*writer, []T)) string {
	if len(all) == 0 {
		return "[]"
	}
	w := writer{b: make([]byte, 0, 64*len(all))}
	write(&w, all)
	return string(w.b)
}

// links writes a JSON array.
func links(all []event.Link) string {
	w := writer{b: make([]byte, 0, 96*len(all))}
	w.b = append(w.b, '[')
	for _, l := range all {
		w.comma()
		w.b = append(w.b, '{')
		w.member("objectType", string(l.Type))
		w.member("objectId", l.ID)
		w.member("link", string(l.Kind))
		if len(l.Via) > 0 {
			w.name("via")
			w.refs(l.Via)
		}
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
	return string(w.b)
}

// submitted is an event as it was submitted, with the names of the members of a request.
type submitted struct {
	Type                                                  object.Type
	ObjectID, ExternalID, Name, Description, Icon, Source string
	OccurredAt                                            event.Time
	Related                                               []object.Lookup
	// Payload is put in as it is, byte for byte; where it is no JSON, it is put in as a text, so that the whole stays JSON.
	Payload string
}

// text writes the submission as JSON.
func (s submitted) text() string {
	const names = 192
	w := writer{b: make([]byte, 0, names+len(s.ObjectID)+len(s.ExternalID)+len(s.Name)+len(s.Description)+
		len(s.Icon)+len(s.Source)+64*len(s.Related)+len(s.Payload))}
	w.b = append(w.b, '{')
	w.some("objectType", string(s.Type))
	w.some("objectId", s.ObjectID)
	w.some("externalId", s.ExternalID)
	w.some("name", s.Name)
	w.some("description", s.Description)
	w.some("icon", s.Icon)
	if !s.OccurredAt.IsZero() {
		w.name("occurredAt")
		at, _ := s.OccurredAt.MarshalJSON() // no time is refused
		w.b = append(w.b, at...)
	}
	w.some("source", s.Source)
	if len(s.Related) > 0 {
		w.name("relatedObjects")
		w.lookups(s.Related)
	}
	if s.Payload != "" {
		w.name("payload")
		if json.Valid([]byte(s.Payload)) {
			w.b = append(w.b, s.Payload...)
		} else {
			w.text(s.Payload)
		}
	}
	return string(append(w.b, '}'))
}
