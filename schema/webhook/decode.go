package webhook

import (
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/record"
)

// decodeDelivery reads a value in the form in which Encode writes it. ok is false where it is in another.
func decodeDelivery(value string) (d Delivery, ok bool) {
	s := record.Scan(value)
	s.Members(func(name string) int {
		if n := decodeWhat(&s, name, &d); n >= 0 {
			return n
		}
		return decodeState(&s, name, &d)
	})
	return d, s.End()
}

// decodeWhat reads a member that says what is delivered to whom.
func decodeWhat(s *record.Scanner, name string, d *Delivery) int {
	switch name {
	case "v":
		d.Version = s.Number()
		return 0
	case "id":
		d.ID = s.Text()
		return 1
	case "workspace":
		d.Workspace = s.Text()
		return 2
	case "endpoint":
		d.Endpoint = s.Text()
		return 3
	case "type":
		d.Type = s.Text()
		return 4
	case "subject":
		d.Subject = scanSubject(s)
		return 5
	case "event":
		d.Event = s.Text()
		return 6
	case "plannedAt":
		d.PlannedAt = event.Time{Time: s.Time()}
		return 7
	case "body":
		d.Body = s.Text()
		return 8
	case "keyId":
		d.KeyID = s.Text()
		return 9
	case "sealed":
		d.Sealed = s.Bytes()
		return 10
	default:
		return -1
	}
}

// decodeState reads a member that says how far a delivery has come.
func decodeState(s *record.Scanner, name string, d *Delivery) int {
	switch name {
	case "attempts":
		d.Attempts = s.Number()
		return 11
	case "deferrals":
		d.Deferrals = s.Number()
		return 12
	case "dueAt":
		d.DueAt = event.Time{Time: s.Time()}
		return 13
	case "leavesAt":
		d.LeavesAt = event.Time{Time: s.Time()}
		return 14
	case "waits":
		d.Waits = s.Int()
		return 15
	case "again":
		d.Again = s.Bool()
		return 16
	case "before":
		d.Before = s.Number()
		return 17
	case "replayedAt":
		d.ReplayedAt = event.Time{Time: s.Time()}
		return 18
	case "digest":
		d.Digest = s.Text()
		return 19
	case "digestSize":
		d.DigestSize = s.Number()
		return 20
	case "once":
		d.Once = s.Bool()
		return 21
	default:
		return -1
	}
}

func scanSubject(s *record.Scanner) (ref object.Ref) {
	s.Members(func(name string) int {
		switch name {
		case "objectType":
			ref.Type = object.Type(s.Text())
			return 0
		case "objectId":
			ref.ID = s.Text()
			return 1
		default:
			return -1
		}
	})
	return ref
}
