package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/webhook"
)

// endpoint is that of the receiver, which is told of everything that clients do in this run.
const endpoint = "everything"

// receiver is an endpoint of webhooks that always answers. It is reached around the proxies: what it gets twice comes from
// a dispatcher that died or was put out, and from nothing else.
type receiver struct {
	*httptest.Server

	mu sync.Mutex
	// posts counts by webhook-id.
	posts map[string]int
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{posts: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.posts[req.Header.Get("Webhook-Id")]++
		r.mu.Unlock()
		// An attempt that takes a while is one that kills fall into.
		<-time.After(time.Duration(rand.IntN(50)) * time.Millisecond)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) counts() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.posts)
}

// register makes the receiver an endpoint, by whichever dispatcher answers.
func (w *world) register() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), startWithin)
	defer cancel()
	body, err := json.Marshal(map[string]any{
		"url": w.receiver.URL, "events": []string{webhook.EventLinked, webhook.ConversationOpened, webhook.ConversationLabeled},
		"assignedScope": webhook.ScopeAll,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	dispatcher := poster{edges: w.dispatchers, key: w.key}
	if _, err := dispatcher.until(ctx, http.MethodPut, "/v1/webhook-endpoints/"+endpoint, string(body)); err != nil {
		w.t.Fatalf("the endpoint cannot be registered: %v", err)
	}
}

// toldOf is what a row of webhook_attempts is about, in SQL: the id of an event, or that of a conversation with the version.
const toldOf = "if(type = 'event.linked', event_id, concat(subject_id, ':', event_id))"

// told are the ids of what the receiver must be told of, each once: acknowledged events and transitions. The lock of the
// ledger is held.
func (l *ledger) told() map[string]bool {
	all := map[string]bool{}
	for id, e := range l.events {
		if e.acknowledged {
			all[id] = true
		}
	}
	for id, labels := range l.transitions {
		for i := range labels {
			all[fmt.Sprintf("%s:%d", id, i+1)] = true
		}
	}
	return all
}

// wasSent says whether an id is of something that was sent, acknowledged or not. The lock of the ledger is held.
func (l *ledger) wasSent(id string) bool {
	if _, event := l.events[id]; event {
		return true
	}
	conversation, text, found := strings.Cut(id, ":")
	version, err := strconv.Atoi(text)
	// The last transition of a client whose time was over may be there although nobody was told so.
	return found && err == nil && version >= 1 && version <= len(l.transitions[conversation])+1
}

// checkWebhooks expects one delivery of everything that was acknowledged, planned once, recorded once as a success and
// posted; nothing that was never sent; and agreement between the receiver and webhook_attempts.
func (w *world) checkWebhooks(t *testing.T, l *ledger, d *differences) {
	t.Helper()
	if w.receiver == nil {
		return
	}
	var rows []struct {
		ID      string `ch:"delivery_id"`
		Of      string `ch:"of"`
		Planned uint64 `ch:"planned"`
		Success uint64 `ch:"success"`
		Others  uint64 `ch:"others"`
	}
	w.rows(t, &rows, "SELECT delivery_id, "+toldOf+" AS of, countIf(attempt = 0) AS planned, countIf(status = 'SUCCEEDED') AS success, "+
		"countIf(attempt > 0 AND status != 'SUCCEEDED') AS others FROM webhook_attempts WHERE endpoint_id = '"+endpoint+"' GROUP BY ALL")
	posts, open := w.receiver.counts(), l.told()
	total, repeated, failed := 0, 0, uint64(0)
	deliveries := map[string]string{}
	for _, r := range rows {
		n := posts[r.ID]
		other, seen := deliveries[r.Of]
		deliveries[r.Of] = r.ID
		switch {
		case !l.wasSent(r.Of):
			d.add("webhook never sent", "%+v", r)
		case seen:
			d.add("planned twice", "%s is told of in %s and in %s", r.Of, other, r.ID)
		case r.Planned != 1:
			d.add("planned", "%s has %d rows of its plan", r.ID, r.Planned)
		case r.Success > 1 || open[r.Of] && r.Success == 0:
			d.add("recorded", "%s of %s is %d times a success", r.ID, r.Of, r.Success)
		case r.Success == 1 && n == 0:
			d.add("not posted", "%s of %s is recorded as a success", r.ID, r.Of)
		}
		delete(open, r.Of)
		delete(posts, r.ID)
		total += n
		failed += r.Others
		if n > 1 {
			repeated++
		}
	}
	for id := range open {
		d.add("not told", "%s was acknowledged", id)
	}
	for id, n := range posts {
		d.add("posted only", "%s, %d times, has no row", id, n)
	}
	w.note("webhooks: %d deliveries, %d posts, %d deliveries posted more than once, %d failed attempts", len(rows), total, repeated, failed)
}
