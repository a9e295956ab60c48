package link_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

func TestASubmissionBecomesAnEventWithItsLinks(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(w *world) {
		t := w.T
		w.Put(object.Ref{Type: object.Company, ID: "o1"}, "")
		w.Put(object.Ref{Type: object.Account, ID: "a1"}, "77", object.Relation{Type: object.Company, ID: "o1"})
		w.Put(object.Ref{Type: object.User, ID: "u1"}, "")
		key := w.Put(customer(1), "195959", object.Relation{
			Type: object.Account, ExternalToken: w.Master.ExternalToken("acme", object.Account, "77"),
		})
		s := about(customer(1), "e1")
		s.ExternalID, s.Description, s.Icon, s.Source = "195959", "<b>Viewed</b>", "📖", "web"
		s.OccurredAt = event.TimeOf(time.Now().Add(-time.Hour))
		s.Related = []object.Lookup{{Type: object.User, ID: "u1"}, {Type: object.User, ExternalID: "nobody"}}
		w.submit(s)
		w.start()
		w.Settle()
		want := &event.Event{
			Version: 1, ID: "e1", Workspace: "acme", Type: object.Customer, ObjectID: "c1", Name: "Viewed", Source: "web",
			OccurredAt: s.OccurredAt, ReceivedAt: s.ReceivedAt, KeyID: key.ID,
			Links: []event.Link{
				{Type: object.Customer, ID: "c1", Kind: event.LinkPrimary},
				{Type: object.User, ID: "u1", Kind: event.LinkRelated},
				{Type: object.Account, ID: "a1", Kind: event.LinkRelated, Via: []object.Ref{customer(1)}},
				{Type: object.Company, ID: "o1", Kind: event.LinkRelated, Via: []object.Ref{customer(1), {Type: object.Account, ID: "a1"}}},
			},
		}
		got := w.events()
		if diff := cmp.Diff([]*event.Event{want}, got, cmpopts.IgnoreFields(event.Event{}, "Sealed")); diff != "" {
			t.Fatalf("events (-want +got):\n%s", diff)
		}
		wantPersonal := event.Personal{
			ExternalID: "195959", Description: "<b>Viewed</b>", Icon: "📖", Payload: `{"n": 1}`, Related: s.Related,
			Missing: []object.Lookup{{Type: object.User, ExternalID: "nobody"}},
		}
		if diff := cmp.Diff(wantPersonal, w.open(got[0], key)); diff != "" {
			t.Errorf("personal part (-want +got):\n%s", diff)
		}
		record := w.Read(topic.Events)[0]
		for _, secret := range []string{"195959", "<b>", "📖", "nobody"} {
			if strings.Contains(string(record.Value), secret) {
				t.Errorf("the record shows %q", secret)
			}
		}
		origin, err := stream.Origin(record)
		if err != nil || origin.Topic != w.Kafka.Topic(topic.Submissions) || origin.Partition != record.Partition {
			t.Errorf("origin: got %+v, %v", origin, err)
		}
		if kind, _ := stream.HeaderValue(record, topic.HeaderType); kind != topic.TypeEvent {
			t.Errorf("type: got %s", kind)
		}
	})
}

func TestRepeatsAreDroppedInABatchAndAcrossRestartsAndWithoutTheLocalStore(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(w *world) {
		t := w.T
		w.Put(customer(1), "")
		w.Put(customer(2), "")
		other := about(customer(1), "e1")
		other.Name = "Something else"
		// In a batch: the same twice, other content, and the same id of another object, which is another event.
		w.submit(about(customer(1), "e1"), about(customer(1), "e1"), other, about(customer(2), "e1"))
		stop := w.start()
		w.Settle()
		w.submit(about(customer(1), "e1"))
		w.Settle()
		stop()
		w.submit(about(customer(1), "e1"))
		stop = w.start()
		w.Settle()
		stop()
		if err := os.RemoveAll(w.dir); err != nil {
			t.Fatal(err)
		}
		w.submit(about(customer(1), "e1"), other)
		w.start()
		w.Settle()
		var got []string
		for _, e := range w.events() {
			got = append(got, e.ObjectID+" "+e.ID+" "+e.Name)
		}
		slices.Sort(got)
		if diff := cmp.Diff([]string{"c1 e1 Viewed", "c2 e1 Viewed"}, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		same, different := 0, 0
		for _, r := range w.rejections() {
			switch {
			case r.Status != event.StatusDuplicate || r.ID != "e1" || r.ObjectID != "c1":
				t.Errorf("rejected %+v", r)
			case strings.Contains(r.Reason, "id and content"):
				same++
			case strings.Contains(r.Reason, "other content"):
				different++
			}
		}
		if same != 4 || different != 2 {
			t.Errorf("got %d repeats with the same content and %d with other, want 4 and 2", same, different)
		}
	})
}

func TestOtherProducersMayAppendAnywhere(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(w *world) {
		t := w.T
		key := w.Put(object.Ref{Type: object.User, ID: "u1"}, "u-7")
		w.start()
		value := `{"workspace":"acme","objectType":"agent","externalId":"u-7","name":"Shift began","occurredAt":1772366400123,"payload":{ "shift" : "late" }}`
		// Ten keys reach every partition: all but one of these are forwarded.
		for i := range 10 {
			w.Produce(topic.Submissions, fmt.Appendf(nil, "k%d", i), []byte(value))
		}
		w.Settle()
		events := w.events()
		if len(events) != 10 {
			t.Fatalf("got %d events, want 10; rejected: %v", len(events), w.rejections())
		}
		ids := map[string]bool{}
		for _, e := range events {
			if _, err := uuid.Parse(e.ID); err != nil {
				t.Error(err)
			}
			ids[e.ID] = true
			if e.Type != object.User || e.ObjectID != "u1" || e.OccurredAt.UnixMilli() != 1772366400123 || e.ReceivedAt.IsZero() {
				t.Errorf("got %+v", e)
			}
			if p := w.open(e, key); p.Payload != `{ "shift" : "late" }` || p.ExternalID != "u-7" {
				t.Errorf("personal part: got %+v", p)
			}
		}
		if len(ids) != 10 {
			t.Errorf("got %d ids, want 10", len(ids))
		}
	})
}

func TestRefusalsSayWhy(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(w *world) {
		t := w.T
		w.Put(customer(1), "x1")
		w.Put(customer(2), "x2")
		w.start()
		for key, value := range map[string]string{
			"nobody":   `{"workspace":"acme","objectType":"CUSTOMER","externalId":"x9","id":"nobody","name":"n"}`,
			"mismatch": `{"workspace":"acme","objectType":"CUSTOMER","objectId":"c1","externalId":"x2","id":"mismatch","name":"n"}`,
			"invalid":  `{"workspace":"acme","objectType":"PLANET","objectId":"c1","id":"invalid"}`,
			"foreign":  `{"workspace":"other","objectType":"CUSTOMER","objectId":"c1","id":"foreign","name":"n"}`,
			"dead":     `{"workspace":"acme"`,
			"nameless": `{"objectType":"CUSTOMER","objectId":"c1","name":"n"}`,
		} {
			w.Produce(topic.Submissions, []byte(key), []byte(value))
		}
		w.Settle()
		if events := w.events(); len(events) != 0 {
			t.Errorf("got %d events, want none", len(events))
		}
		got := map[string]string{}
		for _, r := range w.rejections() {
			got[r.ID] = r.Workspace + " " + string(r.Status) + " " + r.Reason
			if r.ReceivedAt.IsZero() || !json.Valid([]byte(r.Submission)) {
				t.Errorf("rejection %+v", r)
			}
		}
		want := map[string]string{
			"nobody":   "acme OBJECT_NOT_FOUND no CUSTOMER has this objectId or externalId",
			"foreign":  "other OBJECT_NOT_FOUND no CUSTOMER has this objectId or externalId",
			"mismatch": "acme INVALID objectId and externalId are of different objects",
			"invalid": "acme INVALID /objectType unknown object type: want one of CONVERSATION, ACCOUNT, CUSTOMER, USER, CHATBOT, " +
				"COMPANY, HELPCENTER, SESSION_RECORDING; /name is required",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("rejections (-want +got):\n%s", diff)
		}
		dead := map[string]string{}
		for _, r := range w.Read(topic.DeadLetters) {
			d, err := event.ParseDeadLetter(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			dead[string(d.Key)] = string(d.Value)
			origin, err := stream.Origin(r)
			if err != nil || origin.Offset != d.Offset || origin.Topic != d.Topic || origin.Partition != d.Partition || d.Reason == "" {
				t.Errorf("dead letter %+v of %+v, %v", d, origin, err)
			}
		}
		if diff := cmp.Diff([]string{"dead", "nameless"}, slices.Sorted(maps.Keys(dead))); diff != "" {
			t.Errorf("dead letters (-want +got):\n%s", diff)
		}
	})
}

func TestWhatTheEdgeResolvedIsLinkedThoughItsObjectIsGone(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(w *world) {
		t := w.T
		gone := w.Put(customer(1), "")
		erased := w.Put(customer(2), "")
		w.Produce(topic.Objects, topic.Key("acme", "CUSTOMER", "c1"), nil)
		w.Produce(topic.SubjectKeys, topic.Key("acme", "CUSTOMER", "c2", erased.ID), nil)
		w.submit(about(customer(1), "gone"), about(customer(2), "erased"))
		w.start()
		w.Settle()
		events := map[string]*event.Event{}
		for _, e := range w.events() {
			events[e.ID] = e
		}
		if len(events) != 2 {
			t.Fatalf("got %d events, want 2; rejected: %v", len(events), w.rejections())
		}
		if p := w.open(events["gone"], gone); p.Payload != `{"n": 1}` {
			t.Errorf("the event of a deleted object: got %+v", p)
		}
		if e := events["erased"]; e.KeyID != "" || e.Sealed != nil || len(e.Links) != 1 {
			t.Errorf("the event of an erased subject: got %+v", e)
		}
	})
}

func TestAnObjectWriteIsSeenByTheEventAfterIt(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(w *world) {
		t := w.T
		w.start()
		var relations []object.Relation
		for i := range 20 {
			w.Put(object.Ref{Type: object.Account, ID: fmt.Sprintf("a%d", i)}, "")
			relations = append(relations, object.Relation{Type: object.Account, ID: fmt.Sprintf("a%d", i)})
			w.Put(customer(1), "", relations...)
			w.submit(about(customer(1), fmt.Sprintf("e%d", i)))
		}
		w.Settle()
		events := w.events()
		if len(events) != 20 {
			t.Fatalf("got %d events, want 20", len(events))
		}
		for i, e := range events {
			// What was written later may be seen too.
			if len(e.Links) < i+2 {
				t.Errorf("event %s: got %d links, want %d or more", e.ID, len(e.Links), i+2)
			}
		}
	})
}

func TestTheOrderOfAnObjectsEventsIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kfake(t), true)
	w.cfg.MaxBatch = 7
	for c := range 3 {
		w.Put(customer(c), "")
	}
	var subs []event.Submission
	for i := range 100 {
		subs = append(subs, about(customer(i%3), fmt.Sprintf("%03d", i)))
	}
	w.submit(subs...)
	w.start()
	w.Settle()
	last := map[string]string{}
	events := w.events()
	for _, e := range events {
		if e.ID <= last[e.ObjectID] {
			t.Errorf("%s: %s came after %s", e.ObjectID, e.ID, last[e.ObjectID])
		}
		last[e.ObjectID] = e.ID
	}
	if len(events) != 100 {
		t.Errorf("got %d events, want 100", len(events))
	}
}
