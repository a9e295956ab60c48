package conversation

import (
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/record"
)

// The readers here take the records as they are written. ok is false where one is in another form, which encoding/json
// then reads.

func decodeCommand(value string) (c Command, ok bool) {
	s := record.Scan(value)
	s.Members(func(name string) int {
		switch name {
		case "v":
			c.Form = s.Number()
			return 0
		case "workspace":
			c.Workspace = s.Text()
			return 1
		case "conversationId":
			c.ConversationID = s.Text()
			return 2
		case "request":
			c.Request = s.Text()
			return 3
		case "id":
			c.ID = s.Text()
			return 4
		case "type":
			c.Type = Type(s.Text())
			return 5
		case "expectedVersion":
			n := s.Int()
			c.ExpectedVersion = &n
			return 6
		case "occurredAt":
			c.OccurredAt = event.Time{Time: s.Time()}
			return 7
		case "receivedAt":
			c.ReceivedAt = event.Time{Time: s.Time()}
			return 8
		case "customer":
			c.Customer = scanReference(&s)
			return 9
		case "agent":
			c.Agent = scanReference(&s)
			return 10
		case "bot":
			c.Bot = scanReference(&s)
			return 11
		default:
			return decodeContent(&s, &c, name)
		}
	})
	return c, s.End()
}

// decodeContent reads the other members of a command.
func decodeContent(s *record.Scanner, c *Command, name string) int {
	switch name {
	case "agents":
		s.Items(func() { c.Agents = append(c.Agents, *scanReference(s)) })
		return 12
	case "team":
		c.Team = s.Text()
		return 13
	case "channel":
		c.Channel = s.Text()
		return 14
	case "proactive":
		c.Proactive = s.Bool()
		return 15
	case "toQueue":
		c.ToQueue = s.Bool()
		return 16
	case "labels":
		labels := scanTexts(s)
		c.Labels = &labels
		return 17
	case "rating":
		c.Rating = s.Number()
		return 18
	case "comment":
		c.Comment = s.Text()
		return 19
	case "reason":
		c.Reason = s.Text()
		return 20
	case "attributes":
		c.Attributes = s.Text()
		return 21
	default:
		return -1
	}
}

func decodeTransition(value string) (t Transition, ok bool) {
	s := record.Scan(value)
	s.Members(func(name string) int {
		switch name {
		case "v":
			t.Form = s.Number()
			return 0
		case "workspace":
			t.Workspace = s.Text()
			return 1
		case "conversationId":
			t.ConversationID = s.Text()
			return 2
		case "version":
			t.Version = s.Int()
			return 3
		case "type":
			t.Type = Type(s.Text())
			return 4
		case "commandId":
			t.CommandID = s.Text()
			return 5
		case "from":
			t.From = State(s.Text())
			return 6
		case "to":
			t.To = State(s.Text())
			return 7
		case "occurredAt":
			t.OccurredAt = event.Time{Time: s.Time()}
			return 8
		case "receivedAt":
			t.ReceivedAt = event.Time{Time: s.Time()}
			return 9
		case "stay":
			t.Stay = scanStay(&s)
			return 10
		case "links":
			t.Links = event.ScanLinks(&s)
			return 11
		case "linksDropped":
			t.LinksDropped = s.Number()
			return 12
		case "keyId":
			t.KeyID = s.Text()
			return 13
		case "sealed":
			t.Sealed = s.Bytes()
			return 14
		case "after":
			s.Members(func(name string) int { return scanConversation(&s, &t.After, name) })
			return 15
		default:
			return decodeSaid(&s, &t, name)
		}
	})
	return t, s.End()
}

// decodeSaid reads the members of a transition that not every one has.
func decodeSaid(s *record.Scanner, t *Transition, name string) int {
	switch name {
	case "implied":
		t.Implied = s.Bool()
		return 16
	case "first":
		first := s.Bool()
		t.First = &first
		return 17
	case "customer":
		t.Customer = scanParty(s)
		return 18
	case "agent":
		t.Agent = scanParty(s)
		return 19
	case "agents":
		s.Items(func() { t.Agents = append(t.Agents, *scanParty(s)) })
		return 20
	case "team":
		t.Team = s.Text()
		return 21
	case "channel":
		t.Channel = s.Text()
		return 22
	case "proactive":
		t.Proactive = s.Bool()
		return 23
	case "toQueue":
		t.ToQueue = s.Bool()
		return 24
	case "labels":
		t.Labels = scanTexts(s)
		return 25
	case "rating":
		t.Rating = s.Number()
		return 26
	case "reason":
		t.Reason = s.Text()
		return 27
	default:
		return -1
	}
}

func scanStay(s *record.Scanner) *Stay {
	var y Stay
	s.Members(func(name string) int {
		switch name {
		case "from":
			y.From = event.Time{Time: s.Time()}
			return 0
		case "began":
			y.Began = event.Time{Time: s.Time()}
			return 1
		case "team":
			y.Team = s.Text()
			return 2
		case "channel":
			y.Channel = s.Text()
			return 3
		case "continues":
			y.Continues = s.Bool()
			return 4
		default:
			return -1
		}
	})
	return &y
}

func decodeSnapshot(value string) (p Snapshot, ok bool) {
	s := record.Scan(value)
	s.Members(func(name string) int {
		switch name {
		case "v":
			p.Form = s.Number()
			return 30
		case "commands":
			s.Items(func() { p.Commands = append(p.Commands, scanRemembered(&s)) })
			return 31
		default:
			return scanConversation(&s, &p.Conversation, name)
		}
	})
	return p, s.End()
}

func scanRemembered(s *record.Scanner) (r Remembered) {
	s.Members(func(name string) int {
		switch name {
		case "c":
			r.Command = s.Text()
			return 0
		case "n":
			r.Version = s.Int()
			return 1
		case "t":
			r.At = s.Int()
			return 2
		default:
			return -1
		}
	})
	return r
}

// scanConversation reads one member of a conversation's state.
func scanConversation(s *record.Scanner, c *Conversation, name string) int {
	switch name {
	case "workspace":
		c.Workspace = s.Text()
		return 0
	case "conversationId":
		c.ID = s.Text()
		return 1
	case "version":
		c.Version = s.Int()
		return 2
	case "state":
		c.State = State(s.Text())
		return 3
	case "customer":
		c.Customer = scanParty(s)
		return 4
	case "accounts":
		c.Accounts = scanTexts(s)
		return 5
	case "agent":
		c.Agent = scanParty(s)
		return 6
	case "team":
		c.Team = s.Text()
		return 7
	case "channel":
		c.Channel = s.Text()
		return 8
	case "proactive":
		c.Proactive = s.Bool()
		return 9
	case "labels":
		c.Labels = scanTexts(s)
		return 10
	case "rating":
		c.Rating = s.Number()
		return 11
	case "reason":
		c.Reason = s.Text()
		return 12
	case "stays":
		c.Stays = s.Number()
		return 13
	case "waitedMillis":
		c.WaitedMillis = s.Int()
		return 14
	case "keyId":
		c.KeyID = s.Text()
		return 15
	default:
		return scanMoment(s, c, name)
	}
}

// scanMoment reads one of the times of a conversation's state.
func scanMoment(s *record.Scanner, c *Conversation, name string) int {
	for i, m := range [...]struct {
		name string
		at   *event.Time
	}{
		{"openedAt", &c.OpenedAt},
		{"queuedAt", &c.QueuedAt},
		{"teamQueuedAt", &c.TeamQueuedAt},
		{"firstRespondedAt", &c.FirstRespondedAt},
		{"closedAt", &c.ClosedAt},
		{"lastTransitionAt", &c.LastTransitionAt},
	} {
		if m.name == name {
			*m.at = event.Time{Time: s.Time()}
			return 16 + i
		}
	}
	return -1
}

func decodeReply(value string) (r Reply, ok bool) {
	s := record.Scan(value)
	s.Members(func(name string) int {
		switch name {
		case "v":
			r.Form = s.Number()
			return 0
		case "request":
			r.Request = s.Text()
			return 1
		case "workspace":
			r.Workspace = s.Text()
			return 2
		case "conversationId":
			r.ConversationID = s.Text()
			return 3
		case "commandId":
			r.CommandID = s.Text()
			return 4
		case "version":
			r.Version = s.Int()
			return 5
		case "state":
			r.State = State(s.Text())
			return 6
		case "changed":
			r.Changed = s.Bool()
			return 7
		case "missing":
			r.Missing = event.ScanLookups(&s)
			return 8
		case "refusal":
			r.Refusal = scanRefusal(&s)
			return 9
		default:
			return -1
		}
	})
	return r, s.End()
}

func scanRefusal(s *record.Scanner) *Refusal {
	var r Refusal
	s.Members(func(name string) int {
		switch name {
		case "kind":
			r.Kind = RefusalKind(s.Text())
			return 0
		case "detail":
			r.Detail = s.Text()
			return 1
		default:
			return -1
		}
	})
	return &r
}

func scanParty(s *record.Scanner) *Party {
	var p Party
	s.Members(func(name string) int {
		switch name {
		case "objectType":
			p.Type = object.Type(s.Text())
			return 0
		case "objectId":
			p.ID = s.Text()
			return 1
		case "externalToken":
			p.ExternalToken = s.Text()
			return 2
		default:
			return -1
		}
	})
	return &p
}

func scanReference(s *record.Scanner) *Reference {
	var r Reference
	s.Members(func(name string) int {
		switch name {
		case "objectId":
			r.ID = s.Text()
			return 0
		case "externalId":
			r.ExternalID = s.Text()
			return 1
		default:
			return -1
		}
	})
	return &r
}

func scanTexts(s *record.Scanner) (all []string) {
	s.Items(func() { all = append(all, s.Text()) })
	return all
}
