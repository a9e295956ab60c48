package links_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/throughline/throughline/ingest/links"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// graph is a Finder over objects that are written as TYPE/id, with relations between them. An external id of an object is
// its id with an x before it.
type graph map[string][]string

func (g graph) find(ref object.Ref) *object.Record {
	relations, ok := g[string(ref.Type)+"/"+ref.ID]
	if !ok {
		return nil
	}
	rec := &object.Record{Type: ref.Type, ID: ref.ID}
	for _, to := range relations {
		r := parseRef(to)
		rec.Relations = append(rec.Relations, object.Relation{Type: r.Type, ID: r.ID})
	}
	return rec
}

func (g graph) Named(_ context.Context, l object.Lookup) (*object.Record, error) {
	if l.ID == "" {
		return g.find(object.Ref{Type: l.Type, ID: l.ExternalID[1:]}), nil
	}
	return g.find(object.Ref{Type: l.Type, ID: l.ID}), nil
}

func (g graph) Relation(_ context.Context, r object.Relation) (*object.Record, error) {
	return g.find(object.Ref{Type: r.Type, ID: r.ID}), nil
}

func parseRef(s string) object.Ref {
	for i := range s {
		if s[i] == '/' {
			return object.Ref{Type: object.Type(s[:i]), ID: s[i+1:]}
		}
	}
	return object.Ref{}
}

// describe writes links as TYPE/id<TYPE/id<… with the way there after the object.
func describe(links []event.Link) []string {
	var out []string
	for _, l := range links {
		way := []string{string(l.Type) + "/" + l.ID}
		for _, via := range slices.Backward(l.Via) {
			way = append(way, string(via.Type)+"/"+via.ID)
		}
		out = append(out, strings.Join(way, "<"))
	}
	return out
}

func TestFindLinks(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		graph   graph
		related []object.Lookup
		want    []string
		missing []object.Lookup
		absent  int
	}{
		"the primary alone": {graph: graph{"C/1": nil}, want: []string{"C/1"}},
		"two levels and no third": {
			graph: graph{"C/1": {"A/1"}, "A/1": {"O/1"}, "O/1": {"O/2"}, "O/2": nil},
			want:  []string{"C/1", "A/1<C/1", "O/1<A/1<C/1"},
		},
		"a level at a time": {
			graph: graph{"C/1": {"A/1", "A/2"}, "A/1": {"O/1"}, "A/2": {"O/2"}, "O/1": nil, "O/2": nil},
			want:  []string{"C/1", "A/1<C/1", "A/2<C/1", "O/1<A/1<C/1", "O/2<A/2<C/1"},
		},
		"never backwards": {
			graph: graph{"C/1": nil, "A/1": {"C/1"}},
			want:  []string{"C/1"},
		},
		"a cycle of two": {
			graph: graph{"C/1": {"A/1"}, "A/1": {"C/1"}},
			want:  []string{"C/1", "A/1<C/1"},
		},
		"a cycle of three": {
			graph: graph{"C/1": {"A/1"}, "A/1": {"O/1"}, "O/1": {"C/1"}},
			want:  []string{"C/1", "A/1<C/1", "O/1<A/1<C/1"},
		},
		"an object related to itself": {
			graph: graph{"C/1": {"C/1", "A/1"}, "A/1": {"A/1"}},
			want:  []string{"C/1", "A/1<C/1"},
		},
		"a diamond keeps the first way": {
			graph: graph{"C/1": {"A/1", "A/2"}, "A/1": {"O/1"}, "A/2": {"O/1"}, "O/1": nil},
			want:  []string{"C/1", "A/1<C/1", "A/2<C/1", "O/1<A/1<C/1"},
		},
		"the short way wins over the long one": {
			graph: graph{"C/1": {"A/1", "O/1"}, "A/1": {"O/1"}, "O/1": nil},
			want:  []string{"C/1", "A/1<C/1", "O/1<C/1"},
		},
		"named objects come first and are not followed": {
			graph:   graph{"C/1": {"A/1"}, "A/1": nil, "U/1": {"O/1"}, "O/1": nil},
			related: []object.Lookup{{Type: "U", ID: "1"}, {Type: "O", ExternalID: "x1"}},
			want:    []string{"C/1", "U/1", "O/1", "A/1<C/1"},
		},
		"a named object that is related too is followed as a relation": {
			graph:   graph{"C/1": {"A/1"}, "A/1": {"O/1"}, "O/1": nil},
			related: []object.Lookup{{Type: "A", ID: "1"}},
			want:    []string{"C/1", "A/1", "O/1<A/1<C/1"},
		},
		"the primary named as related": {
			graph:   graph{"C/1": nil},
			related: []object.Lookup{{Type: "C", ID: "1"}, {Type: "C", ExternalID: "x1"}},
			want:    []string{"C/1"},
		},
		"the same named twice": {
			graph:   graph{"C/1": nil, "U/1": nil},
			related: []object.Lookup{{Type: "U", ID: "1"}, {Type: "U", ExternalID: "x1"}},
			want:    []string{"C/1", "U/1"},
		},
		"what is not there is left out": {
			graph:   graph{"C/1": {"A/9", "A/1"}, "A/1": {"O/9"}, "U/1": nil},
			related: []object.Lookup{{Type: "U", ID: "9"}, {Type: "U", ID: "1"}, {Type: "U", ExternalID: "x9"}},
			want:    []string{"C/1", "U/1", "A/1<C/1"},
			missing: []object.Lookup{{Type: "U", ID: "9"}, {Type: "U", ExternalID: "x9"}},
			absent:  2,
		},
		"the same id of another type": {
			graph: graph{"C/1": {"A/1"}, "A/1": nil},
			want:  []string{"C/1", "A/1<C/1"},
		},
		"a primary that is gone": {
			graph:   graph{"U/1": nil},
			related: []object.Lookup{{Type: "U", ID: "1"}},
			want:    []string{"C/1", "U/1"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary := object.Ref{Type: "C", ID: "1"}
			got, err := links.Of(t.Context(), primary, tt.graph.find(primary), tt.related, tt.graph)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, describe(got.Links)); diff != "" {
				t.Errorf("links (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.missing, got.Missing, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
			if got.Absent != tt.absent || got.Dropped != 0 {
				t.Errorf("got %d absent and %d dropped, want %d and 0", got.Absent, got.Dropped, tt.absent)
			}
			for i, l := range got.Links {
				if (l.Kind == event.LinkPrimary) != (i == 0) {
					t.Errorf("link %d is %s", i, l.Kind)
				}
			}
		})
	}
}

func TestFindLinksCountsWhatIsBeyondTheLimit(t *testing.T) {
	t.Parallel()
	g := graph{"C/1": nil}
	for i := range 50 {
		a := fmt.Sprintf("A/%d", i)
		g["C/1"] = append(g["C/1"], a)
		for j := range 50 {
			// Every object of the second level is related to by two of the first.
			o := fmt.Sprintf("O/%d", (i*50+j)/2)
			g[a] = append(g[a], o)
			g[o] = nil
		}
	}
	primary := object.Ref{Type: "C", ID: "1"}
	got, err := links.Of(t.Context(), primary, g.find(primary), nil, g)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Links) != event.MaxLinks {
		t.Errorf("got %d links, want %d", len(got.Links), event.MaxLinks)
	}
	if want := 1 + 50 + 1250 - event.MaxLinks; got.Dropped != want {
		t.Errorf("got %d dropped, want %d", got.Dropped, want)
	}
	// The nearest are kept.
	for _, l := range got.Links[1:51] {
		if len(l.Via) != 1 {
			t.Errorf("%v stands among the first level", l)
		}
	}
}
