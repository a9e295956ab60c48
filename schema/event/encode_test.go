package event_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// FuzzEncodeIsThatOfTheStandardLibrary proves that what is written by hand are the same bytes.
func FuzzEncodeIsThatOfTheStandardLibrary(f *testing.F) {
	f.Add("e1", "acme", "CUSTOMER", "c1", "", "Viewed", "", int64(0), true, uint8(0))
	f.Add("", "a\"b", "USER", "", "x\\y", "<b>&</b>", "tab\tline\nnul\x00", int64(1772366400123), false, uint8(1))
	f.Add("\xff", "é", "📖", "\u2028", "\u2029", "\u202a\x7f", "\xe2\x80", int64(-1), true, uint8(3))
	for _, c := range "\x00\x1f \"&<>\\\x7f\u0080ü" {
		// Each in the middle of a word of eight, and after one.
		f.Add("seven77"+string(c), "abc"+string(c)+"defghijk", "CUSTOMER", "", "", "eight888"+string(c)+"more", "", int64(1), false, uint8(0))
	}
	f.Fuzz(func(t *testing.T, id, workspace, kind, objectID, externalID, name, text string, ms int64, resolved bool, related uint8) {
		s := event.Submission{
			ID: id, Workspace: workspace, Type: object.Type(kind), ObjectID: objectID, ExternalID: externalID,
			Name: name, Description: text, Icon: externalID, Source: text, ReceivedAt: event.TimeOf(noon()), Resolved: resolved,
		}
		if ms != 0 {
			s.OccurredAt = event.TimeOf(time.UnixMilli(ms % (1 << 47)))
		}
		for range related % 4 {
			s.Related = append(s.Related, object.Lookup{Type: object.Type(kind), ID: id, ExternalID: text})
		}
		got, err := s.Encode()
		s.Version = event.RecordVersion
		sameBytes(t, s, got, err)
		e := event.Event{
			Version: event.RecordVersion, ID: id, Workspace: workspace, Type: object.Type(kind), ObjectID: objectID, Name: name, Source: text,
			OccurredAt: s.OccurredAt, ReceivedAt: s.ReceivedAt, LinksDropped: int(related), KeyID: externalID, Sealed: []byte(text),
		}
		for _, l := range s.Related {
			via := object.Ref{Type: l.Type, ID: l.ID}
			e.Links = append(e.Links, event.Link{Type: l.Type, ID: text, Kind: event.LinkRelated, Via: []object.Ref{via, via}}, event.Link{})
		}
		got, err = e.Encode()
		sameBytes(t, e, got, err)
	})
}

func sameBytes(t *testing.T, record any, got []byte, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("record (-standard library +by hand):\n%s", diff)
	}
}

// TestEncodeWritesEveryMember fails when a member is added to Submission and not to Encode.
func TestEncodeWritesEveryMember(t *testing.T) {
	t.Parallel()
	s := submission()
	s.Version, s.ExternalID, s.Source, s.Resolved = event.RecordVersion, "195959", "crm", true
	s.OccurredAt, s.Payload = event.TimeOf(noon()), json.RawMessage(`{"a":1}`)
	value, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(&s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(value)); diff != "" {
		t.Errorf("record (-standard library +by hand):\n%s", diff)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(value, &members); err != nil {
		t.Fatal(err)
	}
	// A member that is left out where it is empty would not be missed above if the example lacked it.
	if n := reflect.TypeFor[event.Submission]().NumField(); len(members) != n {
		t.Errorf("%d members were written, the submission has %d", len(members), n)
	}
}

func TestTimesAreWrittenAsTheirFormatSays(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{
		time.UnixMilli(0), time.UnixMilli(-1), noon(), noon().In(time.FixedZone("", -5*3600)), noon().Add(999 * time.Millisecond),
		time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_000_000, time.UTC),
		time.Date(7, 2, 3, 4, 5, 6, 7_000_000, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		got, err := event.Time{Time: at}.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if want := at.UTC().Format(`"2006-01-02T15:04:05.000Z07:00"`); string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
