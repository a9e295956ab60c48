package dispatcher

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/schematest/golden"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// childEnv holds the configuration of what this binary runs instead of its tests.
const childEnv = "DISPATCHER_TEST_CHILD"

type childConfig struct {
	Kafka  stream.Config
	Tables store.Config
	Dir    string
	// Instance is another one for each of several that run at once.
	Instance string
	// Rate is that of replays.
	Rate int
}

func runChild() int {
	var c childConfig
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	// Ends by being killed; the time is a bound for the case that the parent died first.
	// It is no deadline, which the driver would make a limit of time that ClickHouse's profile of readers refuses.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer time.AfterFunc(2*patience, cancel).Stop()
	log := slog.New(slog.DiscardHandler)
	master, err := seal.ParseMaster(golden.MasterKey)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	producer, err := stream.NewProducer(c.Kafka, stream.ProducerConfig{}, stream.Deps{Log: log})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	cfg := testConfig(c.Dir)
	cfg.ReplayRate, cfg.Instance = c.Rate, c.Instance
	s, err := service(c.Kafka, c.Tables, cfg, master, producer, log)
	if err == nil {
		err = s.Run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (w *world) child() *exec.Cmd { return w.childNamed("test") }

// childNamed starts one of several.
func (w *world) childNamed(instance string) *exec.Cmd {
	w.t.Helper()
	raw, err := json.Marshal(childConfig{w.kafka, w.tables, filepath.Join(w.cfg.Dir, instance), instance, w.cfg.ReplayRate})
	if err != nil {
		w.t.Fatal(err)
	}
	child := exec.CommandContext(w.t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+string(raw))
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		w.t.Fatal(err)
	}
	return child
}

// receiver counts what it gets by delivery.
type receiver struct {
	*httptest.Server

	mu    sync.Mutex
	posts map[string]int
}

func newReceiver(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *receiver {
	t.Helper()
	r := &receiver{posts: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.posts[req.Header.Get(headerID)]++
		r.mu.Unlock()
		answer(w, req)
	}))
	t.Cleanup(func() {
		r.CloseClientConnections()
		r.Close()
	})
	return r
}

func (r *receiver) counts() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.posts)
}

// attempts follows the committed attempts of the log.
type attempts struct {
	mu  sync.Mutex
	all []*webhook.Attempt
}

func (w *world) follow() *attempts {
	w.t.Helper()
	a := &attempts{}
	cl, err := stream.Open(w.kafka, slog.New(slog.DiscardHandler), nil, kgo.ConsumeTopics(w.kafka.Topic(topic.WebhookAttempts)),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				got, err := webhook.ParseAttempt(r.Value)
				if err != nil {
					return
				}
				a.mu.Lock()
				defer a.mu.Unlock()
				a.all = append(a.all, got)
			})
		}
	}()
	w.t.Cleanup(func() {
		cancel()
		<-done
		cl.Close()
		if w.t.Failed() {
			a.tell(w.t)
		}
	})
	return a
}

// tell says what is in the log, for a test that failed.
func (a *attempts) tell(t *testing.T) {
	t.Helper()
	t.Logf("%d deliveries have an attempt in the log, %d of them a success", len(a.by("")), len(a.by(webhook.OutcomeSuccess)))
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, at := range a.all {
		if at.Outcome != webhook.OutcomeSuccess {
			t.Logf("attempt %d of %s at %v: %s, status %d, %q, next at %v", at.Number, at.Delivery, at.At, at.Outcome, at.StatusCode, at.Error, at.NextAt)
		}
	}
}

// by counts the attempts of each delivery that ended as wanted; of any outcome where that is empty.
func (a *attempts) by(outcome webhook.Outcome) map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := map[string]int{}
	for _, at := range a.all {
		if outcome == "" || at.Outcome == outcome {
			n[at.Delivery]++
		}
	}
	return n
}

// last is the last attempt of a delivery.
func (a *attempts) last(id string) *webhook.Attempt {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found webhook.Attempt
	for _, at := range a.all {
		if at.Delivery == id && at.Outcome != "" {
			found = *at
		}
	}
	return &found
}

// TestWhatIsRecordedIsNeverPostedAgainThoughTheSenderIsKilled kills the process with SIGKILL while it sends, and starts it
// again each time. Nothing is missing; every delivery has one outcome in the log; and what is posted twice was in flight
// at a kill: it was not recorded.
func TestWhatIsRecordedIsNeverPostedAgainThoughTheSenderIsKilled(t *testing.T) {
	t.Parallel()
	const n, kills = 400, 3
	w := newWorld(t, schematest.ApacheKafka(t), false, 2)
	slow := newReceiver(t, func(http.ResponseWriter, *http.Request) {
		<-time.After(time.Duration(20+rand.IntN(60)) * time.Millisecond)
	})
	w.endpoint("slow", slow.URL)
	log := w.follow()
	w.events(0, n)
	type snapshot struct{ posted, known map[string]int }
	var snapshots []snapshot
	for kill := range kills {
		child := w.child()
		w.eventually("the child sends", func() bool { return len(slow.counts()) > (kill+1)*n/8 })
		<-time.After(time.Duration(rand.IntN(200)) * time.Millisecond)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		// What the log knows by now is finished: it must not be posted once more.
		before, known := slow.counts(), log.by(webhook.OutcomeSuccess)
		snapshots = append(snapshots, snapshot{before, known})
	}
	w.start()
	w.eventually("everything is recorded", func() bool { return len(log.by(webhook.OutcomeSuccess)) == n })
	if got := len(slow.counts()); got != n {
		t.Errorf("%d deliveries were posted, want %d", got, n)
	}
	for kill, at := range snapshots {
		for id, posts := range slow.counts() {
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
}

// TestADeadEndpointDelaysNobodyElse has all deliveries in one partition. Those of an endpoint that never answers hang until
// the test is over, and all the others are there before.
func TestADeadEndpointDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	const n = 300
	w := newWorld(t, schematest.Kfake(t), true, 1)
	over := make(chan struct{})
	dead := newReceiver(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-over:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(over) })
	failing := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	healthy := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	w.endpoint("dead", dead.URL)
	w.endpoint("failing", failing.URL)
	w.endpoint("healthy", healthy.URL)
	log := w.follow()
	w.events(0, n)
	w.start()
	w.eventually("the healthy endpoint has everything", func() bool { return len(healthy.counts()) == n })
	w.eventually("it is recorded", func() bool { return len(log.by(webhook.OutcomeSuccess)) == n })
	if len(dead.counts()) == 0 {
		t.Error("nothing was sent to the dead endpoint")
	}
	if got := len(failing.counts()); got > 50 {
		t.Errorf("%d deliveries were sent to an endpoint that fails; its breaker should have opened", got)
	}
	for id, posts := range healthy.counts() {
		if posts != 1 {
			t.Errorf("%s was posted %d times", id, posts)
		}
	}
}
