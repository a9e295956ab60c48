package web_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/web"
)

// colour is a type that reads itself, as object types do.
type colour string

func (c *colour) UnmarshalText(b []byte) error {
	if string(b) != "red" {
		return errors.New("must be red")
	}
	*c = colour(b)
	return nil
}

type inner struct {
	Flag bool `json:"flag"`
}

type sample struct {
	Name    string            `json:"name"`
	Number  int               `json:"number"`
	Count   uint8             `json:"count"`
	Ratio   float64           `json:"ratio"`
	When    *time.Time        `json:"when"`
	Colour  colour            `json:"colour"`
	List    []inner           `json:"list"`
	Map     map[string]string `json:"map"`
	Payload json.RawMessage   `json:"payload"`
	Hidden  string            `json:"-"`
}

func TestDecodeJSONSaysWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	const members = "name, number, count, ratio, when, colour, list, map, payload"
	tests := map[string]struct {
		body    string
		slug    problem.Type
		pointer string
		detail  string
	}{
		"empty":                       {"", problem.MalformedJSON, "", "The body is empty; a JSON value is expected."},
		"only blanks":                 {" \n", problem.MalformedJSON, "", "The body is empty; a JSON value is expected."},
		"cut short":                   {`{"name":`, problem.MalformedJSON, "/name", "Line 1, column 9 (byte 8): the value is not finished."},
		"a comma too many":            {"{\"name\":\"ü\",\n  \"number\":1,}", problem.MalformedJSON, "", "Line 2, column 13 (byte 26): invalid character ',' at start of value."},
		"a second value":              {`{} {}`, problem.MalformedJSON, "", "Line 1, column 4 (byte 3): invalid character '{' after top-level value."},
		"a name twice":                {`{"name":"a","name":"b"}`, problem.MalformedJSON, "/name", `Line 1, column 13 (byte 12): the name "name" appears twice in one object.`},
		"a name twice in a raw value": {`{"payload":{"a":1,"a":2}}`, problem.MalformedJSON, "/payload/a", `Line 1, column 19 (byte 18): the name "a" appears twice in one object.`},
		"not UTF-8":                   {"{\"name\":\"\xff\"}", problem.MalformedJSON, "/name", "Line 1, column 10 (byte 9): invalid UTF-8."},
		"half a surrogate":            {`{"name":"\ud800"}`, problem.MalformedJSON, "/name", "Line 1, column 10 (byte 9): invalid surrogate pair `\\ud800\"}` in string."},
		"wrong type, then malformed":  {`{"name":1, x}`, problem.MalformedJSON, "", "Line 1, column 12 (byte 11): invalid character 'x' at start of string (expecting '\"')."},
		"an unknown member":           {`{"namee":"a"}`, problem.InvalidMember, "/namee", "/namee: unknown member; the members here are " + members},
		"another case":                {`{"Name":"a"}`, problem.InvalidMember, "/Name", "/Name: unknown member; the members here are " + members},
		"a hidden member":             {`{"Hidden":"a"}`, problem.InvalidMember, "/Hidden", "/Hidden: unknown member; the members here are " + members},
		"an unknown member below":     {`{"list":[{},{"falg":true}]}`, problem.InvalidMember, "/list/1/falg", "/list/1/falg: unknown member; the members here are flag"},
		"a number for a string":       {`{"name":1}`, problem.InvalidMember, "/name", "/name: expected a string, not a number"},
		"a fraction for a number":     {`{"number":1.5}`, problem.InvalidMember, "/number", "/number: expected a whole number, not 1.5"},
		"a string for a number":       {`{"ratio":"1"}`, problem.InvalidMember, "/ratio", "/ratio: expected a number, not a string"},
		"too great a number":          {`{"count":256}`, problem.InvalidMember, "/count", "/count: the number is out of range"},
		"a negative number":           {`{"count":-1}`, problem.InvalidMember, "/count", "/count: expected a whole number, not negative, not -1"},
		"not a time":                  {`{"when":"today"}`, problem.InvalidMember, "/when", "/when: expected a time as in RFC 3339"},
		"a type's own refusal":        {`{"colour":"blue"}`, problem.InvalidMember, "/colour", "/colour: must be red"},
		"a type's own kind":           {`{"colour":1}`, problem.InvalidMember, "/colour", "/colour: expected a string, not a number"},
		"an object for an array":      {`{"list":{}}`, problem.InvalidMember, "/list", "/list: expected an array, not an object"},
		"a string for a boolean":      {`{"list":[{"flag":"x"}]}`, problem.InvalidMember, "/list/0/flag", "/list/0/flag: expected true or false, not a string"},
		"a name to be escaped":        {`{"map":{"a/b~c":1}}`, problem.InvalidMember, "/map/a~1b~0c", "/map/a~1b~0c: expected a string, not a number"},
		"an array for the body":       {`[]`, problem.InvalidMember, "", "expected an object, not an array"},
		"null for the body":           {` null `, problem.InvalidMember, "", "expected an object, not null"},
		"too deep":                    {`{"payload":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, problem.MalformedJSON, "", ""},
	}
	for name, tc := range tests {
		var v sample
		err := web.DecodeJSON([]byte(tc.body), &v)
		p, ok := errors.AsType[*problem.Problem](err)
		if !ok {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		if p.Type != tc.slug || (tc.detail != "" && p.Detail != tc.detail) {
			t.Errorf("%s: got %s: %s\nwant %s: %s", name, p.Type, p.Detail, tc.slug, tc.detail)
		}
		if len(p.Errors) > 0 && tc.detail != "" && p.Errors[0].Pointer != tc.pointer {
			t.Errorf("%s: pointer %q, want %q", name, p.Errors[0].Pointer, tc.pointer)
		}
	}
}

func TestDecodeJSONKeepsRawMembersByteForByte(t *testing.T) {
	t.Parallel()
	const payload = `{"z": 1.00,  "y":1e400, "x":12345678901234567890, "t":"\u00e9<é>"}`
	var v sample
	if err := web.DecodeJSON([]byte(`{"payload": `+payload+` }`), &v); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(payload, string(v.Payload)); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeJSONTakesNullAsAbsent(t *testing.T) {
	t.Parallel()
	var v sample
	body := `{"name":null,"number":null,"when":null,"colour":null,"list":null,"map":null}`
	if err := web.DecodeJSON([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample{}, v); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeJSONGivesLineColumnAndOffsetAsMembers(t *testing.T) {
	t.Parallel()
	err := web.DecodeJSON([]byte("{\n  \"name\": tru }"), &sample{})
	p, ok := errors.AsType[*problem.Problem](err)
	if !ok || p.Status != http.StatusBadRequest {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff(map[string]any{"line": 2, "column": 14, "offset": 15}, p.Extra); diff != "" {
		t.Error(diff)
	}
}

func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{`{"name":"a","payload":{"a":[1,2]}}`, `{"list":[{"flag":true}]}`, "{\"name\":\"\xff\"}", `[`, `null`, `{"a":1}{`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v sample
		err := web.DecodeJSON(data, &v)
		if err == nil {
			if !json.Valid(data) || !utf8.Valid(data) {
				t.Errorf("accepted %q", data)
			}
			return
		}
		p, ok := errors.AsType[*problem.Problem](err)
		if !ok {
			t.Fatalf("%q: not a problem: %v", data, err)
		}
		if _, err := json.Marshal(p); err != nil {
			t.Errorf("%q: %v", data, err)
		}
		if p.Type == problem.InvalidMember && !json.Valid(data) {
			t.Errorf("%q is no JSON, but its members are blamed: %v", data, p)
		}
	})
}
