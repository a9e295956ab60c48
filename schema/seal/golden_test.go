package seal_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest/golden"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/topic"
)

func TestGoldenSubjectKeysStillUnwrap(t *testing.T) {
	t.Parallel()
	m, err := seal.ParseMaster(golden.MasterKey)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	record := golden.Read(t, "customer-key", func() golden.Record {
		rec, _, err := m.NewKey("acme", ann(), at)
		if err != nil {
			t.Fatal(err)
		}
		value, err := json.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		return golden.Of(topic.SubjectKeys, topic.Key("acme", "CUSTOMER", "c1", rec.ID),
			&topic.Envelope{ID: rec.ID, Type: topic.TypeSubjectKey, Workspace: "acme", Time: at}, value)
	})
	got, err := seal.ParseKeyRecord(record.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	key, err := topic.ParseKey([]byte(record.Key))
	if err != nil {
		t.Fatal(err)
	}
	want := &seal.KeyRecord{
		Version: 1, ID: key[3], Workspace: "acme", Type: object.Customer, ObjectID: "c1", Master: "7fbfe66c5544aea7", CreatedAt: at,
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(seal.KeyRecord{}, "Wrapped")); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	data, err := m.Unwrap(got)
	if err != nil {
		t.Fatal(err)
	}
	// This was compressed with a checksum and as well as it goes, which is not done any more.
	old, err := base64.StdEncoding.DecodeString("rBjSjKGrwl0SiEhRZGnJIjEYVXXRUEwaVu1oDdF//vaMSFtZk0LuL9e6oRreP96Wj7uAdd7lrSZUDVzaBATOUnAyeQ==")
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := data.Open(old, []byte("here")); err != nil || string(plain) != strings.Repeat("Ann likes tea. ", 20) {
		t.Errorf("a text of the form before opens to %q, %v", plain, err)
	}
}

func TestGoldenErasureOfAKeyIsATombstone(t *testing.T) {
	t.Parallel()
	record := golden.Read(t, "erased-key", func() golden.Record {
		return golden.Of(topic.SubjectKeys, topic.Key("acme", "CUSTOMER", "c9", "k1"),
			&topic.Envelope{ID: "k1", Type: topic.TypeSubjectKey, Workspace: "acme", Time: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)}, nil)
	})
	if record.Value != nil {
		t.Errorf("got the value %s, want none", *record.Value)
	}
	if key, err := topic.ParseKey([]byte(record.Key)); err != nil || len(key) != 4 {
		t.Errorf("got the key %q, %v, want four parts", key, err)
	}
}
