package ingest_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/topic"
)

// outageEnv says how long the broker is away, as a Go duration.
const outageEnv = "OUTAGE"

func outage(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv(outageEnv)
	if text == "" {
		return 12 * time.Second
	}
	d, err := time.ParseDuration(text)
	check(t, err)
	return d
}

// attempt is one event that was posted once, and what the answer said of it.
type attempt struct {
	id    string
	start time.Time
	took  time.Duration
	said  string
}

// What answers say of an event.
const (
	saidDurable = "durable"
	saidNothing = "nothing was done"
	saidUnknown = "may have been accepted"
)

// load posts events, each once and under an id of its own, at a steady pace whether they are answered or not.
type load struct {
	e   *edge
	key string

	mu       sync.Mutex
	attempts []attempt
	running  sync.WaitGroup
}

func (l *load) run(ctx context.Context, pace time.Duration) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
			l.running.Go(func() { l.post(n) })
		case <-ctx.Done():
			l.running.Wait()
			return
		}
	}
}

// post posts the n-th event. Every third names its object by external id, which needs an answer of the log before
// anything is written.
func (l *load) post(n int) {
	by := fmt.Sprintf(`"objectId":"c%d"`, n%20)
	if n%3 == 0 {
		by = fmt.Sprintf(`"externalId":"x%d"`, n%20)
	}
	a := attempt{id: fmt.Sprintf("e%d", n), start: time.Now()}
	body := fmt.Sprintf(`{"objectType":"CUSTOMER",%s,"name":"n","id":%q,"payload":{"fill":%q}}`, by, a.id, strings.Repeat("x", 16<<10))
	got := l.e.do(http.MethodPost, "/v1/events", l.key, body)
	a.took = time.Since(a.start)
	switch {
	case got.status == http.StatusOK:
		a.said = saidDurable
	case got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "":
		l.e.t.Errorf("%s: answered %d with Retry-After %q: %s", a.id, got.status, got.header.Get("Retry-After"), got.body)
	case strings.Contains(string(got.body), saidUnknown):
		a.said = saidUnknown
	case strings.Contains(string(got.body), saidNothing):
		a.said = saidNothing
	default:
		l.e.t.Errorf("%s: the answer does not say what became of it: %s", a.id, got.body)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempts = append(l.attempts, a)
}

// durable counts those that were begun after a time.
func (l *load) durable(after time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, a := range l.attempts {
		if a.said == saidDurable && a.start.After(after) {
			n++
		}
	}
	return n
}

// TestABrokerThatIsAwayLosesNothingAcknowledgedAndTheRestIsRefusedQuickly kills the only broker with SIGKILL under load
// and starts it again after a while (OUTAGE, 12 s if that is not set).
func TestABrokerThatIsAwayLosesNothingAcknowledgedAndTheRestIsRefusedQuickly(t *testing.T) {
	t.Parallel()
	const (
		pace = 20 * time.Millisecond
		// settled is when everything that had been sent before is known not to come back: the stall time, the wait for
		// the registry, and as much for a slow machine.
		settled = 5 * time.Second
		quick   = time.Second
		// growth is what a minute of requests that pile up would exceed several times over. Other tests run meanwhile.
		growth = 256 << 20
	)
	cluster := schematest.ApacheCluster(t, 1)
	l := newLog(t, cluster.Brokers)
	e := l.edge(t)
	key := e.key("acme")
	for i := range 20 {
		e.must(http.StatusOK, http.MethodPut, fmt.Sprintf("/v1/objects/CUSTOMER/c%d", i), key, fmt.Sprintf(`{"externalId":"x%d"}`, i))
	}
	before := heap()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	w := &load{e: e, key: key}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.run(ctx, pace)
	}()
	peak := watchHeap(ctx)
	within(t, 60*time.Second, func() bool { return w.durable(time.Time{}) >= 100 })

	check(t, cluster.Kill(0))
	killed := time.Now()
	away := outage(t)
	select {
	case <-time.After(away):
	case <-t.Context().Done():
	}
	restarting := time.Now()
	check(t, cluster.Restart(context.WithoutCancel(t.Context()), 0))
	back := time.Now()
	within(t, 60*time.Second, func() bool { return w.durable(back) > 0 })
	t.Logf("the broker was away for %s; events were accepted again %s later", back.Sub(killed), time.Since(back))
	stop()
	<-ended
	grown := <-peak - before
	t.Logf("the heap grew by %d MiB", grown>>20)
	if grown > growth {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}

	said := map[string]int{}
	var waits []time.Duration
	for _, a := range w.attempts {
		said[a.said]++
		if a.start.After(killed.Add(settled)) && a.start.Before(restarting) {
			waits = append(waits, a.took)
		}
	}
	slices.Sort(waits)
	if len(waits) < 100 {
		t.Fatalf("%d requests were made while the broker was away", len(waits))
	}
	t.Logf("answers: %v; while the broker was away the median took %s, the 90th percentile %s, the last %s",
		said, waits[len(waits)/2], waits[len(waits)*9/10], waits[len(waits)-1])
	if p90 := waits[len(waits)*9/10]; p90 > quick {
		t.Errorf("a tenth of the requests waited for more than %s, want %s", p90, quick)
	}
	for _, want := range []string{saidDurable, saidNothing, saidUnknown} {
		if said[want] == 0 {
			t.Errorf("no answer said %q: %v", want, said)
		}
	}
	l.holdsWhatWasSaid(t, w.attempts)
}

// watchHeap samples the heap until the context ends, and then gives its greatest size.
func watchHeap(ctx context.Context) <-chan int64 {
	peak := make(chan int64, 1)
	go func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		var most int64
		for {
			select {
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, int64(m.HeapAlloc))
			case <-ctx.Done():
				peak <- most
				return
			}
		}
	}()
	return peak
}

// holdsWhatWasSaid compares the log with the answers: what was acknowledged is there, once; what was refused is not;
// what nobody knew is there once or not at all.
func (l *log) holdsWhatWasSaid(t *testing.T, attempts []attempt) {
	t.Helper()
	times := map[string]int{}
	for _, r := range l.read(t, topic.Submissions) {
		sub, err := event.ParseSubmission(r.Value)
		check(t, err)
		times[sub.ID]++
	}
	wrong := map[string]string{}
	for _, a := range attempts {
		n := times[a.id]
		delete(times, a.id)
		ok := n == 1 && a.said != saidNothing || n == 0 && a.said != saidDurable
		if !ok {
			wrong[a.id] = fmt.Sprintf("%s, and %d times in the log", a.said, n)
		}
	}
	if diff := cmp.Diff(map[string]string{}, wrong); diff != "" {
		t.Errorf("answers that the log contradicts (-want +got):\n%.2000s", diff)
	}
	if len(times) > 0 {
		t.Errorf("the log has events that nobody posted: %v", times)
	}
}
