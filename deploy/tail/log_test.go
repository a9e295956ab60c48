package tail

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/throughline/throughline/deploy/client"
)

// eventLog answers as the event log does: newest first by (receivedAt, id), in pages whose cursors are keys.
type eventLog struct {
	server *httptest.Server
	// now is the server's clock.
	now func() time.Time

	mu       sync.Mutex
	rows     []stored
	requests int
	// before may answer a request itself; it says so.
	before func(request int, w http.ResponseWriter, r *http.Request) bool
}

type stored struct {
	id               string
	received, stored time.Time
}

func (s stored) compare(o stored) int {
	return cmp.Or(o.received.Compare(s.received), cmp.Compare(o.id, s.id))
}

func newLog(t *testing.T) *eventLog {
	t.Helper()
	l := &eventLog{now: time.Now}
	l.server = httptest.NewServer(http.HandlerFunc(l.serve))
	t.Cleanup(l.server.Close)
	return l
}

func (l *eventLog) config() Config {
	return Config{URL: l.server.URL, Key: "k", Follow: true, Late: time.Minute}
}

// add stores rows, received some time ago.
func (l *eventLog) add(ago time.Duration, ids ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for _, id := range ids {
		l.rows = append(l.rows, stored{id, now.Add(-ago).Truncate(time.Millisecond), now})
	}
	slices.SortFunc(l.rows, stored.compare)
}

func (l *eventLog) serve(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	if l.before != nil && l.before(l.requests, w, r) {
		return
	}
	q := r.URL.Query()
	limit, err := strconv.Atoi(q.Get("limit"))
	from, fromErr := time.Parse(time.RFC3339Nano, q.Get("from"))
	if err != nil || (fromErr != nil && q.Has("from")) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	at := 0
	if cursor := q.Get("cursor"); cursor != "" {
		millis, id, _ := strings.Cut(cursor, " ")
		ms, _ := strconv.ParseInt(millis, 10, 64)
		place, found := slices.BinarySearchFunc(l.rows, stored{id: id, received: time.UnixMilli(ms)}, stored.compare)
		at = place
		if found {
			at++
		}
	}
	data := []string{}
	next := "null"
	for _, s := range l.rows[at:] {
		if s.received.Before(from) {
			break
		}
		if len(data) == limit {
			next = strconv.Quote(next)
			break
		}
		id, _ := json.Marshal(s.id) // a string can always be written
		data = append(data, fmt.Sprintf(`{"id":%s,"name":"n","objectType":"CUSTOMER","objectId":"c","receivedAt":%q,"storedAt":%q,"links":[{"link":"primary"}]}`,
			id, s.received.UTC().Format(time.RFC3339Nano), s.stored.UTC().Format(time.RFC3339Nano)))
		next = fmt.Sprintf("%d %s", s.received.UnixMilli(), s.id)
	}
	if !strings.HasPrefix(next, `"`) {
		next = "null"
	}
	_, _ = fmt.Fprintf(w, `{"data":[%s],"nextCursor":%s,"asOf":%q}`, strings.Join(data, ","), next, l.now().UTC().Format(time.RFC3339Nano))
}

// follower makes a follower that a test steps itself, and a function that takes the ids that it has printed since.
func (l *eventLog) follower(t *testing.T, cfg Config, p pace) (*follower, func() []string) {
	t.Helper()
	api, err := client.New(client.Config{URL: cfg.URL, Key: cfg.Key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	var out bytes.Buffer
	cfg.JSON = true
	f := &follower{api: api, cfg: cfg, pace: p, out: &out, query: cfg.query(), seen: make(map[identity]time.Time)}
	return f, func() []string {
		all := ids(t, out.String())
		out.Reset()
		return all
	}
}

// ids are those of events that were printed as JSON.
func ids(t *testing.T, printed string) []string {
	t.Helper()
	var all []string
	for text := range strings.Lines(printed) {
		var r row
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		all = append(all, r.ID)
	}
	return all
}

// numbered are ids that sort as their numbers do.
func numbered(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%05d", prefix, i)
	}
	return all
}

func small() pace {
	return pace{poll: 2 * time.Millisecond, sweep: 10 * time.Millisecond, first: 2, page: 5, held: 20}
}

// asked is how many requests were answered.
func (l *eventLog) asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests
}
