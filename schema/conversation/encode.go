package conversation

import (
	"encoding/base64"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/record"
)

// The records are written by hand, as package event's are: the processor writes three for every command, and reflection
// took a fifth of its time. They are the bytes that json.Marshal would give.

// Room for most records of each kind, beside what may be long.
const (
	commandBytes    = 448
	transitionBytes = 1280
	snapshotBytes   = 512
	rememberedBytes = 64
	replyBytes      = 320
)

// Encode writes the record's value.
func (c *Command) Encode() ([]byte, error) {
	c.Form = RecordVersion
	w := record.Begin(commandBytes + len(c.Comment) + len(c.Attributes))
	w.Int("v", int64(c.Form))
	w.Text("workspace", c.Workspace)
	w.Text("conversationId", c.ConversationID)
	w.Text("request", c.Request)
	w.Text("id", c.ID)
	w.Text("type", string(c.Type))
	if c.ExpectedVersion != nil {
		w.Int("expectedVersion", *c.ExpectedVersion)
	}
	w.Time("occurredAt", c.OccurredAt.Time)
	w.Moment("receivedAt", c.ReceivedAt.Time)
	reference(&w, "customer", c.Customer)
	reference(&w, "agent", c.Agent)
	reference(&w, "bot", c.Bot)
	for i := range c.Agents {
		item(&w, "agents", i)
		appendReference(&w, &c.Agents[i])
	}
	endItems(&w, len(c.Agents))
	w.Optional("team", c.Team)
	w.Optional("channel", c.Channel)
	w.True("proactive", c.Proactive)
	w.True("toQueue", c.ToQueue)
	switch {
	case c.Labels == nil:
	case *c.Labels == nil:
		w.Name("labels")
		w.Raw("null")
	case len(*c.Labels) == 0:
		w.Name("labels")
		w.Raw("[]")
	default:
		texts(&w, "labels", *c.Labels)
	}
	w.OptionalInt("rating", int64(c.Rating))
	w.Optional("comment", c.Comment)
	w.Optional("reason", c.Reason)
	w.Optional("attributes", c.Attributes)
	return w.End(), nil
}

// Encode writes the record's value.
func (t *Transition) Encode() ([]byte, error) {
	t.Form = RecordVersion
	w := record.Begin(transitionBytes + base64.StdEncoding.EncodedLen(len(t.Sealed)))
	w.Int("v", int64(t.Form))
	w.Text("workspace", t.Workspace)
	w.Text("conversationId", t.ConversationID)
	w.Int("version", t.Version)
	w.Text("type", string(t.Type))
	w.Optional("commandId", t.CommandID)
	w.Optional("from", string(t.From))
	w.Text("to", string(t.To))
	w.Moment("occurredAt", t.OccurredAt.Time)
	w.Moment("receivedAt", t.ReceivedAt.Time)
	w.True("implied", t.Implied)
	if t.First != nil {
		w.Bool("first", *t.First)
	}
	party(&w, "customer", t.Customer)
	party(&w, "agent", t.Agent)
	for i := range t.Agents {
		item(&w, "agents", i)
		appendParty(&w, &t.Agents[i])
	}
	endItems(&w, len(t.Agents))
	w.Optional("team", t.Team)
	w.Optional("channel", t.Channel)
	w.True("proactive", t.Proactive)
	w.True("toQueue", t.ToQueue)
	texts(&w, "labels", t.Labels)
	w.OptionalInt("rating", int64(t.Rating))
	w.Optional("reason", t.Reason)
	if s := t.Stay; s != nil {
		w.Raw(`,"stay":{`)
		w.Moment("from", s.From.Time)
		w.Moment("began", s.Began.Time)
		w.Optional("team", s.Team)
		w.Optional("channel", s.Channel)
		w.True("continues", s.Continues)
		w.Raw("}")
	}
	event.AppendLinks(&w, t.Links)
	w.OptionalInt("linksDropped", int64(t.LinksDropped))
	w.Optional("keyId", t.KeyID)
	w.Bytes("sealed", t.Sealed)
	w.Raw(`,"after":{`)
	t.After.append(&w)
	w.Raw("}")
	return w.End(), nil
}

// Encode writes the record's value.
func (s *Snapshot) Encode() ([]byte, error) {
	s.Form = RecordVersion
	w := record.Begin(snapshotBytes + rememberedBytes*len(s.Commands))
	w.Int("v", int64(s.Form))
	s.append(&w)
	for i := range s.Commands {
		r := &s.Commands[i]
		item(&w, "commands", i)
		w.Raw("{")
		w.Text("c", r.Command)
		w.Int("n", r.Version)
		w.Int("t", r.At)
		w.Raw("}")
	}
	endItems(&w, len(s.Commands))
	return w.End(), nil
}

// append appends the members.
func (c *Conversation) append(w *record.Writer) {
	w.Text("workspace", c.Workspace)
	w.Text("conversationId", c.ID)
	w.Int("version", c.Version)
	w.Text("state", string(c.State))
	party(w, "customer", c.Customer)
	texts(w, "accounts", c.Accounts)
	party(w, "agent", c.Agent)
	w.Optional("team", c.Team)
	w.Optional("channel", c.Channel)
	w.True("proactive", c.Proactive)
	texts(w, "labels", c.Labels)
	w.OptionalInt("rating", int64(c.Rating))
	w.Optional("reason", c.Reason)
	w.Time("openedAt", c.OpenedAt.Time)
	w.Time("queuedAt", c.QueuedAt.Time)
	w.Time("teamQueuedAt", c.TeamQueuedAt.Time)
	w.Time("firstRespondedAt", c.FirstRespondedAt.Time)
	w.Time("closedAt", c.ClosedAt.Time)
	w.Time("lastTransitionAt", c.LastTransitionAt.Time)
	w.OptionalInt("stays", int64(c.Stays))
	w.OptionalInt("waitedMillis", c.WaitedMillis)
	w.Optional("keyId", c.KeyID)
}

// Encode writes the record's value.
func (r *Reply) Encode() ([]byte, error) {
	r.Form = RecordVersion
	w := record.Begin(replyBytes)
	w.Int("v", int64(r.Form))
	w.Text("request", r.Request)
	w.Text("workspace", r.Workspace)
	w.Text("conversationId", r.ConversationID)
	w.Text("commandId", r.CommandID)
	w.Int("version", r.Version)
	w.Optional("state", string(r.State))
	w.True("changed", r.Changed)
	event.AppendLookups(&w, "missing", r.Missing)
	if r.Refusal != nil {
		w.Raw(`,"refusal":{`)
		w.Text("kind", string(r.Refusal.Kind))
		w.Text("detail", r.Refusal.Detail)
		w.Raw("}")
	}
	return w.End(), nil
}

// item begins an item of a member that is a list, and with the first one the list; endItems ends it.
func item(w *record.Writer, name string, i int) {
	if i > 0 {
		w.Raw(",")
		return
	}
	w.Name(name)
	w.Raw("[")
}

func endItems(w *record.Writer, n int) {
	if n > 0 {
		w.Raw("]")
	}
}

func texts(w *record.Writer, name string, all []string) {
	for i, s := range all {
		item(w, name, i)
		w.String(s)
	}
	endItems(w, len(all))
}

func party(w *record.Writer, name string, p *Party) {
	if p != nil {
		w.Name(name)
		appendParty(w, p)
	}
}

func appendParty(w *record.Writer, p *Party) {
	w.Raw("{")
	w.Text("objectType", string(p.Type))
	w.Optional("objectId", p.ID)
	w.Optional("externalToken", p.ExternalToken)
	w.Raw("}")
}

func reference(w *record.Writer, name string, r *Reference) {
	if r != nil {
		w.Name(name)
		appendReference(w, r)
	}
}

func appendReference(w *record.Writer, r *Reference) {
	w.Raw("{")
	w.Optional("objectId", r.ID)
	w.Optional("externalId", r.ExternalID)
	w.Raw("}")
}
