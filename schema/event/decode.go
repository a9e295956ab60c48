package event

import (
	"encoding/json"
	"fmt"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/record"
)

// decodeEvent reads a value in the form in which Encode writes it. ok is false where it is in another.
func decodeEvent(value string) (e Event, ok bool) {
	s := record.Scan(value)
	s.Members(func(name string) int {
		switch name {
		case "v":
			e.Version = s.Number()
			return 0
		case "id":
			e.ID = s.Text()
			return 1
		case "workspace":
			e.Workspace = s.Text()
			return 2
		case "objectType":
			e.Type = object.Type(s.Text())
			return 3
		case "objectId":
			e.ObjectID = s.Text()
			return 4
		case "name":
			e.Name = s.Text()
			return 5
		case "source":
			e.Source = s.Text()
			return 6
		case "occurredAt":
			e.OccurredAt = Time{s.Time()}
			return 7
		case "receivedAt":
			e.ReceivedAt = Time{s.Time()}
			return 8
		case "links":
			e.Links = ScanLinks(&s)
			return 9
		case "linksDropped":
			e.LinksDropped = s.Number()
			return 10
		case "keyId":
			e.KeyID = s.Text()
			return 11
		case "sealed":
			e.Sealed = s.Bytes()
			return 12
		default:
			return -1
		}
	})
	return e, s.End()
}

// ScanLinks reads links, of which there is one at least.
func ScanLinks(s *record.Scanner) []Link {
	// Most events are on one or two timelines.
	links := make([]Link, 0, 2)
	s.Items(func() { links = append(links, scanLink(s)) })
	return links
}

func scanLink(s *record.Scanner) (l Link) {
	s.Members(func(name string) int {
		switch name {
		case "objectType":
			l.Type = object.Type(s.Text())
			return 0
		case "objectId":
			l.ID = s.Text()
			return 1
		case "link":
			l.Kind = LinkKind(s.Text())
			return 2
		case "via":
			s.Items(func() {
				r := scanLookup(s)
				if r.ExternalID != "" {
					s.GiveUp()
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

func scanLookup(s *record.Scanner) (l object.Lookup) {
	s.Members(func(name string) int {
		switch name {
		case "objectType":
			l.Type = object.Type(s.Text())
			return 0
		case "objectId":
			l.ID = s.Text()
			return 1
		case "externalId":
			l.ExternalID = s.Text()
			return 2
		default:
			return -1
		}
	})
	return l
}

// ScanLookups reads references to objects, of which there is one at least.
func ScanLookups(s *record.Scanner) (all []object.Lookup) {
	s.Items(func() { all = append(all, scanLookup(s)) })
	return all
}

// decodePersonal reads the sealed part of an event as it is written. ok is false where it is in another form.
func decodePersonal(plain string) (p Personal, ok bool) {
	s := record.Scan(plain)
	if plain == "{}" {
		return p, true
	}
	s.Members(func(name string) int {
		switch name {
		case "externalId":
			p.ExternalID = s.Text()
			return 0
		case "description":
			p.Description = s.Text()
			return 1
		case "icon":
			p.Icon = s.Text()
			return 2
		case "payload":
			p.Payload = s.Text()
			return 3
		case "relatedObjects":
			p.Related = ScanLookups(&s)
			return 4
		case "missing":
			p.Missing = ScanLookups(&s)
			return 5
		default:
			return -1
		}
	})
	return p, s.End()
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
	s := record.Scan(value)
	s.Members(func(name string) int {
		switch name {
		case "v":
			sub.Version = s.Number()
			return 0
		case "id":
			sub.ID = s.Text()
			return 1
		case "workspace":
			sub.Workspace = s.Text()
			return 2
		case "objectType":
			sub.Type = object.Type(s.Text())
			return 3
		case "objectId":
			sub.ObjectID = s.Text()
			return 4
		case "externalId":
			sub.ExternalID = s.Text()
			return 5
		case "name":
			sub.Name = s.Text()
			return 6
		case "description":
			sub.Description = s.Text()
			return 7
		case "icon":
			sub.Icon = s.Text()
			return 8
		case "source":
			sub.Source = s.Text()
			return 9
		case "occurredAt":
			sub.OccurredAt = Time{s.Time()}
			return 10
		case "receivedAt":
			sub.ReceivedAt = Time{s.Time()}
			return 11
		case "relatedObjects":
			sub.Related = ScanLookups(&s)
			return 12
		case "resolved":
			sub.Resolved = s.Bool()
			return 13
		case "payload":
			sub.Payload = s.Rest()
			return 14
		default:
			return -1
		}
	})
	return sub, s.End()
}
