package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// edge stands for the write side where it does what is hard to make it do: having no room, being late, refusing. It keeps
// to the protocol of batches as the API describes it.
type edge struct {
	t      *testing.T
	server *httptest.Server

	mu sync.Mutex
	// steps are those that were accepted, by conversation, in order and without repeats.
	steps map[string][]step
	// objects are those that were written.
	objects []upsert
	// item is the status of an item, nil for always accepted. It is called with the lock held.
	item func(s step) int
}

func newEdge(t *testing.T) *edge {
	t.Helper()
	e := &edge{t: t, steps: make(map[string][]step)}
	e.server = httptest.NewServer(http.HandlerFunc(e.serve))
	t.Cleanup(e.server.Close)
	return e
}

func (e *edge) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Content-Type") != "application/x-ndjson" || r.Header.Get("Authorization") != "Bearer k" {
		e.t.Errorf("a request is %s %v, %v", r.URL, r.Header, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var results []string
	seen := make(map[string]bool)
	for text := range bytes.Lines(body) {
		status, changed := http.StatusOK, true
		switch r.URL.Path {
		case "/v1/objects/batch":
			var o upsert
			check(e.t, json.Unmarshal(text, &o))
			e.objects = append(e.objects, o)
		case "/v1/conversations/batch":
			var s step
			check(e.t, json.Unmarshal(text, &s))
			if seen[s.ConversationID] {
				e.t.Errorf("a batch has two steps of %s", s.ConversationID)
			}
			seen[s.ConversationID] = true
			status, changed = e.take(s)
		default:
			e.t.Errorf("a request is to %s", r.URL)
		}
		problem := ""
		if status != http.StatusOK && status != http.StatusAccepted {
			problem = fmt.Sprintf(`,"problem":{"title":"No","status":%d,"detail":"said no"}`, status)
		}
		results = append(results, fmt.Sprintf(`{"index":%d,"status":%d,"changed":%v%s}`, len(results), status, changed, problem))
	}
	_, _ = fmt.Fprintf(w, `{"accepted":0,"rejected":0,"position":"p","results":[%s]}`, strings.Join(results, ","))
}

// take accepts a step unless it is refused.
func (e *edge) take(s step) (status int, changed bool) {
	if e.item != nil {
		status = e.item(s)
	}
	if status != 0 && status != http.StatusAccepted {
		return status, false
	}
	for _, have := range e.steps[s.ConversationID] {
		if have.ID == s.ID {
			return http.StatusOK, false
		}
	}
	e.steps[s.ConversationID] = append(e.steps[s.ConversationID], s)
	return max(status, http.StatusOK), true
}

func (e *edge) config() Config {
	cfg := DefaultConfig()
	cfg.URL, cfg.Key, cfg.Patience = e.server.URL, "k", time.Minute
	return cfg
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// callsOf are n calls at a bank that has two agents, one call a minute.
func callsOf(n int) []Call {
	calls := make([]Call, n)
	for i := range calls {
		opened := at("08:00:00").Add(time.Duration(i) * time.Minute)
		calls[i] = Call{
			ID: fmt.Sprintf("990201-AA0101-%d", i), Customer: strconv.Itoa(1 + i%7), Service: "PS", Outcome: "AGENT",
			Agent: []string{"TOVA", "DORIT"}[i%2], Opened: opened, Queued: opened.Add(5 * time.Second),
			Responded: opened.Add(65 * time.Second), Closed: opened.Add(3 * time.Minute),
		}
	}
	return calls
}
