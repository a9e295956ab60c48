package contract

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/api"
	"github.com/throughline/throughline/schema/problem"
)

func TestEveryExampleOfTheDocumentIsWhatItsSchemaSays(t *testing.T) {
	t.Parallel()
	c := Shared(t)
	examples := 0
	check := func(where string, media []api.Media) {
		for _, m := range media {
			for _, e := range m.Examples {
				examples++
				if fault := c.body(m, e.Value); fault != "" {
					t.Errorf("%s, %s %s: %s\n%s", where, m.Type, e.Name, fault, e.Value)
				}
			}
			// Without an example, the schema must be one at least.
			if _, err := c.schema(m.Schema.Pointer()); err != nil {
				t.Errorf("%s, %s: %v", where, m.Type, err)
			}
		}
	}
	for _, op := range c.Document.Operations {
		if op.Body != nil {
			check("the body of "+op.ID, op.Body.Content)
		}
		for _, r := range op.Responses {
			check(op.ID+" "+http.StatusText(r.Status), r.Content)
			for _, h := range r.Headers {
				if _, err := c.schema(h.Schema.Pointer()); err != nil {
					t.Errorf("header %s of %s: %v", h.Name, op.ID, err)
				}
			}
		}
		for _, p := range op.Parameters {
			for _, value := range p.Examples {
				if faults := c.parameter(op, p.In, p.Name, []string{value}); faults != nil {
					t.Errorf("example of %s of %s: %v", p.Name, op.ID, faults)
				}
			}
			if p.In == "path" && len(p.Examples) != 1 {
				t.Errorf("%s of %s needs an example", p.Name, op.ID)
			}
		}
	}
	if examples < 100 {
		t.Errorf("only %d examples were found", examples)
	}
}

func TestTheDocumentDescribesEveryProblemType(t *testing.T) {
	t.Parallel()
	c := Shared(t)
	type row struct {
		Status             int
		Title, Description string
	}
	want, got := map[string]row{}, map[string]row{}
	for _, e := range problem.Catalogue() {
		want[problem.URN+string(e.Type)] = row{e.Status, e.Title, e.Description}
	}
	for _, p := range c.Document.Problems() {
		got[p.Type] = row{p.Status, p.Title, p.Description}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the document and schema/problem/catalogue.go differ (-catalogue +document):\n%s", diff)
	}
	for _, op := range c.Document.Operations {
		for _, r := range op.Responses {
			for _, name := range r.ProblemTypes() {
				if got[problem.URN+name].Status != r.Status {
					t.Errorf("%s has problems of the type %s as %d", op.ID, name, r.Status)
				}
			}
		}
	}
}

// exchanged is an exchange with a service that does not exist.
func exchanged(t *testing.T, method, target, sent string, status int, header map[string]string, answer string) []string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	for name, value := range header {
		h.Set(name, value)
	}
	return Shared(t).Check(r, []byte(sent), status, h, []byte(answer))
}

func TestAnAnswerThatTheDocumentDoesNotKnowIsAFault(t *testing.T) {
	t.Parallel()
	good := map[string]string{"Content-Type": "application/json", "X-Request-Id": "r1"}
	with := func(name, value string) map[string]string {
		m := map[string]string{name: value}
		for k, v := range good {
			if _, ok := m[k]; !ok {
				m[k] = v
			}
		}
		return m
	}
	const target, sent = "/v1/objects/customer/a%2Fb", `{"name":"Ann"}`
	const answer = `{"objectType":"CUSTOMER","objectId":"a/b","position":"p"}`
	if faults := exchanged(t, http.MethodPut, target, sent, http.StatusOK, good, answer); faults != nil {
		t.Fatalf("what the document describes is a fault: %v", faults)
	}
	for name, faults := range map[string][]string{
		"unknown status":         exchanged(t, http.MethodPut, target, sent, http.StatusCreated, good, answer),
		"unknown media type":     exchanged(t, http.MethodPut, target, sent, http.StatusOK, with("Content-Type", "text/html"), answer),
		"missing header":         exchanged(t, http.MethodPut, target, sent, http.StatusOK, with("X-Request-Id", ""), answer),
		"unknown header":         exchanged(t, http.MethodPut, target, sent, http.StatusOK, with("X-Powered-By", "us"), answer),
		"bad header":             exchanged(t, http.MethodPut, target, sent, http.StatusOK, with("RateLimit", "many"), answer),
		"unknown member":         exchanged(t, http.MethodPut, target, sent, http.StatusOK, good, `{"objectType":"CUSTOMER","objectId":"a/b","position":"p","extra":1}`),
		"missing member":         exchanged(t, http.MethodPut, target, sent, http.StatusOK, good, `{"objectType":"CUSTOMER","objectId":"a/b"}`),
		"broken body":            exchanged(t, http.MethodPut, target, sent, http.StatusOK, good, `{`),
		"unknown path":           exchanged(t, http.MethodGet, "/v1/everything", "", http.StatusOK, good, answer),
		"unknown method":         exchanged(t, http.MethodPost, target, sent, http.StatusOK, good, answer),
		"accepted query":         exchanged(t, http.MethodPut, target+"?x=1", sent, http.StatusOK, good, answer),
		"accepted path":          exchanged(t, http.MethodPut, "/v1/objects/shoe/1", sent, http.StatusOK, good, answer),
		"accepted unknown input": exchanged(t, http.MethodPut, target, `{"nme":"Ann"}`, http.StatusOK, good, answer),
		"accepted bad input":     exchanged(t, http.MethodPut, target, `{"name":1}`, http.StatusOK, good, answer),
	} {
		if len(faults) != 1 {
			t.Errorf("%s: got %q, want one fault", name, faults)
		}
	}
}

func TestAProblemMustBeOfTheTypesOfItsStatus(t *testing.T) {
	t.Parallel()
	answer := func(kind problem.Type) string {
		p := problem.New(kind, "")
		p.Instance = "urn:request:r1"
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	header := map[string]string{"Content-Type": problem.ContentType, "X-Request-Id": "r1"}
	if faults := exchanged(t, http.MethodPost, "/v1/events", "{}", http.StatusNotFound, header, answer(problem.ObjectNotFound)); faults != nil {
		t.Errorf("got %v", faults)
	}
	if faults := exchanged(t, http.MethodPost, "/v1/events", "{}", http.StatusNotFound, header, answer(problem.NotFound)); len(faults) != 1 {
		t.Errorf("a problem of another type: got %v", faults)
	}
	if faults := exchanged(t, http.MethodGet, "/v1/nowhere", "", http.StatusNotFound, header, answer(problem.NotFound)); faults != nil {
		t.Errorf("a path that is not there: got %v", faults)
	}
}
