package ingest_test

import (
	"bytes"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/topic"
)

// movable is a clock that a test moves.
type movable struct {
	start time.Time
	moved atomic.Int64
}

func newMovable() *movable { return &movable{start: time.Now()} }

func (m *movable) now() time.Time          { return m.start.Add(time.Duration(m.moved.Load())) }
func (m *movable) advance(d time.Duration) { m.moved.Add(int64(d)) }

func TestOperatorLimitsAKey(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t))
	clock := newMovable()
	e := l.edge(t, func(o *options) { o.now = clock.now })
	e.must(http.StatusOK, http.MethodPut, "/v1/workspaces/acme", adminKey, `{}`)
	limited := e.postKey(adminKey, `{"scopes":["events:write","objects:write","read"],"rateLimitPerSecond":2}`)
	free := e.postKey(adminKey, `{"scopes":["events:write","objects:write","read"],"rateLimitPerSecond":null}`)
	a := e.must(http.StatusOK, http.MethodGet, "/v1/workspaces/acme/api-keys/"+limited.ID, adminKey, "")
	if got := a.member(t, "rateLimitPerSecond"); got != 2.0 {
		t.Errorf("rateLimitPerSecond is %v, want 2", got)
	}
	list := e.must(http.StatusOK, http.MethodGet, "/v1/workspaces/acme/api-keys", adminKey, "")
	if !bytes.Contains(list.body, []byte(`"rateLimitPerSecond":2`)) || !bytes.Contains(list.body, []byte(`"rateLimitPerSecond":null`)) {
		t.Errorf("the list lacks a limit: %s", list.body)
	}
	for _, bad := range []string{"0", "-1", "1e9", "0.0001"} {
		p := e.must(http.StatusUnprocessableEntity, http.MethodPost, "/v1/workspaces/acme/api-keys", adminKey,
			`{"scopes":["read"],"rateLimitPerSecond":`+bad+`}`).problem(t)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != "/rateLimitPerSecond" {
			t.Errorf("%s: faults are %v", bad, p.Errors)
		}
	}

	// A bucket of four: three events and a PUT, and then one more each half second.
	e.must(http.StatusOK, http.MethodPut, c1, limited.Key, `{}`)
	post := func(status int) answer {
		t.Helper()
		return e.must(status, http.MethodPost, "/v1/events", limited.Key, `{"objectType":"CUSTOMER","objectId":"c1","name":"n"}`)
	}
	post(http.StatusOK)
	post(http.StatusOK)
	if got := post(http.StatusOK).header.Get("RateLimit"); got != `"key";r=0;t=2` {
		t.Errorf("RateLimit is %s", got)
	}
	a = post(http.StatusTooManyRequests)
	if p := a.problem(t); p.Type != problem.TooManyRequests || !strings.Contains(p.Detail, "2 items a second") {
		t.Errorf("problem is %+v", p)
	}
	if got := a.header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After is %s, want 1", got)
	}
	e.must(http.StatusTooManyRequests, http.MethodDelete, c1, limited.Key, "")
	e.must(http.StatusOK, http.MethodGet, c1, limited.Key, "") // reads are not counted
	e.must(http.StatusOK, http.MethodPut, c1, free.Key, `{}`)  // nor is another key's
	clock.advance(500 * time.Millisecond)
	post(http.StatusOK)
	post(http.StatusTooManyRequests)

	// A batch that is greater than the bucket is taken, and paid for afterwards.
	clock.advance(2 * time.Second)
	line := `{"objectType":"CUSTOMER","objectId":"c1","name":"n"}` + "\n"
	got := e.must(http.StatusOK, http.MethodPost, eventsBatch, limited.Key, strings.Repeat(line, 20), "Content-Type", ndjson).batch(t)
	if got.Accepted != 20 {
		t.Errorf("accepted %d of 20", got.Accepted)
	}
	// 16 are owed and one is wanted: 8.5 s.
	a = e.must(http.StatusTooManyRequests, http.MethodPost, eventsBatch, limited.Key, line, "Content-Type", ndjson)
	if after := a.header.Get("Retry-After"); after != "9" {
		t.Errorf("Retry-After is %s, want 9", after)
	}
	clock.advance(9 * time.Second)
	post(http.StatusOK)
	if diff := cmp.Diff(25, len(l.read(t, topic.Submissions))); diff != "" {
		t.Errorf("submissions (-want +got):\n%s", diff)
	}
}

func TestEveryKeyHasTheConfiguredLimitUnlessItHasItsOwn(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t))
	clock := newMovable()
	e := l.edge(t, func(o *options) { o.now, o.cfg.RateLimitPerKey = clock.now, 0.5 })
	e.must(http.StatusOK, http.MethodPut, "/v1/workspaces/acme", adminKey, `{}`)
	one, two := e.key("acme"), e.key("acme")
	own := e.postKey(adminKey, `{"scopes":["objects:write"],"rateLimitPerSecond":3}`)
	for _, key := range []string{one, two} {
		e.must(http.StatusOK, http.MethodPut, c1, key, `{}`)
		if a := e.must(http.StatusTooManyRequests, http.MethodPut, c1, key, `{}`); a.header.Get("Retry-After") != "2" {
			t.Errorf("Retry-After is %s, want 2", a.header.Get("Retry-After"))
		}
	}
	for range 6 {
		e.must(http.StatusOK, http.MethodPut, c1, own.Key, `{}`)
	}
	e.must(http.StatusTooManyRequests, http.MethodPut, c1, own.Key, `{}`)
}
