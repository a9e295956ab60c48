package problem_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/throughline/throughline/schema/problem"
)

func TestCatalogueIsConsistent(t *testing.T) {
	t.Parallel()
	seen := make(map[problem.Type]bool)
	last := 0
	for _, e := range problem.Catalogue() {
		if seen[e.Type] {
			t.Errorf("%s is listed twice", e.Type)
		}
		seen[e.Type] = true
		if e.Status < last {
			t.Errorf("%s (%d) stands behind a status of %d", e.Type, e.Status, last)
		}
		last = e.Status
		if http.StatusText(e.Status) == "" || e.Title == "" || !strings.HasSuffix(e.Description, ".") {
			t.Errorf("%s is incomplete: %+v", e.Type, e)
		}
		if want := e.Status == http.StatusInternalServerError; want != (e.Kind == problem.Stop) {
			t.Errorf("%s has kind %s", e.Type, e.Kind)
		}
	}
}

func TestTitlesThatClientsCompare(t *testing.T) {
	t.Parallel()
	want := map[problem.Type]string{
		problem.ObjectNotFound:       "Object Not found",
		problem.TransitionNotAllowed: "Transition Not Allowed",
		problem.VersionConflict:      "Version Conflict",
	}
	for slug, title := range want {
		if got := problem.New(slug, "").Title; got != title {
			t.Errorf("%s: title %q, want %q", slug, got, title)
		}
	}
}

func TestATypeOutsideTheCatalogueIsInternal(t *testing.T) {
	t.Parallel()
	if p := problem.New("made-up", "x"); p.Status != http.StatusInternalServerError || p.Type != problem.Internal {
		t.Errorf("got %+v", p)
	}
}

func TestWriteSendsProblemDetails(t *testing.T) {
	t.Parallel()
	p := problem.Invalid(problem.At("/name", "is <required>"), problem.Atf("/tags/"+problem.Token("a/b~c"), "expected %s", "a string")).
		WithExtra("version", 3).WithExtra("status", "never").WithRetryAfter(1200*time.Millisecond).WithHeader("X-Extra", "yes")
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	req = req.WithContext(problem.WithRequest(req.Context(), request("r-1")))
	rec := httptest.NewRecorder()
	problem.Write(rec, req, p)

	want := `{"type":"urn:throughline:problem:invalid-member","title":"Invalid member","status":422,` +
		`"detail":"/name: is <required> (and 1 more)","instance":"urn:request:r-1",` +
		`"errors":[{"pointer":"/name","detail":"is <required>"},{"pointer":"/tags/a~1b~0c","detail":"expected a string"}],"version":3}`
	if diff := cmp.Diff(want, rec.Body.String()); diff != "" {
		t.Error(diff)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/problem+json", "Retry-After": "2", "X-Extra": "yes", "Cache-Control": "no-store",
	} {
		if got := rec.Header().Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if p.Instance != "" {
		t.Error("Write changed the problem it was given")
	}
}

func TestInternalErrorsShowNothing(t *testing.T) {
	t.Parallel()
	secret := errors.New("dial 10.0.0.7: password hunter2")
	for name, p := range map[string]*problem.Problem{
		"from an error":       problem.From(secret),
		"with its own detail": problem.New(problem.Internal, "hunter2").WithExtra("x", "hunter2").WithCause(secret),
		"retryable":           problem.From(problem.WithKind(problem.Retry, secret)),
	} {
		rec := httptest.NewRecorder()
		problem.Write(rec, httptest.NewRequest(http.MethodGet, "/", nil), p)
		if strings.Contains(rec.Body.String(), "hunter2") {
			t.Errorf("%s: the answer shows %s", name, rec.Body)
		}
		if !errors.Is(p, secret) {
			t.Errorf("%s: the log does not see the cause", name)
		}
	}
}

func TestAnImpossibleExtraDoesNotLoseTheProblem(t *testing.T) {
	t.Parallel()
	rec := httptest.NewRecorder()
	problem.Write(rec, httptest.NewRequest(http.MethodGet, "/", nil), problem.New(problem.Conflict, "d").WithExtra("f", func() {}))
	if rec.Code != http.StatusConflict || !json.Valid(rec.Body.Bytes()) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestAProblemSurvivesTheWire(t *testing.T) {
	t.Parallel()
	want := problem.Invalid(problem.At("", "expected an object"), problem.Fault{Parameter: "limit", Detail: "d"}).WithExtra("id", "e1")
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got problem.Problem
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, &got, cmpopts.IgnoreUnexported(problem.Problem{})); diff != "" {
		t.Error(diff)
	}
}

func TestFromFindsTheProblemInTheChain(t *testing.T) {
	t.Parallel()
	p := problem.New(problem.Conflict, "taken")
	if got := problem.From(fmt.Errorf("put object: %w", p)); got != p {
		t.Errorf("got %v", got)
	}
	if !errors.Is(fmt.Errorf("put: %w", p), problem.New(problem.Conflict, "")) {
		t.Error("a problem does not compare by type")
	}
	if errors.Is(p, problem.New(problem.VersionConflict, "")) {
		t.Error("problems of two types compare as equal")
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	base := errors.New("x")
	tests := map[string]struct {
		err  error
		want problem.Kind
	}{
		"nobody classed it":             {base, problem.Stop},
		"classed":                       {problem.WithKind(problem.Retry, base), problem.Retry},
		"classed, then wrapped":         {fmt.Errorf("w: %w", problem.WithKind(problem.Reject, base)), problem.Reject},
		"the outermost class counts":    {problem.WithKind(problem.Stop, problem.WithKind(problem.Retry, base)), problem.Stop},
		"a deadline":                    {fmt.Errorf("w: %w", context.DeadlineExceeded), problem.Retry},
		"a cancelled context":           {context.Canceled, problem.Stop},
		"a problem has its type's kind": {problem.New(problem.TooManyRequests, ""), problem.Retry},
	}
	for name, tc := range tests {
		if got := problem.KindOf(tc.err); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
	if problem.WithKind(problem.Retry, nil) != nil {
		t.Error("a kind made an error of nil")
	}
}

func TestACopyDoesNotShareItsExtras(t *testing.T) {
	t.Parallel()
	base := problem.New(problem.Conflict, "").WithExtra("a", 1).WithHeader("A", "1")
	one, two := base.WithExtra("b", 1).WithHeader("B", "1"), base.WithExtra("c", 1)
	if len(base.Extra) != 1 || len(base.Header) != 1 || len(one.Extra) != 2 || len(two.Extra) != 2 || len(two.Header) != 1 {
		t.Errorf("base %v %v, one %v, two %v", base.Extra, base.Header, one.Extra, two.Extra)
	}
}

func TestChallengesAndAllowances(t *testing.T) {
	t.Parallel()
	if got := problem.NoKey("").Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer") {
		t.Errorf("WWW-Authenticate: %q", got)
	}
	if got := problem.NotAllowed("PUT", []string{"GET", "HEAD"}).Header.Get("Allow"); got != "GET, HEAD" {
		t.Errorf("Allow: %q", got)
	}
}

// request is a request that has an id.
type request string

func (r request) RequestID() string { return string(r) }
