package web_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/web"
)

func TestErrorsBecomeAnswers(t *testing.T) {
	t.Parallel()
	secret := errors.New("secret")
	tests := map[string]struct {
		err    error
		status int
		level  string
		logged bool
	}{
		"a problem":            {fmt.Errorf("put: %w", problem.New(problem.Conflict, "taken")), 409, "INFO", false},
		"any other error":      {secret, 500, "ERROR", true},
		"an error to wait out": {problem.WithKind(problem.Retry, secret), 503, "WARN", true},
	}
	for name, tc := range tests {
		f := newFixture(t)
		f.Handle(http.MethodGet, "/x", func(http.ResponseWriter, *http.Request) error { return tc.err })
		rec := f.do(t, http.MethodGet, "/x", "")
		p := readProblem(t, rec)
		if rec.Code != tc.status || strings.Contains(rec.Body.String(), "secret") {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
		line := f.line(t)
		if line["level"] != tc.level || (line["error"] != nil) != tc.logged {
			t.Errorf("%s: logged %s", name, f.log)
		}
		if want := "urn:request:" + fmt.Sprint(line["request_id"]); p.Instance != want {
			t.Errorf("%s: instance %q, want %q", name, p.Instance, want)
		}
	}
}

func TestAPanicIsA500WithItsStackInTheLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Handle(http.MethodGet, "/x", func(http.ResponseWriter, *http.Request) error { panic("secret") })
	rec := f.do(t, http.MethodGet, "/x", "")
	if p := readProblem(t, rec); p.Type != problem.Internal || strings.Contains(rec.Body.String(), "secret") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	line := f.line(t)
	if line["error"] != "panic: secret" || !strings.Contains(fmt.Sprint(line["stack"]), "router_test.go") {
		t.Errorf("logged %v", line)
	}
}

func TestAnErrorInTheMiddleOfAnAnswerCutsTheConnection(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]web.Handler{
		"error": func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = w.Write([]byte("half"))
			return errors.New("lost the rest")
		},
		"panic": func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = w.Write([]byte("half"))
			panic("lost the rest")
		},
		"abort": func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) },
	} {
		f := newFixture(t)
		f.Handle(http.MethodGet, "/x", h)
		func() {
			defer func() {
				if cause := recover(); cause != http.ErrAbortHandler { //nolint:errorlint // as net/http does
					t.Errorf("%s: recovered %v", name, cause)
				}
			}()
			f.do(t, http.MethodGet, "/x", "")
		}()
		f.line(t)
	}
}

func TestAClientThatLeftIsNoError(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Handle(http.MethodGet, "/x", func(_ http.ResponseWriter, r *http.Request) error {
		return fmt.Errorf("query: %w", r.Context().Err())
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/x", nil))
	if line := f.line(t); line["level"] != "INFO" || line["status"] != 499.0 || line["error"] != nil {
		t.Errorf("logged %v", line)
	}
	want := `
# HELP throughline_http_requests_total Requests answered, by route template, method and class of status; client_gone where the client left first.
# TYPE throughline_http_requests_total counter
throughline_http_requests_total{class="client_gone",method="GET",route="/x"} 1
`
	if err := testutil.GatherAndCompare(f.reg, strings.NewReader(want), "throughline_http_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestMetricsHaveNoUnboundedLabel(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Handle(http.MethodGet, "/o/{id}", func(http.ResponseWriter, *http.Request) error { return nil })
	for i := range 50 {
		f.do(t, http.MethodGet, fmt.Sprintf("/o/%d", i), "")
		f.do(t, http.MethodGet, fmt.Sprintf("/unknown/%d", i), "")
		f.do(t, fmt.Sprintf("WORD%d", i), "/o/1", "")
	}
	n, err := testutil.GatherAndCount(f.reg, "throughline_http_requests_total")
	if err != nil || n != 3 {
		t.Errorf("%d series, want 3 (%v)", n, err)
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	for given, kept := range map[string]bool{
		"abc-1.2_3": true, "": false, "has space": false, strings.Repeat("x", 65): false, "bad\"quote": false,
	} {
		f := newFixture(t)
		seen := ""
		f.Handle(http.MethodGet, "/x", func(_ http.ResponseWriter, r *http.Request) error {
			seen = web.RequestID(r.Context())
			return nil
		})
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil)
		req.Header.Set(web.RequestIDHeader, given)
		rec := httptest.NewRecorder()
		f.ServeHTTP(rec, req)
		answered := rec.Header().Get(web.RequestIDHeader)
		if (answered == given) != kept || answered != seen || answered == "" {
			t.Errorf("%q: answered %q, handler saw %q", given, answered, seen)
		}
	}
}

func TestAnnotationsStandInTheOneLine(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Handle(http.MethodPost, "/x", func(w http.ResponseWriter, r *http.Request) error {
		web.Annotate(r.Context(), slog.Int("accepted", 3))
		return web.WriteJSON(w, http.StatusOK, map[string]int{"b": 1, "a": 2})
	})
	rec := f.do(t, http.MethodPost, "/x", `{}`)
	line := f.line(t)
	for _, name := range []string{"time", "duration_seconds", "request_id"} {
		if line[name] == nil {
			t.Errorf("%s is missing", name)
		}
		delete(line, name)
	}
	want := map[string]any{
		"level": "INFO", "msg": "request answered", "method": "POST", "route": "/x",
		"status": 200.0, "bytes_in": 2.0, "bytes_out": 13.0, "accepted": 3.0,
	}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Error(diff)
	}
	if got := rec.Body.String(); got != `{"a":2,"b":1}` {
		t.Errorf("body %s", got)
	}
}

func TestAttachedValuesBelongToTheirRequest(t *testing.T) {
	t.Parallel()
	type key struct{ n int }
	f := newFixture(t)
	var inner []any
	f.Handle(http.MethodGet, "/x", func(_ http.ResponseWriter, r *http.Request) error {
		ctx := web.Attach(r.Context(), key{1}, "first")
		if ctx != r.Context() {
			t.Error("a request got a new context")
		}
		derived, cancel := context.WithCancel(ctx)
		defer cancel()
		web.Attach(derived, key{1}, "second")
		web.Attach(derived, key{2}, 2)
		inner = append(inner, web.Attached(ctx, key{1}), web.Attached(derived, key{2}), web.Attached(ctx, key{3}))
		return nil
	})
	f.Handle(http.MethodGet, "/y", func(_ http.ResponseWriter, r *http.Request) error {
		inner = append(inner, web.Attached(r.Context(), key{1}))
		return nil
	})
	f.do(t, http.MethodGet, "/x", "")
	f.do(t, http.MethodGet, "/y", "")
	if diff := cmp.Diff([]any{"second", 2, nil, nil}, inner); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	// Without a request a value goes the ordinary way.
	if got := web.Attached(web.Attach(t.Context(), key{1}, "plain"), key{1}); got != "plain" {
		t.Errorf("outside of a request: %v", got)
	}
}
