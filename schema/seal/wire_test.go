package seal

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/object"
)

// FuzzKeyRecordsAreThoseOfTheStandardLibrary holds what is written and read by hand to encoding/json.
func FuzzKeyRecordsAreThoseOfTheStandardLibrary(f *testing.F) {
	at := time.Date(2024, 2, 29, 23, 59, 59, 123_456_789, time.UTC)
	whole := KeyRecord{
		Version: 1, ID: "0190", Workspace: "acme", Type: object.Conversation, ObjectID: "k <1> \u2028", Master: "m", Wrapped: []byte{0, 1, 255}, CreatedAt: at,
	}
	value, err := whole.Encode()
	if err != nil {
		f.Fatal(err)
	}
	if got, ok := decodeKeyRecord(string(value)); !ok || !cmp.Equal(whole, got) {
		f.Fatalf("key is odd (%t):\n%s", !ok, cmp.Diff(whole, got))
	}
	for _, seed := range []string{
		string(value), `{}`, `{"createdAt":"2024-02-30T00:00:00Z"}`, `{"createdAt":"2024\u002d02-03T00:00:00Z"}`, `{"wrapped":null}`,
		strings.Replace(string(value), "Z", "+01:00", 1), `{"v":1,"createdAt":null}`,
	} {
		f.Add(seed, "k1", int64(0))
	}
	f.Add("", "\xff<", int64(1<<40))
	f.Fuzz(func(t *testing.T, value, text string, ms int64) {
		if got, ok := decodeKeyRecord(value); ok {
			var want KeyRecord
			if err := json.Unmarshal([]byte(value), &want); err != nil {
				t.Fatalf("%q is read, but is no key: %v", value, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%q (-encoding/json +ours):\n%s", value, diff)
			}
		}
		r := KeyRecord{
			Version: RecordVersion, ID: text, Workspace: text, Type: object.Type(text), ObjectID: text, Master: text, Wrapped: []byte(text),
			CreatedAt: time.UnixMilli(ms).UTC(),
		}
		want, wantErr := json.Marshal(&r)
		got, err := r.Encode()
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%v: %v, want %v", r, err, wantErr)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Fatalf("(-encoding/json +ours):\n%s", diff)
		}
	})
}
