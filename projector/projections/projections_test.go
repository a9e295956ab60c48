package projections_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
)

// keys opens what was never sealed: the tests' sealed parts are plain. What is in gone is erased.
type keys struct{ gone bool }

func (k keys) Open(_ context.Context, s projections.Sealed) ([]byte, bool, error) {
	if string(s.Bytes) == "tampered" {
		return nil, false, projections.ErrPoison
	}
	return s.Bytes, !k.gone, nil
}

func stamp() time.Time { return time.Date(2026, 7, 31, 12, 0, 0, 5e6, time.UTC) }

func record(name topic.Name, key string, value []byte) projections.Record {
	return projections.Record{
		Name: name,
		Record: &stream.Record{
			Topic: "throughline." + string(name), Partition: 2, Offset: 40, Timestamp: stamp(), Key: []byte(key), Value: value,
		},
	}
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func linkedEvent(t *testing.T) []byte {
	t.Helper()
	primary := object.Ref{Type: object.Customer, ID: "c1"}
	e := event.Event{
		ID: "e1", Workspace: "ws", Type: object.Customer, ObjectID: "c1", Name: "Viewed <article>", Source: "web",
		OccurredAt: event.TimeOf(stamp().Add(-time.Hour)), ReceivedAt: event.TimeOf(stamp().Add(-time.Second)),
		Links: []event.Link{
			{Type: object.Customer, ID: "c1", Kind: event.LinkPrimary},
			{Type: object.Account, ID: "a1", Kind: event.LinkRelated, Via: []object.Ref{primary}},
		},
		KeyID: "k1",
		Sealed: encode(t, event.Personal{
			ExternalID: "77", Description: "<b>how</b>", Icon: "📖", Payload: `{"b":1.0, "a":"é"}`,
			Related: []object.Lookup{{Type: object.Company, ExternalID: "x"}},
			Missing: []object.Lookup{{Type: object.Company, ExternalID: "x"}},
		}),
	}
	value, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// named gives the values of rows by their columns.
func named(b *table.Block) []map[string]any {
	out := make([]map[string]any, b.Rows())
	for i := range out {
		out[i] = map[string]any{}
		for _, c := range b.Columns() {
			out[i][c] = b.Value(i, c)
		}
	}
	return out
}

func transform(t *testing.T, p projections.Projection, rec projections.Record, gone bool) []map[string]any {
	t.Helper()
	var rows, again table.Block
	if err := p.Transform(t.Context(), rec, keys{gone: gone}, &rows); err != nil {
		t.Fatal(err)
	}
	if err := p.Transform(t.Context(), rec, keys{gone: gone}, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(named(&rows), named(&again)); diff != "" {
		t.Errorf("the same record gave other rows the second time:\n%s", diff)
	}
	return named(&rows)
}

func TestTimelineGivesARowForEachLink(t *testing.T) {
	t.Parallel()
	got := transform(t, projections.Timeline(), record(topic.Events, "ws/CUSTOMER/c1", linkedEvent(t)), false)
	row := func(objectType, id, link, via string, index int32) map[string]any {
		return map[string]any{
			"workspace": "ws", "object_type": objectType, "object_id": id, "occurred_at": stamp().Add(-time.Hour), "event_id": "e1",
			"primary_type": "CUSTOMER", "primary_id": "c1", "kind": "event", "link": link, "via": via,
			"name": "Viewed <article>", "description": "<b>how</b>", "words": "viewed article how", "icon": "📖", "source": "web",
			"payload": `{"b":1.0, "a":"é"}`, "transition": "", "received_at": stamp().Add(-time.Second), "stored_at": stamp(),
			"_topic": "throughline.events.v1", "_partition": int32(2), "_offset": int64(40), "_row": index,
		}
	}
	want := []map[string]any{
		row("CUSTOMER", "c1", "primary", "[]", 0),
		row("ACCOUNT", "a1", "related", `[{"objectType":"CUSTOMER","objectId":"c1"}]`, 1),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestAnErasedSubjectGivesTheSameRowsWithoutWhatWasSealed(t *testing.T) {
	t.Parallel()
	rec := record(topic.Events, "ws/CUSTOMER/c1", linkedEvent(t))
	for _, row := range transform(t, projections.Timeline(), rec, true) {
		if row["description"] != "" || row["words"] != "viewed article" || row["icon"] != "" || row["payload"] != "" || row["name"] != "Viewed <article>" {
			t.Errorf("row is not redacted: %v", row)
		}
	}
	got := transform(t, projections.EventLog(), rec, true)[0]
	want := `{"objectType":"CUSTOMER","objectId":"c1","name":"Viewed <article>","occurredAt":"2026-07-31T11:00:00.005Z","source":"web"}`
	if got["submission"] != want {
		t.Errorf("submission is\n%s, want\n%s", got["submission"], want)
	}
}

func TestEventLogTellsWhatWasSubmittedAndWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	unresolved := []byte(`{"v":1,"workspace":"ws","objectType":"agent","externalId":"9","name":"n","payload":{"z": 1e0},"unknown":1}`)
	place := event.PlaceID("throughline.submissions.v1", 2, 40, stamp())
	rejection, err := (&event.Rejection{
		ID: "e2", Workspace: "ws", Status: event.StatusDuplicate, Reason: "A repeat.", Type: object.User, ObjectID: "u1",
		ReceivedAt: event.TimeOf(stamp()), Submission: "not JSON",
	}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	letter := func(name, workspace string, value []byte) []byte {
		b, err := (&event.DeadLetter{
			Group: "g", Topic: "throughline." + name, Partition: 2, Offset: 40, Reason: "broken", Workspace: workspace,
			At: event.TimeOf(stamp()), Value: value,
		}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, row := range []struct {
		name string
		rec  projections.Record
		want map[string]any
	}{
		{"linked", record(topic.Events, "ws/CUSTOMER/c1", linkedEvent(t)), map[string]any{
			"status": "LINKED", "event_id": "e1", "external_id": "77", "object_id": "c1", "icon": "📖",
			"missing": `[{"objectType":"COMPANY","externalId":"x"}]`,
			"submission": `{"objectType":"CUSTOMER","objectId":"c1","externalId":"77","name":"Viewed <article>","description":"<b>how</b>",` +
				`"icon":"📖","occurredAt":"2026-07-31T11:00:00.005Z","source":"web","relatedObjects":[{"objectType":"COMPANY","externalId":"x"}],` +
				`"payload":{"b":1.0, "a":"é"}}`,
		}},
		{"pending", record(topic.Submissions, "", unresolved), map[string]any{
			"status": "PENDING", "event_id": place, "object_type": "USER", "external_id": "9", "received_at": stamp(), "occurred_at": stamp(),
			"submission": `{"objectType":"USER","externalId":"9","name":"n","payload":{"z": 1e0}}`,
		}},
		{"rejected", record(topic.Rejections, "ws", rejection), map[string]any{
			"status": "DUPLICATE", "event_id": "e2", "reason": "A repeat.", "submission": "not JSON", "links": "[]",
		}},
		{"failed", record(topic.DeadLetters, "", letter("submissions.v1", "ws", unresolved)), map[string]any{
			"status": "FAILED", "event_id": place, "reason": "broken", "name": "n", "submission": string(unresolved),
		}},
		{"failed and unreadable", record(topic.DeadLetters, "", letter("submissions.v1", "ws", []byte("\xff{"))), map[string]any{
			"status": "FAILED", "event_id": place, "received_at": stamp(), "submission": "\uFFFD{",
		}},
		{"resolved by the edge", record(topic.Submissions, "", []byte(`{"workspace":"ws","resolved":true}`)), nil},
		{"no submission at all", record(topic.Submissions, "", []byte(`nothing`)), nil},
		{"dead letter of another topic", record(topic.DeadLetters, "", letter("events.v1", "ws", nil)), nil},
		{"dead letter of nobody", record(topic.DeadLetters, "", letter("submissions.v1", "", nil)), nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got := transform(t, projections.EventLog(), row.rec, false)
			if row.want == nil {
				if len(got) != 0 {
					t.Errorf("got rows %v, want none", got)
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("got %d rows, want one", len(got))
			}
			for column, want := range row.want {
				if diff := cmp.Diff(want, got[0][column]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", column, diff)
				}
			}
			if got[0]["workspace"] != "ws" || got[0]["stored_at"] != stamp() {
				t.Errorf("workspace %v, stored at %v", got[0]["workspace"], got[0]["stored_at"])
			}
		})
	}
}

func TestObjectsGivesTheLatestStateAndTombstones(t *testing.T) {
	t.Parallel()
	p := projections.Objects()
	live := encode(t, object.Record{
		Version: object.RecordVersion, Workspace: "ws", Type: object.Account, ID: "a/1", UpdatedAt: stamp(), KeyID: "k",
		Relations: []object.Relation{{Type: object.Company, ExternalToken: "t"}},
		Sealed: encode(t, object.Personal{
			ExternalID: "77", Name: "Ann", Attributes: `{"n": 1.0}`, RelationExternalIDs: []string{"x"},
		}),
	})
	want := map[string]any{
		"workspace": "ws", "object_type": "ACCOUNT", "object_id": "a/1", "external_id": "77", "name": "Ann",
		"attributes": `{"n": 1.0}`, "relations": `[{"objectType":"COMPANY","externalId":"x"}]`, "updated_at": stamp(), "deleted": uint8(0),
		"_topic": "throughline.objects.v1", "_partition": int32(2), "_offset": int64(40), "_row": int32(0),
	}
	if diff := cmp.Diff([]map[string]any{want}, transform(t, p, record(topic.Objects, "ws/ACCOUNT/a%2F1", live), false)); diff != "" {
		t.Errorf("live (-want +got):\n%s", diff)
	}
	want["external_id"], want["name"], want["attributes"], want["relations"], want["deleted"] = "", "", "{}", "[]", uint8(1)
	if diff := cmp.Diff([]map[string]any{want}, transform(t, p, record(topic.Objects, "ws/ACCOUNT/a%2F1", nil), false)); diff != "" {
		t.Errorf("gone (-want +got):\n%s", diff)
	}
}

func TestWhatCannotBeTransformedIsPoison(t *testing.T) {
	t.Parallel()
	tampered := []byte(`{"v":1,"id":"e","workspace":"w","objectType":"USER","objectId":"u","name":"n","links":[{}],"keyId":"k","sealed":"dGFtcGVyZWQ="}`)
	for _, row := range []struct {
		name string
		p    projections.Projection
		rec  projections.Record
	}{
		{"an event that is no JSON", projections.Timeline(), record(topic.Events, "", []byte("{"))},
		{"an event without a value", projections.EventLog(), record(topic.Events, "", nil)},
		{"an event of a later release", projections.Timeline(), record(topic.Events, "", []byte(`{"v":99}`))},
		{"an event with a sealed part of another", projections.Timeline(), record(topic.Events, "", tampered)},
		{"a tombstone without an object's key", projections.Objects(), record(topic.Objects, "ws/ACCOUNT", nil)},
		{"a record of a topic that nobody expects", projections.EventLog(), record(topic.Objects, "", nil)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var rows table.Block
			if err := row.p.Transform(t.Context(), row.rec, keys{}, &rows); !errors.Is(err, projections.ErrPoison) {
				t.Errorf("error is %v, want poison", err)
			}
			if rows.Rows() != 0 {
				t.Errorf("it gave %d rows all the same", rows.Rows())
			}
		})
	}
}

func TestTimesThatATableCannotHoldAreMovedIntoIt(t *testing.T) {
	t.Parallel()
	value := []byte(`{"workspace":"ws","objectType":"USER","objectId":"u","name":"n","occurredAt":"9999-01-01T00:00:00Z","receivedAt":"0001-01-02T00:00:00Z"}`)
	rec := record(topic.Submissions, "", value)
	rec.Timestamp = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, column := range []string{"occurred_at", "received_at", "stored_at"} {
		at, ok := transform(t, projections.EventLog(), rec, false)[0][column].(time.Time)
		if !ok || at.Year() < 1900 || at.Year() > 2261 {
			t.Errorf("%s is %v, which the table cannot hold", column, at)
		}
	}
}

// FuzzTransforms feeds any bytes to every projection: it gives rows that fit its table, or says that the record is to blame.
func FuzzTransforms(f *testing.F) {
	f.Add(0, "ws/USER/u", []byte(`{"v":1,"id":"e","workspace":"w","objectType":"USER","objectId":"u","name":"n","links":[{"via":[{}]}]}`))
	f.Add(1, "", []byte(`{"v":1,"id":"r","workspace":"w","processingStatus":"INVALID"}`))
	f.Add(2, "", []byte(`{"workspace":"w","objectType":"agent","payload":{"a":[1]},"occurredAt":-99999999999999}`))
	f.Add(3, "", []byte(`{"v":1,"topic":"p.submissions.v1","workspace":"w","value":"e30="}`))
	f.Add(4, "w/USER/u", []byte(`{"v":1,"workspace":"w","objectType":"USER","objectId":"u","relations":[{}]}`))
	f.Add(5, "w/CONVERSATION/k", []byte(`{"v":1,"workspace":"w","conversationId":"k","version":1,"type":"closed","to":"CLOSED","links":[{}],`+
		`"stay":{},"after":{"workspace":"w","conversationId":"k","version":1,"state":"CLOSED"}}`))
	names := []topic.Name{topic.Events, topic.Rejections, topic.Submissions, topic.DeadLetters, topic.Objects, topic.Conversations}
	f.Fuzz(func(t *testing.T, which int, key string, value []byte) {
		rec := record(names[uint(which)%uint(len(names))], key, value)
		for _, p := range projections.All() {
			var rows table.Block
			err := p.Transform(t.Context(), rec, keys{}, &rows)
			if err != nil && (!errors.Is(err, projections.ErrPoison) || rows.Rows() != 0) {
				t.Fatalf("%s: %v blames nobody, or came with %d rows", p.Table, err, rows.Rows())
			}
			for i, row := range named(&rows) {
				if offset, index := rows.Place(i); offset != rec.Offset || index != int32(i) {
					t.Fatalf("%s: row %d is %+v", p.Table, i, row)
				}
				if at, ok := row["stored_at"]; ok == p.Replacing || ok && at != rec.StoredAt() {
					t.Fatalf("%s: row %d is stored at %v, want %v", p.Table, i, at, rec.StoredAt())
				}
				for _, column := range []string{"links", "via", "missing", "relations"} {
					if s, ok := row[column].(string); ok && !json.Valid([]byte(s)) {
						t.Fatalf("%s: %s is no JSON: %q", p.Table, column, s)
					}
				}
			}
		}
	})
}
