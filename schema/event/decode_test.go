package event

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/object"
)

// wholeEvent has every member that an event may have.
func wholeEvent() Event {
	ann := object.Ref{Type: object.Customer, ID: "c1"}
	return Event{
		Version: 1, ID: "e1", Workspace: "acme", Type: object.Customer, ObjectID: "c1", Name: "Viewed <a> & \"b\" \u2028 שלום 📖",
		Source: "web", OccurredAt: TimeOf(time.Date(2024, 2, 29, 23, 59, 59, 999e6, time.UTC)),
		ReceivedAt: TimeOf(time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)),
		Links: []Link{
			{Type: object.Customer, ID: "c1", Kind: LinkPrimary},
			{Type: object.Account, ID: "a/1", Kind: LinkRelated, Via: []object.Ref{ann, {Type: object.User, ID: "u"}}},
		},
		LinksDropped: 7, KeyID: "k1", Sealed: []byte{0, 1, 2, 255},
	}
}

func wholePersonal() Personal {
	related := []object.Lookup{{Type: object.Company, ExternalID: "x"}, {Type: object.User, ID: "u"}}
	return Personal{
		ExternalID: "77", Description: "<b>how</b>\n\ttab \\ / \b\f\r", Icon: "📖", Payload: `{"b": 1.0, "a":"é\u0000\ud83d"}`,
		Related: related, Missing: related[:1],
	}
}

func wholeSubmission() Submission {
	return Submission{
		Version: 1, ID: "e1", Workspace: "acme", Type: object.Customer, ObjectID: "c1", ExternalID: "77", Name: "n & m",
		Description: "d", Icon: "i", Source: "s", OccurredAt: wholeEvent().OccurredAt, ReceivedAt: wholeEvent().ReceivedAt,
		Related: wholePersonal().Related, Resolved: true, Payload: json.RawMessage(`{"a": [1e2, "é"]}`),
	}
}

func encoded(tb testing.TB, v any) string {
	tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func TestWhatOurWritersWriteIsReadWithoutReflection(t *testing.T) {
	t.Parallel()
	event, personal, submission := wholeEvent(), wholePersonal(), wholeSubmission()
	if value, err := event.Encode(); err != nil || string(value) != encoded(t, event) {
		t.Errorf("event is not written as by the standard library: %s, %v", value, err)
	}
	if got, ok := decodeEvent(encoded(t, event)); !ok || !cmp.Equal(event, got) {
		t.Errorf("event is odd (%t):\n%s", !ok, cmp.Diff(event, got))
	}
	if got, ok := decodePersonal(encoded(t, personal)); !ok || !cmp.Equal(personal, got) {
		t.Errorf("sealed part is odd (%t):\n%s", !ok, cmp.Diff(personal, got))
	}
	value, err := submission.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := decodeSubmission(string(value)); !ok || !cmp.Equal(submission, got) {
		t.Errorf("submission is odd (%t):\n%s", !ok, cmp.Diff(submission, got))
	}
	for _, least := range []string{encoded(t, Personal{}), `{"icon":""}`} {
		if _, ok := decodePersonal(least); !ok {
			t.Errorf("sealed part %s is odd", least)
		}
	}
}

func TestWhatOthersWriteIsReadByEncodingJSON(t *testing.T) {
	t.Parallel()
	usual := encoded(t, wholeEvent())
	for name, change := range map[string]*strings.Replacer{
		"white space":             strings.NewReplacer(`"v":1`, `"v": 1`),
		"a member of tomorrow":    strings.NewReplacer(`"v":1`, `"v":1,"new":[{"a":null}]`),
		"another case":            strings.NewReplacer(`"id":`, `"Id":`),
		"a member twice":          strings.NewReplacer(`"v":1`, `"v":2,"v":1`),
		"null":                    strings.NewReplacer(`"source":"web"`, `"source":null`),
		"a time with an offset":   strings.NewReplacer(`23:59:59.999Z`, `23:59:59.999+00:00`),
		"a time of no milli":      strings.NewReplacer(`23:59:59.999Z`, `23:59:59Z`),
		"an escaped surrogate":    strings.NewReplacer(`"source":"web"`, `"source":"\ud83d\udcd6"`),
		"an escape in a sealed":   strings.NewReplacer(`"sealed":"`, `"sealed":"\u0041AAA`),
		"bytes that are no UTF-8": strings.NewReplacer(`"source":"web"`, "\"source\":\"\xff\""),
	} {
		value := change.Replace(usual)
		if value == usual {
			t.Fatalf("%s: nothing is changed", name)
		}
		if _, ok := decodeEvent(value); ok {
			t.Errorf("%s is read without encoding/json", name)
		}
		if _, err := ParseEvent([]byte(value)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDecodeAgreesWithEncodingJSON holds the quick readers to the rule: what they read at all, they read as the standard
// library does.
func FuzzDecodeAgreesWithEncodingJSON(f *testing.F) {
	submission := wholeSubmission()
	value, err := submission.Encode()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		encoded(f, wholeEvent()), encoded(f, wholePersonal()), string(value), `{}`, `{"v":01}`, `{"sealed":"AA==\n"}`,
		`{"occurredAt":"2023-02-29T00:00:00.000Z"}`, `{"occurredAt":"2023-02-28T24:00:00.000Z"}`, `{"name":"\u00e9\/"}`,
		`{"payload":{"a":1} }`, `{"payload":1,"resolved":true}`, `{"links":[{"via":[{}]}]}`,
		"{\"payload\":\"\xff\"}", "{\"name\":\"\x7f\"}", `{"payload":null}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		agree(t, value, decodeEvent)
		agree(t, value, decodePersonal)
		agree(t, value, decodeSubmission)
		if head, end, ok := decodeHead(value); ok {
			agree(t, value[:end]+"}", func(string) (Head, bool) { return head, true })
		}
	})
}

func agree[T any](t *testing.T, value string, decode func(string) (T, bool)) {
	t.Helper()
	got, ok := decode(value)
	if !ok {
		return
	}
	var want T
	if err := json.Unmarshal([]byte(value), &want); err != nil {
		t.Fatalf("%q is read, but is no %T: %v", value, want, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%q (-encoding/json +ours):\n%s", value, diff)
	}
}

func TestTheHeadOfAnEventIsReadWithoutTheRest(t *testing.T) {
	t.Parallel()
	e := wholeEvent()
	want := Head{e.ID, e.Workspace, e.Type, e.ObjectID, e.ReceivedAt}
	noSource, long, later := e, e, strings.NewReplacer(`{"v":1`, `{"v":2,"new":[]`)
	noSource.Source, long.Name = "", strings.Repeat("é", headBytes)
	for name, row := range map[string]struct {
		value string
		quick bool
	}{
		"as it is written":           {encoded(t, e), true},
		"without what may be absent": {encoded(t, noSource), true},
		"with a head that is long":   {encoded(t, long), false},
		"of a later version":         {later.Replace(encoded(t, e)), false},
		"with white space":           {" " + encoded(t, e), false},
	} {
		if _, _, ok := decodeHead(row.value[:min(len(row.value), headBytes)]); ok != row.quick {
			t.Errorf("%s: read quickly: %t, want %t", name, ok, row.quick)
		}
		got, err := ParseHead([]byte(row.value))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	whole := encoded(t, e)
	for n := range len(whole) {
		if strings.HasSuffix(whole[:n], "}") {
			continue // what stands behind the head is not looked at
		}
		if h, err := ParseHead([]byte(whole[:n])); err == nil {
			t.Errorf("the first %d bytes are read as %+v", n, h)
		}
	}
	for _, value := range []string{"", "null", "{}", "[]", `{"id":"e"}`, "}"} {
		if h, err := ParseHead([]byte(value)); err == nil {
			t.Errorf("%q is read as %+v", value, h)
		}
	}
}

func BenchmarkParseHead(b *testing.B) {
	e := wholeEvent()
	e.Name, e.Sealed = "Viewed article", make([]byte, 300)
	value := []byte(encoded(b, e))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseHead(value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseEvent(b *testing.B) {
	e := wholeEvent()
	e.Name, e.Sealed = "Viewed article", make([]byte, 300)
	value := []byte(encoded(b, e))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseEvent(value); err != nil {
			b.Fatal(err)
		}
	}
}
