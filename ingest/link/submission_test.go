package link

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/ingest/derive"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func record(value string) *stream.Record {
	return &stream.Record{Topic: "t.submissions.v1", Partition: 2, Offset: 7, Timestamp: noon(), Value: []byte(value)}
}

func TestASubmissionOfAnotherProducerIsCompleted(t *testing.T) {
	t.Parallel()
	r := record(`{"workspace":"acme","objectType":"agent","objectId":"u1","name":"n","relatedObjects":[{"objectType":"session recording","objectId":"s"}]}`)
	s, err := parse(r)
	if err != nil {
		t.Fatal(err)
	}
	if broken := complete(s, r); broken != nil {
		t.Fatalf("got %v, want nothing", broken)
	}
	want := &event.Submission{
		ID: "6fe58226-5f1a-535b-8ef0-70d12757b72a", Workspace: "acme", Type: object.User, ObjectID: "u1", Name: "n",
		ReceivedAt: event.TimeOf(noon()), Related: []object.Lookup{{Type: object.SessionRecording, ID: "s"}},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("submission (-want +got):\n%s", diff)
	}
}

func TestReceivedAtIsBelievedAsFarAsItCanBe(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		at       time.Time
		stamp    time.Time
		resolved bool
		want     time.Time
	}{
		"absent":                                 {want: noon()},
		"a minute before":                        {at: noon().Add(-time.Minute), want: noon().Add(-time.Minute)},
		"two days before, of anybody":            {at: noon().Add(-48 * time.Hour), want: noon()},
		"two days before, of the edge":           {at: noon().Add(-48 * time.Hour), resolved: true, want: noon().Add(-48 * time.Hour)},
		"two hours after":                        {at: noon().Add(2 * time.Hour), resolved: true, want: noon()},
		"before 1970":                            {at: time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC), resolved: true, want: noon()},
		"a record without a time":                {stamp: time.UnixMilli(-1), want: time.UnixMilli(0)},
		"a record of the far future":             {stamp: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), want: derive.Latest()},
		"a record and receipt in the far future": {at: time.Date(9998, 1, 1, 0, 0, 0, 0, time.UTC), stamp: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), want: derive.Latest()},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := record("")
			if !tt.stamp.IsZero() {
				r.Timestamp = tt.stamp
			}
			s := &event.Submission{ReceivedAt: event.TimeOf(tt.at), Resolved: tt.resolved}
			if got := receivedAt(s, derive.Time(r)); !got.Equal(tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestCompleteNamesWhatIsBroken(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		value string
		want  string
	}{
		"an unknown type": {
			`{"workspace":"a","objectType":"PLANET","objectId":"x","name":"n"}`, "/objectType unknown object type",
		},
		"no type":            {`{"workspace":"a","objectId":"x","name":"n"}`, "/objectType is required"},
		"an unknown related": {`{"workspace":"a","objectType":"USER","objectId":"x","name":"n","relatedObjects":[{"objectType":"X","objectId":"y"}]}`, "/relatedObjects/0/objectType unknown"},
		"a time beyond tomorrow, by the record's own time": {
			`{"workspace":"a","objectType":"USER","objectId":"x","name":"n","occurredAt":"2026-03-02T12:00:00.001Z"}`, "/occurredAt must lie",
		},
		"too large": {
			`{"workspace":"a","objectType":"USER","objectId":"x","name":"n","payload":"` + strings.Repeat("x", event.MaxEventBytes) + `"}`, "the event has 32",
		},
		"many": {`{"workspace":"a","objectId":"..","id":"."}`, "/objectType is required; /objectId must not be"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := record(tt.value)
			s, err := parse(r)
			if err != nil {
				t.Fatal(err)
			}
			if got := reasons(complete(s, r)); !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %q, want %q…", got, tt.want)
			}
			if err := object.ValidateID(s.ID); err != nil {
				t.Errorf("id %q %v", s.ID, err)
			}
		})
	}
}

// TestWhatTheEdgeAcceptsIsNotRefused sends what grows most on its way into a record, at the edge's own limits.
func TestWhatTheEdgeAcceptsIsNotRefused(t *testing.T) {
	t.Parallel()
	payload, err := json.Marshal(strings.Repeat("x", 20<<10))
	if err != nil {
		t.Fatal(err)
	}
	s := event.Submission{
		ID: strings.Repeat("<", 256), Workspace: strings.Repeat("a", 64), Type: object.Customer, ObjectID: strings.Repeat("&", 256),
		Name: strings.Repeat("<", 256), Description: strings.Repeat("<", 8192), Icon: strings.Repeat("<", 2048),
		Source: strings.Repeat(">", 256), ReceivedAt: event.TimeOf(noon()), OccurredAt: event.TimeOf(noon().Add(event.Ahead)),
		Payload: payload, Resolved: true,
	}
	value, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	r := record(string(value))
	// The clock that stamps the record is behind the one that checked the event.
	r.Timestamp = noon().Add(-time.Minute)
	parsed, err := parse(r)
	if err != nil {
		t.Fatal(err)
	}
	if broken := complete(parsed, r); broken != nil {
		t.Errorf("got %v, want nothing", broken)
	}
}

func TestParseRefusesWhatNobodyCanProcess(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"nothing": "", "no JSON": "hello", "no workspace": `{"name":"n"}`, "a bad workspace": `{"workspace":"A/B"}`,
		"a newer version": `{"v":9,"workspace":"a"}`, "bytes that are no text": "{\"workspace\":\"a\",\"name\":\"\xff\"}",
		"too many bytes": `{"workspace":"a","payload":"` + strings.Repeat("x", maxSubmissionBytes) + `"}`,
	} {
		if s, err := parse(record(value)); err == nil {
			t.Errorf("%s: got %+v", name, s)
		}
	}
}

func TestCutKeepsWholeCharacters(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 3, 4, 5} {
		if got := cut("a📖", n); got != map[bool]string{true: "a", false: ""}[n >= 1 && n < 5]+map[bool]string{true: "a📖", false: ""}[n >= 5] {
			t.Errorf("%d bytes: got %q", n, got)
		}
	}
	if got := beginning("a📖b", 2); got != "a📖" {
		t.Errorf("got %q", got)
	}
}
