package query

import (
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/problem"
)

func TestCursorsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	list := fingerprint("timeline", []string{"ws"})
	for name, want := range map[string]cursor{
		"a key":            {Millis: 1700000000123, Texts: []string{"e1", "CUSTOMER", "c1"}},
		"before 1970":      {Millis: -2208988800000, Texts: []string{"", "", ""}},
		"a place":          {Millis: 1, Partition: 11, Offset: 1 << 40, Texts: []string{"\x00", "💡", "שלום"}},
		"texts like bytes": {Texts: []string{"\xff\xfe", "/", "'"}},
	} {
		got, err := decodeCursor(want.encode(list), list, 3)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, *got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestFingerprintsTellListsApart(t *testing.T) {
	t.Parallel()
	seen := make(map[string]string)
	for name, parts := range map[string][][]string{
		"plain":                {{"ws"}, {"a"}, nil},
		"another workspace":    {{"w2"}, {"a"}, nil},
		"value moved":          {{"ws"}, nil, {"a"}},
		"two values":           {{"ws"}, {"a", "b"}, nil},
		"one value of both":    {{"ws"}, {"a\x00b"}, nil},
		"values joined":        {{"ws"}, {"ab"}, nil},
		"value split to parts": {{"ws"}, {"a"}, {"b"}},
	} {
		mark := string(fingerprint("timeline", parts...))
		if other, ok := seen[mark]; ok {
			t.Errorf("%s and %s have the same fingerprint", name, other)
		}
		seen[mark] = name
	}
	if diff := cmp.Diff(fingerprint("r", []string{"a", "b"}), fingerprint("r", []string{"b", "a"})); diff != "" {
		t.Error("the order of a filter's values makes a difference")
	}
}

func FuzzDecodeCursor(f *testing.F) {
	list := fingerprint("timeline", []string{"ws"})
	f.Add(cursor{Millis: 1, Texts: []string{"e1", "CUSTOMER", "c1"}}.encode(list))
	f.Add("")
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := decodeCursor(text, list, 3)
		if err != nil {
			if p, ok := errors.AsType[*problem.Problem](err); !ok || p.Status != http.StatusBadRequest {
				t.Errorf("%q: %v is not a 400", text, err)
			}
			return
		}
		again, err := decodeCursor(c.encode(list), list, 3)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Errorf("%q changed (-first +second):\n%s", text, diff)
		}
	})
}
