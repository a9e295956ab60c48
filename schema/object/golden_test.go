package object_test

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest/golden"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/topic"
)

func at() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func envelope(r *object.Record) *topic.Envelope {
	return &topic.Envelope{ID: r.ID, Type: topic.TypeObject, Workspace: r.Workspace, Time: r.UpdatedAt}
}

func TestGoldenObjectsAreStillReadAndOpened(t *testing.T) {
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
	want := &object.Record{
		Version: 1, Workspace: "acme", Type: object.Customer, ID: "c1", UpdatedAt: at(), KeyID: wrapped.ID,
		ExternalToken: m.ExternalToken("acme", object.Customer, "195959"),
		Relations: []object.Relation{
			{Type: object.Account, ID: "a1"},
			{Type: object.Company, ExternalToken: m.ExternalToken("acme", object.Company, "77")},
		},
	}
	personal := object.Personal{
		ExternalID: "195959", Name: "Ann Müller", Attributes: `{"plan": "gold","since":1.50}`, RelationExternalIDs: []string{"", "77"},
	}
	record := golden.Read(t, "customer-sealed", func() golden.Record {
		plain, err := json.Marshal(personal)
		if err != nil {
			t.Fatal(err)
		}
		sealed := *want
		sealed.Sealed = key.Seal(plain, want.AdditionalData())
		value, err := json.Marshal(sealed)
		if err != nil {
			t.Fatal(err)
		}
		return golden.Of(topic.Objects, topic.Key("acme", "CUSTOMER", "c1"), envelope(want), value)
	})
	got, err := object.ParseRecord(record.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(object.Record{}, "Sealed")); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	plain, err := key.Open(got.Sealed, got.AdditionalData())
	if err != nil {
		t.Fatal(err)
	}
	var opened object.Personal
	if err := json.Unmarshal(plain, &opened); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(personal, opened); diff != "" {
		t.Errorf("personal part (-want +got):\n%s", diff)
	}
	wantObject := &object.Object{
		Type: object.Customer, ID: "c1", ExternalID: "195959", Name: "Ann Müller", UpdatedAt: at(),
		Attributes: json.RawMessage(`{"plan": "gold","since":1.50}`),
		Relations:  []object.Lookup{{Type: object.Account, ID: "a1"}, {Type: object.Company, ExternalID: "77"}},
	}
	if diff := cmp.Diff(wantObject, got.Open(&opened)); diff != "" {
		t.Errorf("object (-want +got):\n%s", diff)
	}
}

func TestGoldenObjectsWithoutAPersonalPartAreStillRead(t *testing.T) {
	t.Parallel()
	want := &object.Record{
		Version: 1, Workspace: "acme", Type: object.SessionRecording, ID: "s/1 é", UpdatedAt: at(),
		Relations: []object.Relation{{Type: object.Customer, ID: "c1"}},
	}
	record := golden.Read(t, "recording-plain", func() golden.Record {
		value, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		return golden.Of(topic.Objects, topic.Key("acme", "SESSION_RECORDING", "s/1 é"), envelope(want), value)
	})
	got, err := object.ParseRecord(record.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	if want := "acme/SESSION_RECORDING/s%2F1%20%C3%A9"; record.Key != want {
		t.Errorf("key: got %s, want %s", record.Key, want)
	}
	erased := &object.Object{
		Type: object.SessionRecording, ID: "s/1 é", UpdatedAt: at(), Relations: []object.Lookup{{Type: object.Customer, ID: "c1"}},
	}
	if diff := cmp.Diff(erased, got.Open(nil)); diff != "" {
		t.Errorf("object without its personal part (-want +got):\n%s", diff)
	}
}

func TestGoldenDeletionOfAnObjectIsATombstone(t *testing.T) {
	t.Parallel()
	record := golden.Read(t, "tombstone", func() golden.Record {
		return golden.Of(topic.Objects, topic.Key("acme", "ACCOUNT", "a1"),
			&topic.Envelope{ID: "a1", Type: topic.TypeObject, Workspace: "acme", Time: at()}, nil)
	})
	if record.Value != nil {
		t.Errorf("got the value %s, want none", *record.Value)
	}
	parts, err := topic.ParseKey([]byte(record.Key))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"acme", "ACCOUNT", "a1"}, parts); diff != "" {
		t.Errorf("key (-want +got):\n%s", diff)
	}
}

func TestObjectRecordsNeedAKnownVersionAndAnIdentity(t *testing.T) {
	t.Parallel()
	whole := `"workspace":"w","objectType":"CUSTOMER","objectId":"c"`
	if _, err := object.ParseRecord([]byte(`{"v":1,` + whole + `,"from":"the future"}`)); err != nil {
		t.Errorf("a record with an unknown member: %v", err)
	}
	for _, value := range []string{`{"v":2,` + whole + `}`, `{` + whole + `}`, `{"v":1,"workspace":"w"}`, `{`, `null`, `[]`} {
		if r, err := object.ParseRecord([]byte(value)); err == nil {
			t.Errorf("%s: got %+v", value, r)
		}
	}
}
