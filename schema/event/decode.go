package event

import (
	"encoding/json"
	"fmt"

	"github.com/throughline/throughline/schema/object"
)

// decodeEvent reads a value in the form in which Encode writes it. ok is false where it is in another.
func decodeEvent(value string) (e Event, ok bool) {
	s := scanner{s: value}
	s.members(func(name string) int {
		switch name {
		case "v":
			e.Version = s.number()
			return 0
		case "id":
			e.ID = s.text()
			return 1
		case "workspace":
			e.Workspace = s.text()
			return 2
		case "objectType":
			e.Type = object.Type(s.text())
			return 3
		case "objectId":
			e.ObjectID = s.text()
			return 4
		case "name":
			e.Name = s.text()
			return 5
		case "source":
			e.Source = s.text()
			return 6
		case "occurredAt":
			e.OccurredAt = s.time()
			return 7
		case "receivedAt":
			e.ReceivedAt = s.time()
			return 8
		case "links":
			// Most events are on one or two timelines.
			e.Links = make([]Link, 0, 2)
			s.items(func() { e.Links = append(e.Links, s.link()) })
			return 9
		case "linksDropped":
			e.LinksDropped = s.number()
			return 10
		case "keyId":
			e.KeyID = s.text()
			return 11
		case "sealed":
			e.Sealed = s.bytes()
			return 12
		default:
			return -1
		}
	})
	return e, s.end()
}

func (s *scanner) link() (l Link) {
	s.members(func(name string) int {
		switch name {
		case "objectType":
			l.Type = object.Type(s.text())
			return 0
		case "objectId":
			l.ID = s.text()
			return 1
		case "link":
			l.Kind = LinkKind(s.text())
			return 2
		case "via":
			s.items(func() {
				r := s.lookup()
				if r.ExternalID != "" {
					s.giveUp()
				}
				l.Via = append(l.Via, object.Ref{Type: r.Type, ID: r.ID})
			})
			return 3
		default:
			return -1
		}
	})
	return l
}

func (s *scanner) lookup() (l object.Lookup) {
	s.members(func(name string) int {
		switch name {
		case "objectType":
			l.Type = object.Type(s.text())
			return 0
		case "objectId":
			l.ID = s.text()
			return 1
		case "externalId":
			l.ExternalID = s.text()
			return 2
		default:
			return -1
		}
	})
	return l
}

func (s *scanner) lookups() (all []object.Lookup) {
	s.items(func() { all = append(all, s.lookup()) })
	return all
}

// decodePersonal reads the sealed part of an event as it is written. ok is false where it is in another form.
func decodePersonal(plain string) (p Personal, ok bool) {
	s := scanner{s: plain}
	if plain == "{}" {
		return p, true
	}
	s.members(func(name string) int {
		switch name {
		case "externalId":
			p.ExternalID = s.text()
			return 0
		case "description":
			p.Description = s.text()
			return 1
		case "icon":
			p.Icon = s.text()
			return 2
		case "payload":
			p.Payload = s.text()
			return 3
		case "relatedObjects":
			p.Related = s.lookups()
			return 4
		case "missing":
			p.Missing = s.lookups()
			return 5
		default:
			return -1
		}
	})
	return p, s.end()
}

// ParsePersonal reads the sealed part of an event, once it is opened. It ignores members that it does not know.
func ParsePersonal(plain []byte) (*Personal, error) {
	if p, ok := decodePersonal(string(plain)); ok {
		return &p, nil
	}
	var p Personal
	if err := json.Unmarshal(plain, &p); err != nil {
		return nil, fmt.Errorf("parse sealed part of event: %w", err)
	}
	return &p, nil
}

// decodeSubmission reads a value in the form in which Encode writes it, where the payload comes last. ok is false where
// it is in another.
func decodeSubmission(value string) (sub Submission, ok bool) {
	s := scanner{s: value}
	s.members(func(name string) int {
		switch name {
		case "v":
			sub.Version = s.number()
			return 0
		case "id":
			sub.ID = s.text()
			return 1
		case "workspace":
			sub.Workspace = s.text()
			return 2
		case "objectType":
			sub.Type = object.Type(s.text())
			return 3
		case "objectId":
			sub.ObjectID = s.text()
			return 4
		case "externalId":
			sub.ExternalID = s.text()
			return 5
		case "name":
			sub.Name = s.text()
			return 6
		case "description":
			sub.Description = s.text()
			return 7
		case "icon":
			sub.Icon = s.text()
			return 8
		case "source":
			sub.Source = s.text()
			return 9
		case "occurredAt":
			sub.OccurredAt = s.time()
			return 10
		case "receivedAt":
			sub.ReceivedAt = s.time()
			return 11
		case "relatedObjects":
			sub.Related = s.lookups()
			return 12
		case "resolved":
			sub.Resolved = s.literal("true")
			return 13
		case "payload":
			sub.Payload = s.rest()
			return 14
		default:
			return -1
		}
	})
	return sub, s.end()
}

// literal passes over a text.
func (s *scanner) literal(text string) bool {
	for i := range len(text) {
		s.take(text[i])
	}
	return !s.odd
}

// rest reads the last member's value: whatever stands before the object's end, if that is one value of JSON.
func (s *scanner) rest() json.RawMessage {
	last := len(s.s) - 1
	if last <= s.at || s.s[last] != '}' {
		s.giveUp()
		return nil
	}
	raw := json.RawMessage(s.s[s.at:last])
	// The standard library bounds nesting at 10,000 levels of the whole, which take a byte at both ends.
	const maybeDeep = 16 << 10
	if len(raw) > maybeDeep || raw[0] <= ' ' || raw[len(raw)-1] <= ' ' || !json.Valid(raw) {
		s.giveUp()
	}
	s.at = last
	return raw
}
