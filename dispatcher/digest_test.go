package dispatcher

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/webhook"
)

// gathered keeps what a receiver was posted: bodies by webhook-id, and how often each delivery was in one.
type gathered struct {
	mu     sync.Mutex
	bodies map[string][]string
	of     map[string]int
	alone  int
}

func newGathered() *gathered { return &gathered{bodies: map[string][]string{}, of: map[string]int{}} }

// keep notes a post, and says how many deliveries it was of.
func (g *gathered) keep(t *testing.T, r *http.Request) int {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		// The sender was killed while it wrote.
		return 0
	}
	var b struct {
		Type string `json:"type"`
		Data struct {
			Count  int `json:"count"`
			Events []struct{ ID, Type string }
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		t.Errorf("%v: %s", err, body)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	id := r.Header.Get(headerID)
	g.bodies[id] = append(g.bodies[id], string(body))
	if b.Type != digestType {
		g.alone++
		g.of[id]++
		return 1
	}
	if len(b.Data.Events) != b.Data.Count || b.Data.Count < 2 {
		t.Errorf("a digest of %d has %d events", b.Data.Count, len(b.Data.Events))
	}
	for _, e := range b.Data.Events {
		if e.Type != webhook.EventLinked {
			t.Errorf("an event of a digest has the type %q", e.Type)
		}
		g.of[e.ID]++
	}
	return len(b.Data.Events)
}

func (g *gathered) snapshot() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.of)
}

// TestADigestThatFailsIsTriedAgainAsAWhole has an endpoint fail once. What was gathered comes again under the same id, byte
// for byte, and each delivery has an outcome of its own that names the digest.
func TestADigestThatFailsIsTriedAgainAsAWhole(t *testing.T) {
	t.Parallel()
	const n = 40
	w := newWorld(t, schematest.Kfake(t), true, 1)
	got := newGathered()
	var once sync.Once
	hook := newReceiver(t, func(w http.ResponseWriter, r *http.Request) {
		if got.keep(t, r) > 1 {
			once.Do(func() { w.WriteHeader(http.StatusServiceUnavailable) })
		}
	})
	w.endpoint("digests", hook.URL, func(e *webhook.Endpoint) { e.DigestSeconds = 2 })
	log := w.follow()
	w.events(0, n)
	w.start()
	w.eventually("all have succeeded", func() bool { return len(log.by(webhook.OutcomeSuccess)) == n })
	got.mu.Lock()
	defer got.mu.Unlock()
	if posts := len(got.bodies); posts > 5 {
		t.Errorf("%d events came in %d messages", n, posts)
	}
	again := 0
	for id, bodies := range got.bodies {
		if len(bodies) > 2 || len(bodies) == 2 && bodies[0] != bodies[1] {
			t.Errorf("%s was posted %d times, not always the same", id, len(bodies))
		}
		again += len(bodies) - 1
	}
	if again != 1 {
		t.Errorf("%d digests were tried again, want 1", again)
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	for _, a := range log.all {
		if header := a.RequestHeaders["Webhook-Id"]; a.Digest != "" && a.Digest != header || a.Digest == "" && a.Delivery != header {
			t.Errorf("%s: the attempt names the digest %q, and %q was sent", a.Delivery, a.Digest, header)
		}
	}
}

// TestWhatIsOverTheBudgetOfAChannelIsGathered sends more to a channel than its service takes.
func TestWhatIsOverTheBudgetOfAChannelIsGathered(t *testing.T) {
	t.Parallel()
	const n = 100
	w := newWorld(t, schematest.Kfake(t), true, 1)
	var in inbox
	hook := newReceiver(t, func(_ http.ResponseWriter, r *http.Request) { in.keep(t, r) })
	w.endpoint("slack", hook.URL, func(e *webhook.Endpoint) { e.Format = webhook.FormatSlack })
	log := w.follow()
	w.events(0, n)
	w.start()
	w.eventually("all have succeeded", func() bool { return len(log.by(webhook.OutcomeSuccess)) == n })
	all := in.all()
	if len(all) > n/4 {
		t.Errorf("%d events came in %d messages", n, len(all))
	}
	for _, body := range all {
		checkSlack(t, body)
	}
	for id, outcomes := range log.by("") {
		if outcomes != 1 {
			t.Errorf("%s has %d outcomes", id, outcomes)
		}
	}
}

// TestDigestsLoseAndRepeatNothingThatIsRecordedThoughTheSenderIsKilled is the test of kill -9 for deliveries that are
// gathered: what the log knew at a kill is in no later message.
func TestDigestsLoseAndRepeatNothingThatIsRecordedThoughTheSenderIsKilled(t *testing.T) {
	t.Parallel()
	const n, kills = 600, 2
	w := newWorld(t, schematest.ApacheKafka(t), false, 2)
	got := newGathered()
	hook := newReceiver(t, func(_ http.ResponseWriter, r *http.Request) {
		got.keep(t, r)
		<-time.After(time.Duration(50+rand.IntN(200)) * time.Millisecond)
	})
	rate := 2.0
	w.endpoint("digests", hook.URL, func(e *webhook.Endpoint) { e.DigestSeconds, e.RateLimit = 1, &rate })
	log := w.follow()
	type snapshot struct{ posted, known map[string]int }
	var snapshots []snapshot
	for kill := range kills {
		w.events(kill*n/(kills+1), n/(kills+1))
		child := w.child()
		w.eventually("the child sends", func() bool { return len(got.snapshot()) > kill*n/(kills+1) })
		<-time.After(time.Duration(rand.IntN(300)) * time.Millisecond)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		known := log.by(webhook.OutcomeSuccess)
		snapshots = append(snapshots, snapshot{got.snapshot(), known})
	}
	w.events(kills*n/(kills+1), n/(kills+1))
	w.start()
	w.eventually("everything is recorded", func() bool { return len(log.by(webhook.OutcomeSuccess)) == n })
	all := got.snapshot()
	if len(all) != n {
		t.Errorf("%d deliveries were posted, want %d", len(all), n)
	}
	for kill, at := range snapshots {
		for id, posts := range all {
			if posts > at.posted[id] && at.known[id] > 0 {
				t.Errorf("%s was recorded before kill %d and posted again", id, kill)
			}
		}
	}
	for id, outcomes := range log.by("") {
		if outcomes != 1 {
			t.Errorf("%s has %d outcomes in the log", id, outcomes)
		}
	}
	if got.mu.Lock(); got.alone > n/4 {
		t.Errorf("%d of %d came alone", got.alone, n)
	}
	got.mu.Unlock()
}

func TestADigestIsOfTheIntervalInWhichItsEventsCame(t *testing.T) {
	t.Parallel()
	to := &target{Endpoint: &webhook.Endpoint{DigestSeconds: 60, Ordering: webhook.OrderingNone, Format: webhook.FormatJSON}}
	at := func(s int) *webhook.Delivery {
		return &webhook.Delivery{PlannedAt: event.TimeOf(moment().Add(time.Duration(s) * time.Second))}
	}
	one, due := digestDue(to, at(1), moment())
	two, _ := digestDue(to, at(59), moment())
	next, _ := digestDue(to, at(60), moment())
	if one != two || one == next || !due.Equal(moment().Add(time.Minute)) {
		t.Errorf("got %q, %q, %q, due at %s", one, two, next, due)
	}
	if late, due := digestDue(to, at(1), moment().Add(time.Hour)); late != one || !due.Equal(moment().Add(time.Hour+digestGrace)) {
		t.Errorf("late: %q, due at %s", late, due)
	}
	again := at(1)
	again.Digest = "msg_digest"
	if key, due := digestDue(to, again, moment()); key != "msg_digest" || !due.Equal(moment().Add(digestGrace)) {
		t.Errorf("tried again: %q, due at %s", key, due)
	}
	to.Ordering = webhook.OrderingConversation
	if to.gathers() {
		t.Error("deliveries whose order is kept are gathered")
	}
}

func TestAGroupTakesSoMuchAndALaneHasSoManyInGroups(t *testing.T) {
	t.Parallel()
	d, l := newDigests(), &lane{width: 1}
	j := func(i, bytes int) job {
		return job{delivery: &webhook.Delivery{ID: fmt.Sprintf("msg_%03d", i), Sealed: make([]byte, bytes)}}
	}
	var first *group
	for i := range maxGathered {
		g, begins, ready := d.add(l, "", j(i, 1))
		if g == nil || begins != (i%maxDigest == 0) || ready != (i%maxDigest == maxDigest-1) {
			t.Fatalf("job %d: begins %t, ready %t", i, begins, ready)
		}
		if i == 0 {
			first = g
		}
	}
	if g, _, _ := d.add(l, "", j(0, 1)); g != nil {
		t.Error("a lane has any number of jobs in groups")
	}
	if jobs := d.take(first); len(jobs) != maxDigest || jobs[1].delivery.ID != "msg_001" {
		t.Errorf("%d jobs are taken", len(jobs))
	}
	if jobs := d.take(first); jobs != nil {
		t.Errorf("%d jobs are taken twice", len(jobs))
	}
	one, _, _ := d.add(l, "large", j(1, maxDigestBytes))
	if two, begins, _ := d.add(l, "large", j(2, 1)); two == one || !begins {
		t.Error("a group takes any number of bytes")
	}
}

func TestADigestIsNamedByItsMembers(t *testing.T) {
	t.Parallel()
	if a, b := webhook.DigestID([]string{"x", "y"}), webhook.DigestID([]string{"x", "y"}); a != b {
		t.Error("the same members give another id")
	}
	if webhook.DigestID([]string{"x", "y"}) == webhook.DigestID([]string{"xy"}) || webhook.DigestID([]string{"x"}) == webhook.DigestID([]string{"y"}) {
		t.Error("other members give the same id")
	}
}
