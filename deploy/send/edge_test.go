package send

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// edge stands for the write side where it does what is hard to make it do: being full, breaking connections, refusing.
// It keeps to the protocol of batches as the API describes it.
type edge struct {
	t      *testing.T
	server *httptest.Server

	mu sync.Mutex
	// requests counts those that came, lines all items of batches that were taken.
	requests, lines int
	// arrived are the items that were accepted, in order, without repeats of an id.
	arrived []row
	known   map[string]bool

	// before may answer a request itself; it says so. item is the status of an item, 0 for accepted.
	before func(request int, w http.ResponseWriter, items []row) bool
	item   func(request int, r row) int
	// after is called once a batch was taken; it may break the connection.
	after func(request int)
}

// row is an item as tests write it.
type row struct {
	ID         string `json:"id"`
	ObjectType string `json:"objectType"`
	ObjectID   string `json:"objectId"`
	Name       string `json:"name"`
}

func newEdge(t *testing.T) *edge {
	t.Helper()
	e := &edge{t: t, known: make(map[string]bool)}
	e.server = httptest.NewServer(http.HandlerFunc(e.serve))
	t.Cleanup(e.server.Close)
	return e
}

// takeAll has the edge take every request from now on. Those of a run that was cut off may still be under way.
func (e *edge) takeAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.before = nil
}

// acceptAll has it accept every item, too.
func (e *edge) acceptAll() {
	e.takeAll()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.item = nil
}

// counts are the requests that came and the items of batches that were taken.
func (e *edge) counts() (requests, lines int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.requests, e.lines
}

func (e *edge) serve(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") != "application/x-ndjson" || r.URL.RawQuery != "results=rejected" {
		e.t.Errorf("a request is %s %s", r.URL, r.Header.Get("Content-Type"))
	}
	z, err := zstd.NewReader(r.Body)
	if err != nil {
		e.t.Error(err)
		return
	}
	defer z.Close()
	body, err := io.ReadAll(z)
	if err != nil {
		return // the client has gone
	}
	var items []row
	var good []bool
	for text := range bytes.Lines(body) {
		var i row
		good = append(good, json.Unmarshal(text, &i) == nil)
		items = append(items, i)
	}
	e.mu.Lock()
	e.requests++
	request, before := e.requests, e.before
	e.mu.Unlock()
	if before != nil && before(request, w, items) {
		return
	}
	var results []string
	e.mu.Lock()
	for n, i := range items {
		status := http.StatusBadRequest
		if good[n] {
			status = 0
			if e.item != nil {
				status = e.item(request, i)
			}
		}
		if status != 0 {
			results = append(results, fmt.Sprintf(
				`{"index":%d,"status":%d,"problem":{"title":"No","status":%d,"detail":"said no","errors":[{"pointer":"/name","detail":"bad"}]}}`,
				n, status, status))
			continue
		}
		e.lines++
		if i.ID == "" || !e.known[i.ID] {
			e.known[i.ID] = true
			e.arrived = append(e.arrived, i)
		}
	}
	e.mu.Unlock()
	if e.after != nil {
		e.after(request)
	}
	_, _ = fmt.Fprintf(w, `{"accepted":%d,"rejected":%d,"position":"p%d","results":[%s]}`,
		len(items)-len(results), len(results), request, strings.Join(results, ","))
}

// names are those of the items that arrived.
func (e *edge) names() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var names []string
	for _, r := range e.arrived {
		names = append(names, r.Name)
	}
	return names
}

// byObject are the names of the items that arrived, by object.
func (e *edge) byObject() map[string][]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make(map[string][]string)
	for _, r := range e.arrived {
		all[r.ObjectID] = append(all[r.ObjectID], r.Name)
	}
	return all
}

// config sends a file of some lines to the edge.
func (e *edge) config(lines string) Config {
	e.t.Helper()
	path := filepath.Join(e.t.TempDir(), "in.ndjson")
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		e.t.Fatal(err)
	}
	return Config{Files: []string{path}, URL: e.server.URL, Key: "k", Parallel: 4, Patience: time.Minute}
}

// small are limits with which a short file makes many batches.
func small() limits {
	l := standardLimits()
	l.lines, l.save, l.linger = 10, time.Millisecond, 5*time.Millisecond
	return l
}

// eventLine is a line; n is its name too.
func eventLine(object string, n int) string {
	return fmt.Sprintf(`{"objectType":"CUSTOMER","objectId":%q,"name":"%d"}`+"\n", object, n)
}

// events are n lines about a few objects.
func events(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(eventLine(fmt.Sprintf("c%d", i*i%7), i))
	}
	return b.String()
}

// mustSend runs a configuration that must succeed.
func mustSend(t *testing.T, cfg Config, l limits) (Totals, string) {
	t.Helper()
	var out bytes.Buffer
	totals, err := runWith(t.Context(), cfg, Deps{Stdout: io.Discard, Stderr: &out}, l)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return totals, out.String()
}

// refusedLines reads a file of refusals.
func refusedLines(t *testing.T, cfg Config) []refusal {
	t.Helper()
	data, err := os.ReadFile(cfg.Files[0] + refusedSuffix)
	if err != nil {
		t.Fatal(err)
	}
	var all []refusal
	for text := range bytes.Lines(data) {
		var r refusal
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		all = append(all, r)
	}
	return all
}
