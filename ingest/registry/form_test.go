package registry

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
)

func someObjects() []object.Record {
	return []object.Record{
		{},
		{Version: 1, UpdatedAt: time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC), ExternalToken: "token", KeyID: "key", Sealed: []byte{0, 1, 255}},
		{
			Version: 1, UpdatedAt: time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
			Relations: []object.Relation{{Type: object.Account, ID: "a\x00/é"}, {Type: object.Company, ExternalToken: "t"}, {}},
		},
	}
}

func TestTheStoreGivesBackWhatARecordSaid(t *testing.T) {
	t.Parallel()
	ref := object.Ref{Type: object.Customer, ID: "c1"}
	at := time.UnixMilli(1700000000123)
	for _, want := range someObjects() {
		want.Workspace, want.Type, want.ID = "acme", ref.Type, ref.ID
		value := encodeObject(&want, at)
		got, err := decodeObject("acme", ref, value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("object (-want +got):\n%s", diff)
		}
		if token, err := tokenOf(value); token != want.ExternalToken || err != nil {
			t.Errorf("token is %q, %v; want %q", token, err, want.ExternalToken)
		}
		if got := readTime(value); !got.Equal(at) {
			t.Errorf("time is %s, want %s", got, at)
		}
	}
	want := &seal.KeyRecord{
		Version: 1, ID: "k", Workspace: "acme", Type: ref.Type, ObjectID: ref.ID, Master: "m", Wrapped: []byte{1, 2, 3},
		CreatedAt: time.Date(2026, 3, 1, 12, 0, 0, 1, time.UTC),
	}
	got, err := decodeKey("acme", ref, "k", encodeKey(want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("data key (-want +got):\n%s", diff)
	}
}

func FuzzBrokenValuesAreToldAndNothingElse(f *testing.F) {
	for _, rec := range someObjects() {
		f.Add(encodeObject(&rec, time.UnixMilli(0)))
	}
	f.Add(encodeKey(&seal.KeyRecord{Version: 1, Master: "m", Wrapped: []byte{1}}))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	ref := object.Ref{Type: object.Customer, ID: "c1"}
	f.Fuzz(func(t *testing.T, value []byte) {
		if rec, err := decodeObject("acme", ref, value); err == nil {
			again, err := decodeObject("acme", ref, encodeObject(rec, readTime(value)))
			if diff := cmp.Diff(rec, again); diff != "" || err != nil {
				t.Errorf("%v (-first +again):\n%s", err, diff)
			}
			if token, err := tokenOf(value); token != rec.ExternalToken || err != nil {
				t.Errorf("token is %q, %v; want %q", token, err, rec.ExternalToken)
			}
		}
		if rec, err := decodeKey("acme", ref, "k", value); err == nil {
			again, err := decodeKey("acme", ref, "k", encodeKey(rec))
			if diff := cmp.Diff(rec, again); diff != "" || err != nil {
				t.Errorf("%v (-first +again):\n%s", err, diff)
			}
		}
	})
}
