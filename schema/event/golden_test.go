package event_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest/golden"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/topic"
)

func envelope(kind, id string) *topic.Envelope {
	return &topic.Envelope{ID: id, Type: kind, Workspace: "acme", Time: noon()}
}

func must(t *testing.T, value []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestGoldenSubmissionsOfTheEdgeAreStillRead(t *testing.T) {
	t.Parallel()
	whole := submission()
	whole.ExternalID, whole.Resolved, whole.OccurredAt = "195959", true, event.TimeOf(noon().Add(-time.Minute))
	whole.Payload = json.RawMessage(`{"company": "Atlas","price":1.10,"html":"<b>&</b>"}`)
	least := event.Submission{
		ID: "e2", Workspace: "acme", Type: object.Account, ExternalID: "77", Name: "Ping", ReceivedAt: event.TimeOf(noon()),
	}
	for name, want := range map[string]event.Submission{"submission-edge": whole, "submission-async": least} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			record := golden.Read(t, name, func() golden.Record {
				value, err := want.Encode()
				return golden.Of(topic.Submissions, topic.Key("acme", string(want.Type), want.ObjectID),
					envelope(topic.TypeSubmission, want.ID), must(t, value, err))
			})
			got, err := event.ParseSubmission(record.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			want.Version = 1
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("submission (-want +got):\n%s", diff)
			}
		})
	}
}

// TestGoldenSubmissionsOfOtherProducersAreStillRead reads what a producer that knows nothing of this code may append:
// no version, no id, an alias for a type, epoch milliseconds, members of its own.
func TestGoldenSubmissionsOfOtherProducersAreStillRead(t *testing.T) {
	t.Parallel()
	record := golden.Read(t, "submission-foreign", func() golden.Record {
		value := `{"workspace":"acme","objectType":"agent","externalId":"u-7","name":"Shift began",` +
			`"occurredAt":1772366400123,"payload":{ "shift" : "late" },"tenant":"x"}`
		return golden.Of(topic.Submissions, []byte("u-7"), nil, []byte(value), topic.Header{Key: "producer", Value: "shift-planner"})
	})
	got, err := event.ParseSubmission(record.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	want := &event.Submission{
		Workspace: "acme", Type: "agent", ExternalID: "u-7", Name: "Shift began",
		OccurredAt: event.TimeOf(time.UnixMilli(1772366400123)), Payload: json.RawMessage(`{ "shift" : "late" }`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("submission (-want +got):\n%s", diff)
	}
	if canonical, err := object.ParseType(string(got.Type)); err != nil || canonical != object.User {
		t.Errorf("type: got %s, %v, want USER", canonical, err)
	}
}

func linked() event.Event {
	return event.Event{
		Version: 1, ID: "e1", Workspace: "acme", Type: object.Customer, ObjectID: "c1", Name: "Atlas Helpcenter", Source: "web",
		OccurredAt: event.TimeOf(noon().Add(-time.Minute)), ReceivedAt: event.TimeOf(noon()),
		Links: []event.Link{
			{Type: object.Customer, ID: "c1", Kind: event.LinkPrimary},
			{Type: object.User, ID: "u1", Kind: event.LinkRelated},
			{Type: object.Account, ID: "a1", Kind: event.LinkRelated, Via: []object.Ref{{Type: object.Customer, ID: "c1"}}},
			{
				Type: object.Company, ID: "o/1", Kind: event.LinkRelated,
				Via: []object.Ref{{Type: object.Customer, ID: "c1"}, {Type: object.Account, ID: "a1"}},
			},
		},
		LinksDropped: 3,
	}
}

func eventRecord(t *testing.T, e event.Event) golden.Record {
	t.Helper()
	value, err := e.Encode()
	return golden.Of(topic.Events, topic.Key("acme", "CUSTOMER", "c1"), envelope(topic.TypeEvent, e.ID), must(t, value, err),
		topic.Header{Key: topic.HeaderDigest, Value: "000102030405060708090a0b0c0d0e0f"},
		topic.Header{Key: topic.HeaderOrigin, Value: topic.Origin("throughline.submissions.v1", 1, 41)})
}

func TestGoldenEventsAreStillReadAndOpened(t *testing.T) {
	t.Parallel()
	m, err := seal.ParseMaster(golden.MasterKey)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := seal.ParseKeyRecord(golden.ReadFile(t, filepath.Join("..", "seal", golden.Folder, "customer-key.json")).Bytes())
	if err != nil {
		t.Fatal(err)
	}
	key, err := m.Unwrap(wrapped)
	if err != nil {
		t.Fatal(err)
	}
	want := linked()
	want.KeyID = wrapped.ID
	personal := event.Personal{
		ExternalID: "195959", Description: strings.Repeat("Viewed <b>HelpCenter</b> Article. ", 20), Icon: "📖",
		Payload: `{"company": "Atlas","price":1.10}`,
		Related: []object.Lookup{{Type: object.User, ID: "u1"}, {Type: object.Account, ExternalID: "nobody"}},
		Missing: []object.Lookup{{Type: object.Account, ExternalID: "nobody"}},
	}
	record := golden.Read(t, "event-sealed", func() golden.Record {
		plain, err := json.Marshal(personal)
		e := want
		e.Sealed = key.Seal(must(t, plain, err), want.AdditionalData())
		return eventRecord(t, e)
	})
	got, err := event.ParseEvent(record.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got, cmpopts.IgnoreFields(event.Event{}, "Sealed")); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	plain, err := key.Open(got.Sealed, got.AdditionalData())
	if err != nil {
		t.Fatal(err)
	}
	var opened event.Personal
	if err := json.Unmarshal(plain, &opened); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(personal, opened); diff != "" {
		t.Errorf("personal part (-want +got):\n%s", diff)
	}
}

func TestGoldenRedactedEventsAreStillRead(t *testing.T) {
	t.Parallel()
	want := linked()
	record := golden.Read(t, "event-redacted", func() golden.Record { return eventRecord(t, want) })
	got, err := event.ParseEvent(record.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if got := record.Header(topic.HeaderOrigin); got != "throughline.submissions.v1/1/41" {
		t.Errorf("origin: got %s", got)
	}
}

func TestGoldenRejectionsOfEachStatusAreStillRead(t *testing.T) {
	t.Parallel()
	for _, status := range []event.Status{event.StatusDuplicate, event.StatusNotFound, event.StatusInvalid, event.StatusFailed, event.StatusPending} {
		t.Run(string(status), func(t *testing.T) {
			t.Parallel()
			want := &event.Rejection{
				Version: 1, ID: "e1", Workspace: "acme", Status: status, Reason: "no object has this id", Type: object.Customer,
				ObjectID: "c1", ExternalID: "195959", Name: "Atlas", ReceivedAt: event.TimeOf(noon()), Submission: `{"name": "Atlas"`,
			}
			record := golden.Read(t, "rejection-"+strings.ToLower(string(status)), func() golden.Record {
				value, err := want.Encode()
				return golden.Of(topic.Rejections, topic.Key("acme", "CUSTOMER", "c1"), envelope(topic.TypeRejection, "e1"), must(t, value, err),
					topic.Header{Key: topic.HeaderOrigin, Value: topic.Origin("throughline.submissions.v1", 1, 42)})
			})
			got, err := event.ParseRejection(record.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rejection (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGoldenDeadLettersAreStillRead(t *testing.T) {
	t.Parallel()
	want := &event.DeadLetter{
		Version: 1, Group: "link", Topic: "submissions.v1", Partition: 1, Offset: 43, Reason: "parse submission: unexpected end",
		At: event.TimeOf(noon()), Key: []byte{0xff, 0x00}, Value: []byte("{\"name\":\xfe"), Cut: true,
	}
	record := golden.Read(t, "dead-letter", func() golden.Record {
		value, err := want.Encode()
		return golden.Of(topic.DeadLetters, topic.Key("link", "submissions.v1", "1", "43"), envelope(topic.TypeDeadLetter, "43"), must(t, value, err),
			topic.Header{Key: topic.HeaderOrigin, Value: topic.Origin("throughline.submissions.v1", 1, 43)})
	})
	got, err := event.ParseDeadLetter(record.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dead letter (-want +got):\n%s", diff)
	}
}

func TestGoldenRetriesOfDeadLettersAreStillRead(t *testing.T) {
	t.Parallel()
	want := &event.DeadLetterRetry{
		Version: 1, Group: "link", Topic: "throughline.submissions.v1", Partition: 1, Offset: 43, At: event.TimeOf(noon()),
	}
	record := golden.Read(t, "dead-letter-retry", func() golden.Record {
		value, err := want.Encode()
		return golden.Of(topic.DeadLetters, topic.Key("link", "submissions.v1", "1", "43"), envelope(topic.TypeDeadLetterRetry, "43"), must(t, value, err))
	})
	got, err := event.ParseDeadLetterRetry(record.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("retry (-want +got):\n%s", diff)
	}
	// Who knows dead letters alone takes it for one that concerns nobody.
	if old, err := event.ParseDeadLetter(record.Bytes()); err != nil || old.Workspace != "" || old.Value != nil {
		t.Errorf("as a dead letter: got %+v, %v", old, err)
	}
}
