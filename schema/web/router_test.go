package web_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/web"
)

// fixture is a router with its log and its metrics.
type fixture struct {
	*web.Router

	log *bytes.Buffer
	reg *prometheus.Registry
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	f := fixture{log: &bytes.Buffer{}, reg: prometheus.NewRegistry()}
	f.Router = web.NewRouter(web.Options{Log: slog.New(slog.NewJSONHandler(f.log, nil)), Registerer: f.reg})
	return f
}

func (f fixture) do(t *testing.T, method, target, body string) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	f.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body)))
	return rec
}

// line is the only line of the log.
func (f fixture) line(t *testing.T) map[string]any {
	t.Helper()
	var line map[string]any
	if err := json.Unmarshal(f.log.Bytes(), &line); err != nil {
		t.Fatalf("the log is not one line: %v\n%s", err, f.log)
	}
	return line
}

func readProblem(t *testing.T, rec *httptest.ResponseRecorder) *problem.Problem {
	t.Helper()
	if got := rec.Header().Get("Content-Type"); got != problem.ContentType {
		t.Errorf("Content-Type %q, body %s", got, rec.Body)
	}
	var p problem.Problem
	if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

func TestAPathSegmentIsDecodedOnce(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"plain":              "plain",
		"a%2Fb":              "a/b",
		"a%252Fb":            "a%2Fb",
		"a+b":                "a+b",
		"a%20b":              "a b",
		"%C3%BC":             "ü",
		"ü":                  "ü",
		"%2E%2E":             "..",
		"x;y=1":              "x;y=1",
		"a%2F%2Fb":           "a//b",
		"USER%20%28AGENT%29": "USER (AGENT)",
		"with%3Fquestion":    "with?question",
		"trailing%2F":        "trailing/",
	}
	for segment, want := range tests {
		f := newFixture(t)
		got := ""
		f.Handle(http.MethodGet, "/v1/objects/{id}", func(_ http.ResponseWriter, r *http.Request) error {
			var err error
			got, err = web.PathVar(r, "id", nil)
			return err
		})
		srv := httptest.NewServer(f)
		res, err := http.Get(srv.URL + "/v1/objects/" + segment)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		srv.Close()
		if got != want {
			t.Errorf("%s: got %q (status %d), want %q", segment, got, res.StatusCode, want)
		}
	}
}

func TestABadPathSegmentIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Handle(http.MethodGet, "/o/{id}", func(_ http.ResponseWriter, r *http.Request) error {
		_, err := web.PathVar(r, "id", func(s string) error {
			if s == ".." {
				return errors.New("must not be two dots")
			}
			return nil
		})
		return err
	})
	for target, detail := range map[string]string{"/o/%2E%2E": "id: must not be two dots", "/o/%FF": "id is not UTF-8."} {
		rec := f.do(t, http.MethodGet, target, "")
		if p := readProblem(t, rec); rec.Code != http.StatusUnprocessableEntity || p.Detail != detail {
			t.Errorf("%s: %d %q, want %q", target, rec.Code, p.Detail, detail)
		}
	}
}

func TestAnUnknownPathIsAProblem(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Handle(http.MethodGet, "/v1/a", func(http.ResponseWriter, *http.Request) error { return nil })
	for _, target := range []string{"/nothing", "/v1//a", "/v1/a/", "/v1/../v1/a"} {
		f.log.Reset()
		rec := f.do(t, http.MethodGet, target, "")
		if p := readProblem(t, rec); rec.Code != http.StatusNotFound || p.Type != problem.NotFound {
			t.Errorf("%s: %d %+v", target, rec.Code, p)
		}
		if rec.Header().Get("X-Request-Id") == "" || f.line(t)["route"] != "unmatched" {
			t.Errorf("%s: an unknown path is not wrapped: %s", target, f.log)
		}
	}
}

func TestAWrongMethodListsTheOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ok := func(http.ResponseWriter, *http.Request) error { return nil }
	f.Handle(http.MethodGet, "/v1/objects/{type}/{id}", ok)
	f.Handle(http.MethodPut, "/v1/objects/{type}/{id}", ok)
	f.Handle(http.MethodPost, "/v1/objects/batch", ok)
	for target, allow := range map[string]string{"/v1/objects/USER/a%2Fb": "GET, HEAD, PUT", "/v1/objects/batch": "POST"} {
		rec := f.do(t, http.MethodDelete, target, "")
		if p := readProblem(t, rec); rec.Code != http.StatusMethodNotAllowed || p.Type != problem.MethodNotAllowed {
			t.Errorf("%s: %d %+v", target, rec.Code, p)
		}
		if got := rec.Header().Get("Allow"); got != allow {
			t.Errorf("%s: Allow %q, want %q", target, got, allow)
		}
		if rec.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s: no request id", target)
		}
	}
}

func TestMiddlewaresWrapTheRoutesAddedThroughThem(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var order []string
	note := func(name string) web.Middleware {
		return func(next web.Handler) web.Handler {
			return func(w http.ResponseWriter, r *http.Request) error {
				order = append(order, name)
				return next(w, r)
			}
		}
	}
	h := func(http.ResponseWriter, *http.Request) error { return nil }
	f.With(note("outer")).With(note("inner")).Handle(http.MethodGet, "/wrapped", h)
	f.Handle(http.MethodGet, "/bare", h)
	f.do(t, http.MethodGet, "/wrapped", "")
	f.do(t, http.MethodGet, "/bare", "")
	if diff := cmp.Diff([]string{"outer", "inner"}, order); diff != "" {
		t.Error(diff)
	}
}

func TestAMountedHandlerNeverAnswersForTheAPI(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Handle(http.MethodGet, "/v1/a", func(http.ResponseWriter, *http.Request) error { return nil })
	f.Mount("/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for target, want := range map[string]int{"/": 418, "/app/x.js": 418, "/v1/a": 200, "/v1/b": 404} {
		if rec := f.do(t, http.MethodGet, target, ""); rec.Code != want {
			t.Errorf("%s: %d, want %d", target, rec.Code, want)
		}
	}
}

func TestStreamsCanFlush(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Handle(http.MethodGet, "/x", func(w http.ResponseWriter, _ *http.Request) error {
		return http.NewResponseController(w).Flush()
	})
	if rec := f.do(t, http.MethodGet, "/x", ""); !rec.Flushed || rec.Code != http.StatusOK {
		t.Errorf("flushed %t, status %d", rec.Flushed, rec.Code)
	}
}

func TestAnAnswerThatCannotBeEncodedIsA500(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Handle(http.MethodGet, "/x", func(w http.ResponseWriter, _ *http.Request) error {
		return web.WriteJSON(w, http.StatusOK, map[string]any{"f": func() {}})
	})
	if rec := f.do(t, http.MethodGet, "/x", ""); rec.Code != http.StatusInternalServerError {
		t.Errorf("status %d, body %s", rec.Code, rec.Body)
	}
}
