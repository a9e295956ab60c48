package event_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func submission() event.Submission {
	return event.Submission{
		ID: "e1", Workspace: "acme", Type: object.Customer, ObjectID: "c1", Name: "Atlas Helpcenter", Description: "Viewed",
		Icon: "📖", Source: "web", ReceivedAt: event.TimeOf(noon()), Payload: json.RawMessage(`{"company":"Atlas"}`),
		Related: []object.Lookup{{Type: object.Account, ExternalID: "77"}},
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*event.Submission)
		want   []string
	}{
		"a whole event":                {func(*event.Submission) {}, nil},
		"an external id alone":         {func(s *event.Submission) { s.ObjectID, s.ExternalID = "", "195959" }, nil},
		"no type":                      {func(s *event.Submission) { s.Type = "" }, []string{"/objectType"}},
		"no object":                    {func(s *event.Submission) { s.ObjectID = "" }, []string{"/objectId"}},
		"a bad external id":            {func(s *event.Submission) { s.ExternalID = "\x00" }, []string{"/externalId"}},
		"a bad id":                     {func(s *event.Submission) { s.ID = ".." }, []string{"/id"}},
		"no name":                      {func(s *event.Submission) { s.Name = "" }, []string{"/name"}},
		"the longest name":             {func(s *event.Submission) { s.Name = strings.Repeat("ä", 256) }, nil},
		"a name too long":              {func(s *event.Submission) { s.Name = strings.Repeat("a", 257) }, []string{"/name"}},
		"the longest description":      {func(s *event.Submission) { s.Description = strings.Repeat("📖", 8192) }, nil},
		"a description too long":       {func(s *event.Submission) { s.Description = strings.Repeat("a", 8193) }, []string{"/description"}},
		"an icon too long":             {func(s *event.Submission) { s.Icon = strings.Repeat("a", 2049) }, []string{"/icon"}},
		"a source too long":            {func(s *event.Submission) { s.Source = strings.Repeat("a", 257) }, []string{"/source"}},
		"the earliest time":            {func(s *event.Submission) { s.OccurredAt = event.TimeOf(event.Earliest()) }, nil},
		"a time before the earliest":   {func(s *event.Submission) { s.OccurredAt = event.TimeOf(event.Earliest().Add(-1)) }, []string{"/occurredAt"}},
		"a day ahead":                  {func(s *event.Submission) { s.OccurredAt = event.TimeOf(noon().Add(event.Ahead)) }, nil},
		"more than a day ahead":        {func(s *event.Submission) { s.OccurredAt = event.TimeOf(noon().Add(event.Ahead + time.Millisecond)) }, []string{"/occurredAt"}},
		"a payload of 128 levels":      {func(s *event.Submission) { s.Payload = nested(128) }, nil},
		"a payload of 129 levels":      {func(s *event.Submission) { s.Payload = nested(129) }, []string{"/payload"}},
		"fifty-one related objects":    {func(s *event.Submission) { s.Related = related(51) }, []string{"/relatedObjects"}},
		"a related object without ids": {func(s *event.Submission) { s.Related = append(related(1), object.Lookup{Type: object.User}) }, []string{"/relatedObjects/1/objectId"}},
		"nothing at all":               {func(s *event.Submission) { *s = event.Submission{} }, []string{"/objectType", "/objectId", "/name"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := submission()
			tt.change(&s)
			var got []string
			for _, v := range s.Validate(noon()) {
				got = append(got, v.Pointer)
				if v.Detail == "" {
					t.Errorf("%s has no detail", v.Pointer)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("pointers (-want +got):\n%s", diff)
			}
		})
	}
}

func nested(levels int) json.RawMessage {
	return json.RawMessage(strings.Repeat("[", levels) + strings.Repeat("]", levels))
}

func related(n int) []object.Lookup {
	l := make([]object.Lookup, n)
	for i := range l {
		l[i] = object.Lookup{Type: object.Account, ID: "a"}
	}
	return l
}

func TestEncodeKeepsThePayloadByteForByte(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		`{"b":1,"a":2}`, `{ "spaced" : [ 1 , 2 ] }`, "{\n\t\"a\":1\n}", `1.0e+2`, `12345678901234567890.10`, `"\u0041<&>"`,
		`{"a":1,"a":2}`, `[]`, `false`, `"\ud83d\udcd6"`,
	} {
		s := submission()
		s.Payload = json.RawMessage(payload)
		value, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := event.ParseSubmission(value)
		if err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
		if string(got.Payload) != payload {
			t.Errorf("payload: got %s, want %s", got.Payload, payload)
		}
		s.Version = event.RecordVersion
		if diff := cmp.Diff(&s, got); diff != "" {
			t.Errorf("submission (-want +got):\n%s", diff)
		}
	}
}

func FuzzEncodeKeepsThePayload(f *testing.F) {
	f.Add([]byte(`{"a":[1,2.50,"x"]}`))
	f.Add([]byte(`{"payload":{"payload":null}}`))
	f.Add([]byte(`0`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if !json.Valid(payload) || len(payload) == 0 || strings.TrimSpace(string(payload)) != string(payload) || string(payload) == "null" {
			return
		}
		s := submission()
		s.Payload = payload
		value, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := event.ParseSubmission(value)
		if err != nil {
			t.Skip(err) // the standard library bounds nesting, which Validate does long before
		}
		if string(got.Payload) != string(payload) {
			t.Fatalf("got %q, want %q", got.Payload, payload)
		}
	})
}

func TestParseSubmissionNeverPanicsAndNeedsAWorkspace(t *testing.T) {
	t.Parallel()
	if _, err := event.ParseSubmission([]byte(`{"name":"x"}`)); !errors.Is(err, event.ErrWorkspaceMissing) {
		t.Errorf("got %v, want ErrWorkspaceMissing", err)
	}
	for _, value := range []string{``, `null`, `[]`, `{`, `{"v":2,"workspace":"a"}`, `{"workspace":1}`, `{"workspace":"a","occurredAt":"soon"}`} {
		if s, err := event.ParseSubmission([]byte(value)); err == nil {
			t.Errorf("%s: got %+v", value, s)
		}
	}
	s, err := event.ParseSubmission([]byte(`{"workspace":"a","payload":null,"unknown":{"x":1}}`))
	if err != nil || s.Payload != nil {
		t.Errorf("got %+v, %v, want an absent payload", s, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"v":1,"id":"e","workspace":"w","objectType":"CUSTOMER","objectId":"c","links":[{}]}`))
	f.Add([]byte(`{"v":1,"receivedAt":1e3}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		if s, err := event.ParseSubmission(value); err == nil {
			s.Digest()
			s.Validate(noon())
			if _, err := s.Encode(); err != nil {
				t.Fatal(err)
			}
		}
		if e, err := event.ParseEvent(value); err == nil {
			if _, err := e.Encode(); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := event.ParseRejection(value); err == nil {
			if _, err := r.Encode(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestDigestIsOfTheContentAlone(t *testing.T) {
	t.Parallel()
	base := submission()
	same := map[string]func(*event.Submission){
		"another id":           func(s *event.Submission) { s.ID = "e2" },
		"received later":       func(s *event.Submission) { s.ReceivedAt = event.TimeOf(noon().Add(time.Hour)) },
		"resolved by the edge": func(s *event.Submission) { s.Resolved = true },
		"another record form":  func(s *event.Submission) { s.Version = 1 },
		"another primary":      func(s *event.Submission) { s.ObjectID, s.ExternalID = "c2", "9" },
	}
	for name, change := range same {
		s := submission()
		change(&s)
		if s.Digest() != base.Digest() {
			t.Errorf("%s: the digest changed", name)
		}
	}
	seen := map[[16]byte]string{base.Digest(): "the event itself"}
	other := map[string]func(*event.Submission){
		"another name":            func(s *event.Submission) { s.Name = "n" },
		"another description":     func(s *event.Submission) { s.Description = "n" },
		"another icon":            func(s *event.Submission) { s.Icon = "n" },
		"another source":          func(s *event.Submission) { s.Source = "n" },
		"a time":                  func(s *event.Submission) { s.OccurredAt = event.TimeOf(noon()) },
		"another payload":         func(s *event.Submission) { s.Payload = json.RawMessage(`{"company":"Atlas" }`) },
		"no payload":              func(s *event.Submission) { s.Payload = nil },
		"no related objects":      func(s *event.Submission) { s.Related = nil },
		"another related type":    func(s *event.Submission) { s.Related[0].Type = object.User },
		"an id for a related one": func(s *event.Submission) { s.Related[0] = object.Lookup{Type: object.Account, ID: "77"} },
		"fields that moved":       func(s *event.Submission) { s.Description, s.Icon = "View", "ed📖" },
	}
	for name, change := range other {
		s := submission()
		change(&s)
		d := s.Digest()
		if before, ok := seen[d]; ok {
			t.Errorf("%s has the digest of %s", name, before)
		}
		seen[d] = name
	}
}

func TestEventRecordsNeedWhatIdentifiesThem(t *testing.T) {
	t.Parallel()
	whole := `"id":"e","workspace":"w","objectType":"CUSTOMER","objectId":"c","links":[{"objectType":"CUSTOMER","objectId":"c","link":"primary"}]`
	if _, err := event.ParseEvent([]byte(`{"v":1,` + whole + `,"from":"the future"}`)); err != nil {
		t.Errorf("an event with an unknown member: %v", err)
	}
	for _, value := range []string{`{"v":2,` + whole + `}`, `{` + whole + `}`, `{"v":1,"id":"e"}`, `{"v":1`} {
		if e, err := event.ParseEvent([]byte(value)); err == nil {
			t.Errorf("%s: got %+v", value, e)
		}
	}
	for _, value := range []string{`{"v":2,"id":"e","workspace":"w","processingStatus":"INVALID"}`, `{"v":1,"id":"e","workspace":"w"}`, `[`} {
		if r, err := event.ParseRejection([]byte(value)); err == nil {
			t.Errorf("%s: got %+v", value, r)
		}
	}
}

func TestADeadLetterKeepsTheBeginningOfWhatIsTooLong(t *testing.T) {
	t.Parallel()
	d := event.DeadLetter{Group: "link", Topic: "submissions.v1", Value: make([]byte, event.MaxDeadLetterBytes+1)}
	value, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := event.ParseDeadLetter(value)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Cut || len(got.Value) != event.MaxDeadLetterBytes {
		t.Errorf("got %d bytes, cut = %t", len(got.Value), got.Cut)
	}
}
