package object_test

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/object"
)

func TestParseTypeReadsAnyCaseAndTheAliases(t *testing.T) {
	t.Parallel()
	tests := map[string]object.Type{
		"CUSTOMER": object.Customer, "customer": object.Customer, " Account ": object.Account,
		"agent": object.User, "AGENT": object.User, "USER (AGENT)": object.User, "user (agent)": object.User,
		"SESSION RECORDING": object.SessionRecording, "session_recording": object.SessionRecording,
		"helpcenter": object.Helpcenter, "chatbot": object.Chatbot, "Company": object.Company, "conversation": object.Conversation,
	}
	for in, want := range tests {
		if got, err := object.ParseType(in); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "CUSTOMERS", "SESSION-RECORDING", "USER(AGENT)", "KEY", "ſession_recording\x00"} {
		if got, err := object.ParseType(in); !errors.Is(err, object.ErrType) {
			t.Errorf("%q: got %q, %v, want ErrType", in, got, err)
		}
	}
}

func TestValidateID(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		id string
		ok bool
	}{
		"a uuid":                            {"c19a7d78-0000-4000-8000-000000000001", true},
		"slashes, percent signs and spaces": {"a/b %2F", true},
		"three dots":                        {"...", true},
		"a family of emoji joined at zero":  {"👨‍👩‍👧", true},
		"256 code points of four bytes":     {strings.Repeat("📖", 256), true},
		"257 code points":                   {strings.Repeat("a", 257), false},
		"nothing":                           {"", false},
		"a dot":                             {".", false},
		"two dots":                          {"..", false},
		"a line break":                      {"a\nb", false},
		"a control character of latin-1":    {"a\u0085", false},
		"bytes that are not utf-8":          {"a\xff", false},
		"a null":                            {"\x00", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := object.ValidateID(tt.id); (err == nil) != tt.ok {
				t.Errorf("got %v, want ok = %t", err, tt.ok)
			}
		})
	}
}

func TestValidateNamesEveryBrokenRuleOfAnObject(t *testing.T) {
	t.Parallel()
	o := object.Object{
		Type: object.Customer, ID: "..", ExternalID: "a\tb", Name: strings.Repeat("n", 257), Attributes: json.RawMessage(`[1]`),
		Relations: []object.Lookup{{Type: object.Account, ID: "a1"}, {ExternalID: "x"}, {Type: object.User}},
	}
	got := pointers(o.Validate())
	want := []string{"/objectId", "/externalId", "/name", "/attributes", "/relations/1/objectType", "/relations/2/objectId"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pointers (-want +got):\n%s", diff)
	}
	fine := object.Object{
		Type: object.Customer, ID: "c1", ExternalID: "x", Name: strings.Repeat("ß", 256),
		Attributes: json.RawMessage(nested(object.MaxPayloadDepth - 1)),
		Relations:  []object.Lookup{{Type: object.Account, ExternalID: "77"}},
	}
	if v := fine.Validate(); v != nil {
		t.Errorf("got %v, want nothing", v)
	}
}

func TestValidateBoundsDepthAndRelations(t *testing.T) {
	t.Parallel()
	o := object.Object{
		Type: object.Customer, ID: "c1", Attributes: json.RawMessage(nested(object.MaxPayloadDepth)),
		Relations: make([]object.Lookup, object.MaxRelations+1),
	}
	for i := range o.Relations {
		o.Relations[i] = object.Lookup{Type: object.Account, ID: "a"}
	}
	if diff := cmp.Diff([]string{"/attributes", "/relations"}, pointers(o.Validate())); diff != "" {
		t.Errorf("pointers (-want +got):\n%s", diff)
	}
}

// nested is an object with so many arrays inside one another.
func nested(levels int) string {
	return `{"a":` + strings.Repeat("[", levels) + strings.Repeat("]", levels) + `}`
}

func pointers(v []object.Violation) []string {
	var p []string
	for _, one := range v {
		p = append(p, one.Pointer)
	}
	return p
}

func TestDepth(t *testing.T) {
	t.Parallel()
	tests := map[string]int{
		``: 0, `1`: 0, `"[["`: 0, `{}`: 1, `[]`: 1, `{"a":[{}]}`: 3, `[[],[[]]]`: 3, `{"a":"\"[[["}`: 1, `["\\",[]]`: 2, `[ { } ]`: 2,
	}
	for in, want := range tests {
		if got := object.Depth([]byte(in)); got != want {
			t.Errorf("%s: got %d, want %d", in, got, want)
		}
	}
}

// FuzzDepthAgreesWithADecoder compares Depth with the standard library's own reading of the same text.
func FuzzDepthAgreesWithADecoder(f *testing.F) {
	for _, s := range []string{`{"a":[1,"]\"[",{}]}`, `[[[[]]]]`, `"\\\"["`, `null`, `{"\u005b":"\\"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			return
		}
		if got, want := object.Depth(raw), decoderDepth(t, raw); got != want {
			t.Fatalf("%q: got %d, the decoder says %d", raw, got, want)
		}
	})
}

func decoderDepth(t *testing.T, raw []byte) int {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	depth, deepest := 0, 0
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return deepest
		}
		if err != nil {
			t.Fatal(err)
		}
		if d, ok := tok.(json.Delim); ok {
			if d == '{' || d == '[' {
				depth++
			} else {
				depth--
			}
			deepest = max(deepest, depth)
		}
	}
}
