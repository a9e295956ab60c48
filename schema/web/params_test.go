package web_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/web"
)

// page is what a route with every sort of parameter reads.
type page struct {
	Names    []string
	States   []string
	Order    string
	Erase    bool
	Limit    int
	From, To time.Time
	Cursor   string
}

func readPage(query string) (page, error) {
	p := web.Query(&http.Request{URL: &url.URL{RawQuery: query}})
	out := page{
		Names:  p.Strings("name"),
		States: p.Enums("state", "OPEN", "CLOSED"),
		Order:  p.Enum("order", "desc", "asc"),
		Erase:  p.Bool("erase", false),
		Limit:  p.Limit(),
		Cursor: p.String("cursor"),
	}
	out.From, out.To = p.Range()
	return out, p.Err()
}

func TestParamsAreRead(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC)
	tests := map[string]struct {
		query string
		want  page
	}{
		"nothing":              {"", page{Order: "desc", Limit: 50}},
		"empty means absent":   {"name=&state=&order=&erase=&limit=&from=&to=&cursor=", page{Order: "desc", Limit: 50}},
		"repeated means or":    {"name=a&name=b&name=a&state=OPEN&state=CLOSED", page{Names: []string{"a", "b"}, States: []string{"OPEN", "CLOSED"}, Order: "desc", Limit: 50}},
		"everything":           {"order=asc&erase=true&limit=500&cursor=x%2By", page{Order: "asc", Erase: true, Limit: 500, Cursor: "x+y"}},
		"RFC 3339":             {"from=2026-02-03T04:05:06.7899Z", page{Order: "desc", Limit: 50, From: day}},
		"with an offset":       {"from=2026-02-03T06:05:06.789%2B02:00", page{Order: "desc", Limit: 50, From: day}},
		"a plus left as it is": {"from=2026-02-03T06:05:06.789+02:00", page{Order: "desc", Limit: 50, From: day}},
		"epoch milliseconds":   {"to=1770091506789", page{Order: "desc", Limit: 50, To: day}},
		"before 1970":          {"from=-1000", page{Order: "desc", Limit: 50, From: time.UnixMilli(-1000).UTC()}},
	}
	for name, tc := range tests {
		got, err := readPage(tc.query)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestParamsAreStrict(t *testing.T) {
	t.Parallel()
	const known = "known: cursor, erase, from, limit, name, order, state, to"
	for query, want := range map[string]string{
		"namee=a":                   "namee: is not a parameter here; " + known,
		"Name=a":                    "Name: is not a parameter here; " + known,
		"namee=":                    "namee: is not a parameter here; " + known,
		"limit=0":                   "limit: must be a whole number from 1 to 500",
		"limit=501":                 "limit: must be a whole number from 1 to 500",
		"limit=1e2":                 "limit: must be a whole number from 1 to 500",
		"order=up":                  "order: must be one of desc, asc",
		"order=asc&order=desc":      "order: may be given once",
		"state=OPEN&state=GONE":     "state: must be one of OPEN, CLOSED",
		"erase=yes":                 "erase: must be true or false",
		"from=today":                "from: must be a time as in RFC 3339 or in epoch milliseconds",
		"from=1899-12-31T23:59:59Z": "from: must lie in the years 1900 to 2261",
		"to=99999999999999":         "to: must lie in the years 1900 to 2261",
		"to=9223372036854775807":    "to: must lie in the years 1900 to 2261",
		"from=2000&to=1000":         "to: must not be earlier than from",
		"name=%FF":                  "name: is not UTF-8",
		"name=%zz":                  "query: cannot be decoded: a %, & or ; in a value must be percent-encoded",
		"name=a;b=c":                "query: cannot be decoded: a %, & or ; in a value must be percent-encoded",
	} {
		_, err := readPage(query)
		p, ok := errors.AsType[*problem.Problem](err)
		if !ok || p.Type != problem.BadParameter || p.Detail != want {
			t.Errorf("%s: got %v, want %s", query, err, want)
		}
	}
}

func TestParamsNameEveryFault(t *testing.T) {
	t.Parallel()
	_, err := readPage("limit=x&zz=1&aa=2")
	p, ok := errors.AsType[*problem.Problem](err)
	if !ok {
		t.Fatal(err)
	}
	var names []string
	for _, f := range p.Errors {
		names = append(names, f.Parameter)
	}
	if diff := cmp.Diff([]string{"limit", "aa", "zz"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestARouteWithoutParamsTakesNone(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?a=1", nil)
	if err := web.Query(r).Err(); err == nil || typeOf(err) != "bad-parameter" {
		t.Errorf("got %v", err)
	}
}

func FuzzQuery(f *testing.F) {
	f.Add("name=a&limit=5&from=2026-01-01T00:00:00Z")
	f.Add("from=-1&to= 02:00&limit=")
	f.Fuzz(func(t *testing.T, query string) {
		got, err := readPage(query)
		if err != nil {
			if typeOf(err) != "bad-parameter" {
				t.Errorf("%q: %v", query, err)
			}
			return
		}
		if got.Limit < 1 || got.Limit > web.MaxLimit {
			t.Errorf("%q: limit %d", query, got.Limit)
		}
		for _, at := range []time.Time{got.From, got.To} {
			if !at.IsZero() && (at.Year() < 1900 || at.Year() > 2261) {
				t.Errorf("%q: time %s", query, at)
			}
		}
	})
}
