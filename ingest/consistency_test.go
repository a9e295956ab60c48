package ingest_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/schematest"
)

// The tests of this file prove that reads of the registry are exact. They run against the broker of the run: Apache Kafka
// where it is there.

func TestObjectThatOneEdgeAcknowledgedIsNeverUnknownToAnother(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kafka(t))
	one, two := l.edge(t), l.edge(t)
	key := one.key("acme")
	two.eventually(func() bool { return two.do(http.MethodGet, c1, key, "").status == http.StatusNotFound })
	const writers, writes = 4, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range writes {
				from, to := one, two
				if i%2 == 1 {
					from, to = two, one
				}
				id := fmt.Sprintf("w%d-%d", w, i)
				from.expect(http.StatusOK, http.MethodPut, "/v1/objects/CUSTOMER/"+id, key, fmt.Sprintf(`{"externalId":"x-%s"}`, id))
				to.expect(http.StatusOK, http.MethodPost, "/v1/events", key, fmt.Sprintf(`{"objectType":"CUSTOMER","objectId":%q,"name":"n"}`, id))
				to.expect(http.StatusOK, http.MethodPost, "/v1/events", key, fmt.Sprintf(`{"objectType":"CUSTOMER","externalId":"x-%s","name":"n"}`, id))
				to.expect(http.StatusOK, http.MethodGet, "/v1/objects/CUSTOMER/"+id, key, "")
			}
		})
	}
	wg.Wait()
}

// expect is must for goroutines that are not the test's own.
func (e *edge) expect(status int, method, path, key, body string) {
	if a := e.do(method, path, key, body); a.status != status {
		e.t.Errorf("%s %s %s: answered %d, want %d: %s", method, path, body, a.status, status, a.body)
	}
}

func TestEdgeWhoseViewIsPausedSaysSoAndNeverThatAnObjectIsUnknown(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kafka(t))
	one, paused := l.edge(t), l.edge(t, func(o *options) { o.paused = true })
	key := one.key("acme")
	one.must(http.StatusOK, http.MethodPut, c1, key, `{"externalId":"x1"}`)
	paused.eventually(func() bool { return paused.do(http.MethodGet, "/v1/objects", key, "").status == http.StatusBadRequest })
	var wg sync.WaitGroup
	for _, body := range []string{
		`{"objectType":"CUSTOMER","objectId":"c1","name":"n"}`,
		`{"objectType":"CUSTOMER","externalId":"x1","name":"n"}`,
	} {
		wg.Go(func() {
			a := paused.do(http.MethodPost, "/v1/events", key, body)
			if p := a.problem(t); p.Type != problem.Unavailable || a.header.Get("Retry-After") == "" {
				t.Errorf("%s: answered %d %s, want 503 with Retry-After", body, a.status, p.Type)
			}
		})
	}
	// A write does not wait for the view of another edge, and one here is refused before anything was written.
	wg.Go(func() {
		paused.expect(http.StatusServiceUnavailable, http.MethodPut, "/v1/objects/CUSTOMER/c2", key, `{}`)
	})
	wg.Wait()
	one.must(http.StatusNotFound, http.MethodGet, "/v1/objects/CUSTOMER/c2", key, "")
	paused.run()
	paused.must(http.StatusOK, http.MethodPost, "/v1/events", key, `{"objectType":"CUSTOMER","externalId":"x1","name":"n"}`)
	paused.must(http.StatusOK, http.MethodGet, c1, key, "")
}

func TestExternalIDThatWasRePointedOnOneEdgeIsFollowedByAnother(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kafka(t))
	one, two := l.edge(t), l.edge(t)
	key := one.key("acme")
	two.eventually(func() bool { return two.do(http.MethodGet, c1, key, "").status == http.StatusNotFound })
	holder := ""
	for i := range 20 {
		next := fmt.Sprintf("c%d", i%3)
		if holder != "" && holder != next {
			one.must(http.StatusConflict, http.MethodPut, "/v1/objects/CUSTOMER/"+next, key, `{"externalId":"x"}`)
			one.must(http.StatusOK, http.MethodPatch, "/v1/objects/CUSTOMER/"+holder, key, `{"externalId":null}`)
		}
		one.must(http.StatusOK, http.MethodPut, "/v1/objects/CUSTOMER/"+next, key, `{"externalId":"x"}`)
		a := two.must(http.StatusOK, http.MethodPost, "/v1/events", key, `{"objectType":"CUSTOMER","externalId":"x","name":"n"}`)
		if got := a.member(t, "objectId"); got != next {
			t.Fatalf("step %d: the event went to %v, want %s", i, got, next)
		}
		if holder != "" && holder != next {
			two.must(http.StatusUnprocessableEntity, http.MethodPost, "/v1/events", key,
				fmt.Sprintf(`{"objectType":"CUSTOMER","objectId":%q,"externalId":"x","name":"n"}`, holder))
		}
		holder = next
	}
}
