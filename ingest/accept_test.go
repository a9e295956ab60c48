package ingest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/position"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

func TestEdgeAppendsAnEventBeforeItAnswers(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kafka(t))
	e := l.edge(t)
	key := e.key("acme")
	e.must(http.StatusOK, http.MethodPut, "/v1/objects/CUSTOMER/c1", key, `{"externalId":"195959"}`)
	sent := `{"objectType":"customer","externalId":"195959","name":"Atlas Helpcenter","icon":"📖",
		"payload":{"n": 1.50,  "big":12345678901234567890},"id":"e1","occurredAt":1767225600123,
		"relatedObjects":[{"objectType":"Agent","objectId":"u1"}]}`
	a := e.must(http.StatusOK, http.MethodPost, "/v1/events", key, sent)

	for name, want := range map[string]string{
		"message": "Event Linked", "id": "e1", "processingStatus": "LINKED", "objectType": "CUSTOMER", "objectId": "c1",
	} {
		if got := a.member(t, name); got != want {
			t.Errorf("%s is %v, want %s", name, got, want)
		}
	}
	records := l.read(t, topic.Submissions)
	if len(records) != 1 {
		t.Fatalf("submissions has %d records, want 1", len(records))
	}
	r := records[0]
	if want := topic.Key("acme", "CUSTOMER", "c1"); string(r.Key) != string(want) {
		t.Errorf("key is %s, want %s", r.Key, want)
	}
	if want := stream.PartitionOf(r.Key, topic.EmbeddedPartitions); r.Partition != want {
		t.Errorf("partition is %d, want %d", r.Partition, want)
	}
	if id, _ := stream.HeaderValue(r, topic.HeaderID); id != "e1" {
		t.Errorf("header %s is %q", topic.HeaderID, id)
	}
	sub, err := event.ParseSubmission(r.Value)
	check(t, err)
	if got := string(sub.Payload); got != `{"n": 1.50,  "big":12345678901234567890}` {
		t.Errorf("payload is not what was sent: %s", got)
	}
	if !sub.Resolved || sub.ObjectID != "c1" || sub.ExternalID != "195959" || sub.OccurredAt.UnixMilli() != 1767225600123 {
		t.Errorf("submission is %+v", sub)
	}
	if diff := cmp.Diff([]object.Lookup{{Type: object.User, ID: "u1"}}, sub.Related); diff != "" {
		t.Errorf("related (-want +got):\n%s", diff)
	}
	text, _ := a.member(t, "position").(string)
	p, err := position.Parse(text, "acme")
	check(t, err)
	want := []position.Entry{{Topic: topic.Submissions, Partition: r.Partition, Offset: r.Offset}}
	if diff := cmp.Diff(want, p.Entries()); diff != "" {
		t.Errorf("position (-want +got):\n%s", diff)
	}
}

func TestEdgeAcceptsAnEventToBeResolvedLater(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t))
	e := l.edge(t)
	key := e.key("acme")
	e.must(http.StatusOK, http.MethodPut, "/v1/objects/CUSTOMER/c1", key, `{"externalId":"known"}`)
	a := e.must(http.StatusAccepted, http.MethodPost, "/v1/events", key,
		`{"objectType":"CUSTOMER","externalId":"known","name":"n"}`, "Prefer", "wait=3, respond-async")
	if got := a.header.Get("Preference-Applied"); got != "respond-async" {
		t.Errorf("Preference-Applied is %q", got)
	}
	if got := a.member(t, "processingStatus"); got != "PENDING" {
		t.Errorf("processingStatus is %v", got)
	}
	text, _ := a.member(t, "position").(string)
	p, err := position.Parse(text, "acme")
	check(t, err)
	if entries := p.Entries(); len(entries) != 1 || !entries[0].Pending {
		t.Errorf("position is %+v, want one pending entry", entries)
	}
	e.must(http.StatusAccepted, http.MethodPost, "/v1/events", key,
		`{"objectType":"CUSTOMER","externalId":"not yet","name":"n"}`, "Prefer", "respond-async")

	var keys []string
	for _, r := range l.read(t, topic.Submissions) {
		keys = append(keys, string(r.Key))
		sub, err := event.ParseSubmission(r.Value)
		check(t, err)
		if sub.Resolved {
			t.Errorf("submission %s is marked as resolved", sub.ID)
		}
	}
	want := map[string]bool{
		"acme/CUSTOMER/c1": true,
		string(topic.Key("acme", "CUSTOMER", "ext", l.master.ExternalToken("acme", object.Customer, "not yet"))): true,
	}
	for _, k := range keys {
		if !want[k] {
			t.Errorf("key %s is not expected", k)
		}
	}
}

func TestEdgeRefusesAnEventAndLogsTheRefusal(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t))
	e := l.edge(t)
	key := e.key("acme")
	e.must(http.StatusOK, http.MethodPut, "/v1/objects/CUSTOMER/c1", key, `{"externalId":"one"}`)
	e.must(http.StatusOK, http.MethodPut, "/v1/objects/CUSTOMER/c2", key, `{"externalId":"two"}`)
	for name, c := range map[string]struct {
		body    string
		header  []string
		status  int
		kind    problem.Type
		pointer string
		logged  event.Status // empty: not logged
		id      string       // of the log; empty: any
	}{
		"an unknown object": {
			body:   `{"objectType":"CUSTOMER","objectId":"nobody","name":"n","id":"e-404"}`,
			status: 404, kind: problem.ObjectNotFound, logged: event.StatusNotFound, id: "e-404",
		},
		"a misspelt member": {
			body:   `{"objectType":"CUSTOMER","objectId":"c1","name":"n","pay_load":{}}`,
			status: 422, kind: problem.InvalidMember, pointer: "/pay_load", logged: event.StatusInvalid,
		},
		"a missing name": {
			body:   `{"objectType":"CUSTOMER","objectId":"c1","id":"e-422"}`,
			status: 422, kind: problem.InvalidMember, pointer: "/name", logged: event.StatusInvalid, id: "e-422",
		},
		"ids of two objects": {
			body:   `{"objectType":"CUSTOMER","objectId":"c1","externalId":"two","name":"n"}`,
			status: 422, kind: problem.InvalidMember, pointer: "/externalId", logged: event.StatusInvalid,
		},
		"an id that is not the header's": {
			body: `{"objectType":"CUSTOMER","objectId":"c1","name":"n","id":"a"}`, header: []string{"Idempotency-Key", "b"},
			status: 422, kind: problem.InvalidMember, pointer: "/id", logged: event.StatusInvalid,
		},
		"no JSON": {
			body: `{"objectType":`, status: 400, kind: problem.MalformedJSON, logged: event.StatusInvalid,
		},
		"a body beyond the limit": {
			body:   `{"objectType":"CUSTOMER","objectId":"c1","name":"n","description":"` + strings.Repeat("x", event.MaxEventBytes) + `"}`,
			status: 413, kind: problem.TooLarge,
		},
		"another media type": {
			body: `name=n`, header: []string{"Content-Type", "application/x-www-form-urlencoded"},
			status: 415, kind: problem.UnsupportedMediaType,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := e.do(http.MethodPost, "/v1/events", key, c.body, c.header...)
			p := a.problem(t)
			if a.status != c.status || p.Type != c.kind {
				t.Fatalf("answered %d %s, want %d %s: %s", a.status, p.Type, c.status, c.kind, a.body)
			}
			if c.pointer != "" && (len(p.Errors) != 1 || p.Errors[0].Pointer != c.pointer) {
				t.Errorf("errors are %v, want one at %s", p.Errors, c.pointer)
			}
			id, _ := p.Extra["id"].(string)
			if c.logged == "" {
				if id != "" {
					t.Errorf("the problem names the log id %s, but it is not to be logged", id)
				}
				return
			}
			if c.id != "" && id != c.id {
				t.Errorf("log id is %q, want %q", id, c.id)
			}
			var found *event.Rejection
			e.eventually(func() bool {
				for _, r := range l.read(t, topic.Rejections) {
					rej, err := event.ParseRejection(r.Value)
					check(t, err)
					if rej.ID == id {
						found = rej
					}
				}
				return found != nil
			})
			if found.Status != c.logged || found.Workspace != "acme" || found.Submission != c.body || found.Reason != p.Detail {
				t.Errorf("rejection is %+v", found)
			}
		})
	}
}

func TestEdgeTakesTheIdempotencyKeyForTheID(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t))
	e := l.edge(t)
	key := e.key("acme")
	e.must(http.StatusOK, http.MethodPut, "/v1/objects/ACCOUNT/a%2F1", key, `{}`)
	a := e.must(http.StatusOK, http.MethodPost, "/v1/events", key, `{"objectType":"ACCOUNT","objectId":"a/1","name":"n"}`, "Idempotency-Key", "mine")
	if got := a.member(t, "id"); got != "mine" {
		t.Errorf("id is %v, want mine", got)
	}
	a = e.must(http.StatusOK, http.MethodPost, "/v1/events", key, `{"objectType":"ACCOUNT","objectId":"a/1","name":"n"}`)
	if got, _ := a.member(t, "id").(string); len(got) != 36 {
		t.Errorf("id is %q, want a UUID", got)
	}
}

func TestEdgeRefusesMoreThanItCanHold(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t))
	other := l.edge(t)
	key := other.key("acme")
	for _, id := range []string{"a1", "a2", "a3"} {
		other.must(http.StatusOK, http.MethodPut, "/v1/objects/ACCOUNT/"+id, key, `{}`)
	}
	e := l.edge(t, func(o *options) { o.paused, o.cfg.MaxInFlight = true, 1 })
	// The registry does not follow, so that this one holds its place until it is answered 503 after two seconds.
	held := make(chan answer, 1)
	go func() {
		held <- e.do(http.MethodPost, "/v1/events", key, `{"objectType":"ACCOUNT","externalId":"x","name":"n"}`)
	}()
	e.eventually(func() bool {
		a := e.do(http.MethodDelete, "/v1/objects/ACCOUNT/a1?wrong=1", key, "")
		return a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != ""
	})
	if a := <-held; a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("answered %d with Retry-After %q, want 503", a.status, a.header.Get("Retry-After"))
	}
}
