package event

import (
	"encoding/binary"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/throughline/throughline/schema/object"
)

// Encode writes the record's value: the bytes that json.Marshal would give, but for the payload, which is taken as it is.
// It is written by hand because the edge does it for every event, and reflection took a third of a batch's time.
func (s *Submission) Encode() ([]byte, error) {
	w := writer{b: make([]byte, 0, s.encodedSize())}
	w.b = append(w.b, `{"v":`...)
	w.b = strconv.AppendInt(w.b, RecordVersion, 10)
	w.optional("id", s.ID)
	w.text("workspace", s.Workspace)
	w.text("objectType", string(s.Type))
	w.optional("objectId", s.ObjectID)
	w.optional("externalId", s.ExternalID)
	w.text("name", s.Name)
	w.optional("description", s.Description)
	w.optional("icon", s.Icon)
	w.optional("source", s.Source)
	w.time("occurredAt", s.OccurredAt)
	w.time("receivedAt", s.ReceivedAt)
	w.lookups("relatedObjects", s.Related)
	if s.Resolved {
		w.b = append(w.b, `,"resolved":true`...)
	}
	if len(s.Payload) > 0 {
		w.name("payload")
		w.b = append(w.b, s.Payload...)
	}
	return append(w.b, '}'), nil
}

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

// writer appends the members of an object that has begun and has one already.
type writer struct{ b []byte }

func (w *writer) name(name string) {
	w.b = append(w.b, ',', '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
}

func (w *writer) text(name, value string) {
	w.name(name)
	w.string(value)
}

func (w *writer) optional(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

func (w *writer) time(name string, t Time) {
	if !t.IsZero() {
		w.name(name)
		w.b = t.append(w.b)
	}
}

func (w *writer) lookups(name string, all []object.Lookup) {
	if len(all) == 0 {
		return
	}
	w.name(name)
	for i, l := range all {
		open := byte(',')
		if i == 0 {
			open = '['
		}
		w.b = append(w.b, open)
		w.b = append(w.b, `{"objectType":`...)
		w.string(string(l.Type))
		w.optional("objectId", l.ID)
		w.optional("externalId", l.ExternalID)
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
}

// string leaves what has to be escaped, which is little, to encoding/json.
func (w *writer) string(s string) {
	if plain(s) {
		w.b = append(w.b, '"')
		w.b = append(w.b, s...)
		w.b = append(w.b, '"')
		return
	}
	quoted, _ := json.Marshal(s) // no string is refused
	w.b = append(w.b, quoted...)
}

// plain says whether encoding/json writes a string as it is, between quotes.
func plain(s string) bool {
	// Eight characters at a time: descriptions are long and hardly ever have one that is escaped.
	for ; len(s) >= 8; s = s[8:] {
		w := binary.LittleEndian.Uint64([]byte(s[:8]))
		if w&highs != 0 {
			break
		}
		// All are ASCII. Less than a space, or one of the five that are escaped:
		if (below(w, ' ')|equal(w, '"')|equal(w, '&')|equal(w, '<')|equal(w, '>')|equal(w, '\\'))&highs != 0 {
			return false
		}
	}
	ascii := true
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c == '"', c == '&', c == '<', c == '>', c == '\\':
			return false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	// Two separators are ends of lines in JavaScript, and so are escaped.
	return ascii || utf8.ValidString(s) && !strings.Contains(s, "\u2028") && !strings.Contains(s, "\u2029")
}

// ones and highs have the lowest and the highest bit of each of eight bytes.
const (
	ones  uint64 = 0x0101010101010101
	highs uint64 = 0x8080808080808080
)

// below sets the highest bit of bytes that are less than c, where all bytes and c are ASCII. A borrow can set more bits
// of a word, but only above a byte that is less.
func below(w uint64, c byte) uint64 { return w - ones*uint64(c) }

// equal sets the highest bit of bytes that are c, as below does.
func equal(w uint64, c byte) uint64 { return w ^ ones*uint64(c) - ones }
