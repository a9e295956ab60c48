package dispatcher

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/webhook"
)

// pauseTime is longer than a session lasts without heartbeats: who is paused is thrown out of its groups.
const pauseTime = 12 * time.Second

// TestReceiverAndLogAgreeThoughProcessesAndBrokerAreKilled has two processes that plan and send, under load. They are killed
// with SIGKILL, paused until their groups have given them up, and joined by a third; the broker is killed as well. Nothing
// is missing, everything is planned once and has one success, and what the log knew before a fault is never posted again.
func TestReceiverAndLogAgreeThoughProcessesAndBrokerAreKilled(t *testing.T) {
	t.Parallel()
	const batches, batch = 12, 50
	cluster := schematest.ApacheCluster(t, 1)
	w := newWorld(t, cluster.Brokers, false, 2)
	var mu sync.Mutex
	failed := map[string]bool{}
	hooks := newReceiver(t, func(rw http.ResponseWriter, r *http.Request) {
		<-time.After(time.Duration(rand.IntN(40)) * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		if id := r.Header.Get(headerID); !failed[id] && rand.IntN(20) == 0 {
			failed[id] = true
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	w.endpoint("crm", hooks.URL)
	w.endpoint("erp", hooks.URL, func(e *webhook.Endpoint) { e.Events = []string{webhook.EventLinked} })
	log := w.follow()
	children := map[string]*exec.Cmd{"a": w.childNamed("a"), "b": w.childNamed("b")}
	type snapshot struct {
		fault         string
		posted, known map[string]int
	}
	var snapshots []snapshot
	note := func(fault string) {
		// What is recorded is read first: what is posted meanwhile is no fault of ours.
		known := log.by(webhook.OutcomeSuccess)
		snapshots = append(snapshots, snapshot{fault, hooks.counts(), known})
	}
	kill := func(name string) {
		note("kill of " + name)
		if err := children[name].Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = children[name].Wait()
	}
	faults := []func(){
		func() { kill("a"); children["a"] = w.childNamed("a") },
		func() {
			note("pause of b")
			if err := children["b"].Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			<-time.After(pauseTime)
			if err := children["b"].Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
		},
		func() {
			note("kill of the broker")
			if err := cluster.Kill(0); err != nil {
				t.Fatal(err)
			}
			if err := cluster.Restart(context.WithoutCancel(t.Context()), 0); err != nil {
				t.Fatal(err)
			}
		},
		func() { note("a third comes"); children["c"] = w.childNamed("c") },
		func() { kill("b") },
		func() { kill("a"); children["a"] = w.childNamed("a") },
	}
	for i := range batches {
		w.events(i*batch, batch)
		if i%2 == 1 {
			before := len(hooks.counts())
			w.eventually("deliveries are made", func() bool { return len(hooks.counts()) >= min(before+20, 2*batch*(i+1)) })
			faults[i/2]()
		}
	}
	const all = 2 * batches * batch
	w.eventually("everything is recorded", func() bool { return len(log.by(webhook.OutcomeSuccess)) == all })
	posts, recorded := hooks.counts(), log.by("")
	if len(posts) != all {
		t.Errorf("%d deliveries were posted, want %d", len(posts), all)
	}
	for _, at := range snapshots {
		for id, n := range posts {
			if at.known[id] > 0 && n > at.posted[id] {
				t.Errorf("%s was recorded before the %s and posted again", id, at.fault)
			}
		}
	}
	repeated := 0
	for id, n := range posts {
		// An attempt that is not in the log was under way when its process was killed, paused or cut off.
		if n < recorded[id] {
			t.Errorf("%s was posted %d times and has %d attempts in the log", id, n, recorded[id])
		}
		if n > recorded[id]+len(faults) {
			t.Errorf("%s was posted %d times and has only %d attempts in the log", id, n, recorded[id])
		}
		repeated += n - recorded[id]
	}
	for id, n := range log.by(webhook.OutcomeSuccess) {
		if n != 1 {
			t.Errorf("%s has %d successes in the log", id, n)
		}
	}
	planned := w.announced()
	for id := range planned {
		planned[id]--
	}
	maps.DeleteFunc(planned, func(_ string, n int) bool { return n == 0 })
	if diff := cmp.Diff(map[string]int{}, planned); diff != "" {
		t.Errorf("planned more than once: %s", diff)
	}
	t.Logf("%d deliveries, %d failed once, %d posts more than the log has attempts", all, len(failed), repeated)
}
