// Package abuse sends a service what no client should send, on every route that it has: each bad request has to be
// answered as a problem, none may harm the next one.
//
// The routes are those that the router knows, so that a route that is added without a row in the service's table fails.
package abuse

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/web"
)

// Route is one route, by a good request of it.
type Route struct {
	// Method and Template are as they were registered.
	Method, Template string
	// Path is that of a good request; its segments are those of the template. Query is good too, or empty.
	Path, Query string
	// Body is a good body, a JSON object, or empty where the route takes none.
	Body string
	// Optional says that no body is as good as one.
	Optional bool
	// Limit is how large a body may be, in bytes.
	Limit int
	// Streamed says that a body is read piece by piece: what is wrong first is told, whatever follows.
	Streamed bool
	// Key is the good request's API key, of which the route is.
	Key string
	// Status answers the good request.
	Status int
	// Open says that the route needs no key.
	Open bool
}

// Service is what is attacked.
type Service struct {
	URL    string
	Routes []web.Route
	// Table has a row for each of Routes.
	Table []Route
	// Refused are keys that no route takes, and why not.
	Refused map[string]string
}

// Attack runs every case on every route.
func Attack(t *testing.T, s Service) {
	t.Helper()
	registered := make([]string, 0, len(s.Routes))
	for _, r := range s.Routes {
		// HEAD goes with GET.
		if r.Method != http.MethodHead {
			registered = append(registered, r.Method+" "+r.Template)
		}
	}
	rows := make([]string, 0, len(s.Table))
	for _, r := range s.Table {
		rows = append(rows, r.Method+" "+r.Template)
	}
	slices.Sort(registered)
	slices.Sort(rows)
	if diff := cmp.Diff(registered, rows); diff != "" {
		t.Fatalf("the table is not that of the routes (-registered +table):\n%s", diff)
	}
	for _, r := range s.Table {
		t.Run(r.Method+" "+strings.ReplaceAll(r.Template, "/", "."), func(t *testing.T) {
			t.Parallel()
			a := &attack{t: t, url: s.URL, route: r}
			a.good("before anything")
			for reason, key := range s.Refused {
				a.badKey(reason, key)
			}
			a.methods(s.Routes)
			a.queries()
			a.segments()
			a.bodies()
			a.leave()
			a.good("after everything")
		})
	}
}

// attack is what is done to one route.
type attack struct {
	t     *testing.T
	url   string
	route Route
}

// badKey presents a key that is not good, or none.
func (a *attack) badKey(reason, key string) {
	if a.route.Open {
		return
	}
	got := a.send(request{why: reason, header: http.Header{"Authorization": {key}}})
	a.refused(got, http.StatusUnauthorized)
	if got.header.Get("WWW-Authenticate") == "" {
		a.t.Errorf("%s: no WWW-Authenticate", got.why)
	}
}

// methods tries every method that the path does not have.
func (a *attack) methods(routes []web.Route) {
	allowed := map[string]bool{}
	for _, r := range routes {
		if r.Template == a.route.Template {
			allowed[r.Method] = true
		}
	}
	for _, method := range []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace,
		"PROPFIND", "get",
	} {
		if allowed[method] {
			continue
		}
		got := a.send(request{why: "method " + method, method: method})
		if method != http.MethodHead {
			a.refused(got, http.StatusMethodNotAllowed)
		}
		for other := range allowed {
			if !strings.Contains(got.header.Get("Allow"), other) {
				a.t.Errorf("%s: Allow is %q and lacks %s", got.why, got.header.Get("Allow"), other)
			}
		}
	}
}

// queries sends query strings that the route does not know.
func (a *attack) queries() {
	if a.route.Open {
		return
	}
	for _, query := range []string{"nobody=1", "nobody=", "limti=5", "%00=1", "%ff=1", "position=nonsense", "position=%ff"} {
		got := a.send(request{why: "query " + query, query: query})
		a.refused(got, http.StatusBadRequest, http.StatusUnsupportedMediaType)
	}
	for _, query := range []string{"a=%zz", "a;b", strings.Repeat("a=1&", 10_000)} {
		a.refused(a.send(request{why: "query " + query[:min(len(query), 10)], query: query}), http.StatusBadRequest)
	}
}

// segments puts ids into the path that are none, and ids that are odd.
func (a *attack) segments() {
	template, path := strings.Split(a.route.Template, "/"), strings.Split(a.route.Path, "/")
	for i, name := range template {
		if !strings.HasPrefix(name, "{") {
			continue
		}
		with := func(segment string) string {
			return strings.Join(slices.Replace(slices.Clone(path), i, i+1, segment), "/")
		}
		for _, segment := range []string{"%FF", "%00", "%C3%28", "a%0Ab", "%2E", "%2E%2E", strings.Repeat("a", 257), strings.Repeat("%F0%9F%98%80", 257)} {
			got := a.send(request{why: name + " " + segment[:min(len(segment), 12)], path: with(segment)})
			a.refused(got, http.StatusUnprocessableEntity, http.StatusNotFound)
		}
		for _, segment := range []string{
			"a%2Fb", "%25", "%252F", "a.", "..a", "%22", "%3Cscript%3E", "'%20OR%201=1", "%F0%9F%91%A9%E2%80%8D%F0%9F%91%A7", "%D7%A9%D7%9C%D7%95%D7%9D",
			"a%3Fb", "a%23b", "a+b", "%E2%80%AEabc", "null", "*", "{id}",
		} {
			got := a.send(request{why: name + " " + segment, path: with(segment), body: a.route.Body})
			switch {
			case got.status == http.StatusMethodNotAllowed || got.status == http.StatusBadRequest || got.status >= http.StatusInternalServerError:
				a.t.Errorf("%s: answered %d: %s", got.why, got.status, got.body)
			case got.status >= http.StatusBadRequest:
				a.refused(got, got.status)
			}
		}
		// A slash that is not encoded is another address.
		a.refused(a.send(request{why: "a slash in " + name, path: with("a/b/c/d")}), http.StatusNotFound, http.StatusMethodNotAllowed)
	}
}
