package send

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/throughline/throughline/schema/object"
)

// item is a line on its way.
type item struct {
	number int64
	text   []byte
	// patch replaces text[from:to] on the wire; it adds an id to an event that has none.
	patch    string
	from, to int
}

// size is the item's on the wire, in bytes, with its line break.
func (i *item) size() int { return len(i.text) - (i.to - i.from) + len(i.patch) + 1 }

// appendTo writes the item as it is sent.
func (i *item) appendTo(b []byte) []byte {
	b = append(b, i.text[:i.from]...)
	b = append(b, i.patch...)
	b = append(b, i.text[i.to:]...)
	return append(b, '\n')
}

// scanner makes items of lines. It is not safe for concurrent use.
type scanner struct {
	// space is part of every id that is made: the file's name, or, for a stream, something that no other run has.
	space string
	// addIDs says that the lines are events, which are told apart by their ids.
	addIDs bool

	decoder jsontext.Decoder
	reader  bytes.Reader
}

// item looks into a line. It returns a number that is the same for all lines about one object.
//
// An event without an id gets one made of the file's name, the number of the line and its text. Sent again, after a
// lost answer or a kill, it is the same event. A line that is no JSON object goes as it is; the server says what is
// wrong with it.
func (s *scanner) item(l *line) (*item, uint64) {
	i := &item{number: l.number(), text: l.text}
	m, err := s.members(l.text)
	if err != nil {
		return i, hash(string(l.text))
	}
	if s.addIDs && !m.hasID {
		id := `"` + s.lineID(l) + `"`
		switch {
		case m.nullTo > 0: // null is as good as absent, but a name must not stand twice
			i.patch, i.from, i.to = id, m.nullTo-len("null"), m.nullTo
		case m.count > 0:
			i.patch = `,"id":` + id
		default:
			i.patch = `"id":` + id
		}
		if m.nullTo == 0 {
			// At the end, so that places that the server names are those of the line.
			i.from, i.to = len(l.text)-1, len(l.text)-1
		}
	}
	return i, hash(m.object())
}

// lineID is the id of an event that has none of its own.
func (s *scanner) lineID(l *line) string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "throughline send\x00%s\x00%d\x00", s.space, l.number()) // a hash takes everything
	h.Write(l.text)
	return "line-" + hex.EncodeToString(h.Sum(nil)[:16])
}

// members are those of a line that matter here.
type members struct {
	count                            int
	hasID                            bool
	nullTo                           int // where an id that is null ends
	objectType, objectID, externalID string
}

// object names the object that the line is about. An event may name it once by its id and once by an external id; what
// has both goes by its id.
func (m *members) object() string {
	kind := m.objectType
	if t, err := object.ParseType(kind); err == nil {
		kind = string(t)
	}
	if m.objectID != "" {
		return kind + "/" + m.objectID
	}
	return kind + "?" + m.externalID
}

// members reads the members of a JSON object. What the server refuses anyway, such as a name that stands twice, is no
// concern here, as long as the text is one object and nothing follows it.
func (s *scanner) members(text []byte) (members, error) {
	var m members
	s.reader.Reset(text)
	s.decoder.Reset(&s.reader, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	d := &s.decoder
	if kind := d.PeekKind(); kind != jsontext.KindBeginObject {
		return m, errors.New("the line is no JSON object")
	}
	if _, err := d.ReadToken(); err != nil {
		return m, err
	}
	for d.PeekKind() != jsontext.KindEndObject {
		token, err := d.ReadToken()
		if err != nil {
			return m, err
		}
		name := token.String()
		m.count++
		var into *string
		switch name {
		case "id":
			if d.PeekKind() == jsontext.KindNull {
				if err := d.SkipValue(); err != nil {
					return m, err
				}
				m.nullTo = int(d.InputOffset())
				continue
			}
			m.hasID = true
		case "objectType":
			into = &m.objectType
		case "objectId":
			into = &m.objectID
		case "externalId":
			into = &m.externalID
		}
		if into == nil || d.PeekKind() != jsontext.KindString {
			if err := d.SkipValue(); err != nil {
				return m, err
			}
			continue
		}
		value, err := d.ReadToken()
		if err != nil {
			return m, err
		}
		*into = value.String()
	}
	if _, err := d.ReadToken(); err != nil {
		return m, err
	}
	if _, err := d.ReadToken(); err != io.EOF { //nolint:errorlint // the decoder's contract is this very value
		return m, errors.New("something follows the object")
	}
	return m, nil
}

func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, s) // a hash takes everything
	return h.Sum64()
}
