package dispatcher

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// talk takes a conversation through commands, by the rules of the product, and appends its transitions to the log.
type talk struct {
	w     *world
	id    string
	at    time.Time
	state conversation.Conversation
	key   *seal.DataKey
	keyID string
}

func (w *world) talk(id string) *talk {
	w.t.Helper()
	ref := object.Ref{Type: object.Conversation, ID: id}
	rec, key, err := w.master.NewKey("ws", ref, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	value, err := json.Marshal(rec)
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(&stream.Record{Topic: w.kafka.Topic(topic.SubjectKeys), Key: topic.Key("ws", string(ref.Type), id, rec.ID), Value: value})
	return &talk{w: w, id: id, at: time.Now().Add(-time.Hour).Truncate(time.Second), key: key, keyID: rec.ID}
}

// said is one transition with its personal part.
type said struct {
	*conversation.Transition

	personal conversation.Personal
}

// step is one transition later, a minute after the one before.
func (k *talk) step(c conversation.Command, who conversation.Parties) []said {
	k.w.t.Helper()
	k.at = k.at.Add(time.Minute)
	c.Workspace, c.ConversationID, c.ID, c.OccurredAt = "ws", k.id, fmt.Sprintf("%s@%d", c.Type, k.at.Unix()), event.TimeOf(k.at)
	if c.ReceivedAt.IsZero() {
		c.ReceivedAt = event.TimeOf(time.Now())
	}
	d := conversation.Decide(&conversation.Snapshot{Conversation: k.state}, &c, who)
	var all []said
	for _, t := range d.Transitions {
		t.Links = []event.Link{{Type: object.Conversation, ID: k.id, Kind: event.LinkPrimary}}
		t.KeyID = k.keyID
		if err := t.Complete(k.state); err != nil {
			k.w.t.Fatal(err)
		}
		k.state = t.After
		p := conversation.Personal{Comment: c.Comment, Attributes: c.Attributes}
		if !p.Empty() {
			plain, err := json.Marshal(&p)
			if err != nil {
				k.w.t.Fatal(err)
			}
			t.Sealed = k.key.Seal(plain, t.AdditionalData())
		}
		value, err := t.Encode()
		if err != nil {
			k.w.t.Fatal(err)
		}
		k.w.put(&stream.Record{Topic: k.w.kafka.Topic(topic.Conversations), Key: conversation.Key("ws", k.id), Value: value})
		all = append(all, said{t, p})
	}
	return all
}

// read gives records of a topic in the order of the log to take, partition by partition, until it says that it has enough.
func (w *world) read(name topic.Name, take func(*stream.Record) (enough bool)) {
	w.t.Helper()
	cl, err := stream.Open(w.kafka, slog.New(slog.DiscardHandler), nil, kgo.ConsumeTopics(w.kafka.Topic(name)),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		w.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	for enough := false; !enough; {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			w.t.Fatalf("%s has not what is waited for", name)
		}
		fetches.EachRecord(func(r *kgo.Record) { enough = enough || take(r) })
	}
}

// planned reads deliveries up to the first one that ends the reading.
func (w *world) planned(end func(*webhook.Delivery) bool) []*webhook.Delivery {
	w.t.Helper()
	var all []*webhook.Delivery
	w.read(topic.WebhookDeliveries, func(r *stream.Record) bool {
		d, err := webhook.ParseDelivery(r.Value)
		if err != nil {
			w.t.Error(err)
			return false
		}
		all = append(all, d)
		return end(d)
	})
	return all
}

func conversationEvents() []string {
	var all []string
	for _, t := range conversation.Types() {
		all = append(all, conversationEvent(t))
	}
	return all
}

// TestAConversationIsToldToWhoAskedForIt takes two conversations through everything and looks at what is planned for
// endpoints with different settings.
func TestAConversationIsToldToWhoAskedForIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.Kfake(t), true, 1)
	hook := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	with := func(change func(e *webhook.Endpoint)) func(*webhook.Endpoint) {
		return func(e *webhook.Endpoint) {
			e.Events, e.AssignedScope = conversationEvents(), webhook.ScopeAll
			change(e)
		}
	}
	w.endpoint("all", hook.URL, with(func(*webhook.Endpoint) {}))
	w.endpoint("proactive", hook.URL, with(func(e *webhook.Endpoint) {
		e.Events, e.AssignedScope = []string{webhook.ConversationAssigned}, webhook.ScopeProactive
	}))
	w.endpoint("sales", hook.URL, with(func(e *webhook.Endpoint) { e.Teams = []string{"sales"} }))
	w.endpoint("mail", hook.URL, with(func(e *webhook.Endpoint) { e.Channels = []string{"mail"} }))
	w.endpoint("angry", hook.URL, with(func(e *webhook.Endpoint) { e.Filter = `has(data.transition.rating) && data.transition.rating < 3` }))
	w.endpoint("events", hook.URL)
	later := time.Now().Add(time.Hour)
	w.endpoint("later", hook.URL, with(func(e *webhook.Endpoint) { e.CreatedAt = event.TimeOf(later) }))

	ann, bob := conversation.Party{Type: object.User, ID: "ann"}, conversation.Party{Type: object.User, ID: "bob"}
	vip := []string{"vip"}
	var log []said
	one := w.talk("k1")
	for _, s := range []struct {
		conversation.Command
		who conversation.Parties
	}{
		{conversation.Command{Type: conversation.Opened, Team: "sales", Channel: "web", Attributes: `{"a":1.0}`}, conversation.Parties{}},
		{conversation.Command{Type: conversation.Queued}, conversation.Parties{}},
		{conversation.Command{Type: conversation.Queued}, conversation.Parties{}}, // changes nothing
		{conversation.Command{Type: conversation.Broadcasted}, conversation.Parties{Agents: []conversation.Party{ann, bob}}},
		{conversation.Command{Type: conversation.Assigned}, conversation.Parties{Agent: &ann}},
		{conversation.Command{Type: conversation.Assigned, Proactive: true}, conversation.Parties{Agent: &bob}},
		{conversation.Command{Type: conversation.Responded}, conversation.Parties{Agent: &bob}},
		{conversation.Command{Type: conversation.Labeled, Labels: &vip}, conversation.Parties{}},
		{conversation.Command{Type: conversation.Transferred, Team: "support"}, conversation.Parties{}},
		{conversation.Command{Type: conversation.Responded}, conversation.Parties{Agent: &ann}}, // not the first one
		{conversation.Command{Type: conversation.Closed, Reason: "solved"}, conversation.Parties{}},
		{conversation.Command{Type: conversation.Surveyed, Rating: 1, Comment: "slow"}, conversation.Parties{}},
	} {
		log = append(log, one.step(s.Command, s.who)...)
	}
	if len(log) != 11 {
		t.Fatalf("%d transitions", len(log))
	}
	// It begins with an implied opened.
	log = append(log, w.talk("k2").step(conversation.Command{Type: conversation.Queued, Channel: "mail"}, conversation.Parties{})...)
	// The last one ends the reading: it is received when all endpoints are there.
	w.talk("k3").step(conversation.Command{Type: conversation.Opened, ReceivedAt: event.TimeOf(later)}, conversation.Parties{})
	w.start()

	got := map[string][]string{}
	compiled := schemas(t)
	for _, d := range w.planned(func(d *webhook.Delivery) bool { return d.Endpoint == "later" }) {
		got[d.Endpoint] = append(got[d.Endpoint], d.Type+" "+d.Subject.ID+":"+d.Event)
		if d.Endpoint != "all" || d.Subject.ID == "k3" {
			continue
		}
		i := slices.IndexFunc(log, func(s said) bool { return s.ID() == d.Subject.ID+":"+d.Event })
		body := []byte(d.Body)
		if len(d.Sealed) > 0 {
			var err error
			if body, err = one.key.Open(d.Sealed, webhook.BodyData("ws", d.Type, d.Subject, d.Event)); err != nil {
				t.Fatal(err)
			}
		}
		if log[i].personal.Empty() == (len(d.Sealed) > 0) {
			t.Errorf("%s: what is personal is sealed, and nothing else: %s", d.Type, d.Body)
		}
		conforms(t, compiled[d.Type], body)
		told(t, log[i], body)
	}
	want := map[string][]string{
		"all": {
			"conversation.opened k1:1", "conversation.queued k1:2", "conversation.broadcasted k1:3", "conversation.assigned k1:4",
			"conversation.assigned k1:5", "conversation.responded k1:6", "conversation.labeled k1:7", "conversation.transferred k1:8",
			"conversation.closed k1:10", "conversation.surveyed k1:11", "conversation.opened k2:1", "conversation.queued k2:2",
			"conversation.opened k3:1",
		},
		"proactive": {"conversation.assigned k1:5"},
		"sales": {
			"conversation.opened k1:1", "conversation.queued k1:2", "conversation.broadcasted k1:3", "conversation.assigned k1:4",
			"conversation.assigned k1:5", "conversation.responded k1:6", "conversation.labeled k1:7",
		},
		"mail":  {"conversation.queued k2:2"},
		"angry": {"conversation.surveyed k1:11"},
		"later": {"conversation.opened k3:1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("planned (-want +got):\n%s", diff)
	}
	w.eventually("all are posted", func() bool { return len(hook.counts()) == 13+1+7+1+1 })
}

// told compares a body with what the API answers of the conversation and of the transition.
func told(t *testing.T, s said, body []byte) {
	t.Helper()
	var b struct {
		Type      string
		Timestamp event.Time
		Data      struct{ Conversation, Transition json.RawMessage }
	}
	if err := json.Unmarshal(body, &b); err != nil {
		t.Fatal(err)
	}
	transition, err := s.Answer(&s.personal)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := json.Marshal(s.After.Answer(s.OccurredAt.Time))
	if err != nil {
		t.Fatal(err)
	}
	if b.Type != conversationEvent(s.Type) || !b.Timestamp.Equal(s.OccurredAt.Time) || !bytes.Equal(b.Data.Conversation, answer) ||
		!bytes.Equal(b.Data.Transition, transition) {
		t.Errorf("%s is told as %s", s.ID(), body)
	}
}
