package ingest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
)

func TestMergePatchChangesWhatItNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ target, patch, want string }{
		"a member is set":                      {`{"a":1}`, `{"b":2}`, `{"a":1,"b":2}`},
		"a member is replaced in its place":    {`{"a":1,"b":2}`, `{"a":3}`, `{"a":3,"b":2}`},
		"null removes":                         {`{"a":1,"b":2}`, `{"a":null}`, `{"b":2}`},
		"null of what is not there is nothing": {`{"b":2}`, `{"a":null}`, `{"b":2}`},
		"objects are merged":                   {`{"a":{"x":1,"y":2}}`, `{"a":{"y":null,"z":3}}`, `{"a":{"x":1,"z":3}}`},
		"an object replaces a scalar":          {`{"a":1}`, `{"a":{"b":{"c":null}}}`, `{"a":{"b":{}}}`},
		"a list is replaced as a whole":        {`{"a":[1,2]}`, `{"a":[null,3]}`, `{"a":[null,3]}`},
		"numbers keep their bytes":             {`{"a":1.50,"b":12345678901234567890}`, `{"c":1e2}`, `{"a":1.50,"b":12345678901234567890,"c":1e2}`},
		"nothing becomes something":            {``, `{"a":{"b":null,"c":1}}`, `{"a":{"c":1}}`},
		"names are quoted again":               {`{"a\"b":1}`, `{"ü\n":2}`, `{"a\"b":1,"ü\n":2}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := merge([]byte(c.target), []byte(c.patch))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.want {
				t.Errorf("merged to %s, want %s", got, c.want)
			}
		})
	}
}

func TestPatchesCannotGrowAnObjectBeyondItsLimit(t *testing.T) {
	t.Parallel()
	ref := object.Ref{Type: object.Customer, ID: "c1"}
	p, refused := decodePatch([]byte(`{"attributes":{"b":"`+strings.Repeat("x", object.MaxObjectBytes/2)+`"}}`), ref)
	if refused != nil {
		t.Fatal(refused)
	}
	now := &object.Object{Type: ref.Type, ID: ref.ID, Attributes: json.RawMessage(`{"a":"` + strings.Repeat("x", object.MaxObjectBytes/2) + `"}`)}
	_, err := p.apply(now)
	if got := problem.From(err); got.Status != http.StatusRequestEntityTooLarge || !strings.Contains(got.Detail, "32 KiB") {
		t.Errorf("answered %v", got)
	}
}

func FuzzMergePatchIsIdempotent(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":{"c":[1]}}`), []byte(`{"b":{"c":null,"d":{}}}`))
	f.Add([]byte(``), []byte(`{"a":{"b":null}}`))
	f.Add([]byte(`[1]`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, target, patch []byte) {
		ref := object.Ref{Type: object.Customer, ID: "c1"}
		body := func(raw []byte) []byte { return append(append([]byte(`{"attributes":`), raw...), '}') }
		p, refused := decodePatch(body(patch), ref)
		o, refusedObject := decodeObject(body(target), ref)
		if refused != nil || refusedObject != nil {
			return
		}
		once, err := p.apply(o)
		if err != nil {
			return
		}
		if len(once.Attributes) > 0 && !json.Valid(once.Attributes) {
			t.Fatalf("merged to no JSON: %s", once.Attributes)
		}
		twice, err := p.apply(once)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(once.Attributes), string(twice.Attributes)); diff != "" {
			t.Errorf("a second time (-once +twice):\n%s", diff)
		}
	})
}
