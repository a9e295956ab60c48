package dispatcher

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/webhook"
)

// faultSeedVar repeats a run of TestReceiverAndLogAgreeThoughProcessesAndBrokerAreKilled: it prints its seed.
const faultSeedVar = "DISPATCHER_FAULTS_SEED"

// pauseTime is longer than a session lasts without heartbeats: who is paused is thrown out of its groups.
const pauseTime = 12 * time.Second

// faultKind is something that happens to a process, or to the broker.
type faultKind string

const (
	// faultKill kills a process, which is started again at once; faultLeave kills one that does not come back.
	faultKill  faultKind = "kill"
	faultLeave faultKind = "leave"
	// faultPause stops a process until its groups have given it up.
	faultPause  faultKind = "pause"
	faultJoin   faultKind = "join"
	faultBroker faultKind = "broker"
)

// fault is what happens, to the process of a number among those that live then, when some more deliveries have been made.
type fault struct {
	kind  faultKind
	which int
	after int
}

// planFaults makes the faults of a seed: the same for the same seed, and each kind once at least.
func planFaults(seed uint64) []fault {
	random := rand.New(rand.NewPCG(seed, 0))
	var plan []fault
	for _, kind := range []faultKind{faultKill, faultKill, faultLeave, faultPause, faultJoin, faultBroker} {
		plan = append(plan, fault{kind, random.IntN(6), 5 + random.IntN(40)})
	}
	random.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	return plan
}

// faultSeed is that of the environment, or another one each time.
func faultSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv(faultSeedVar)
	if text == "" {
		return rand.Uint64() % 1_000_000
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", faultSeedVar, err)
	}
	return seed
}

func TestFaultsFollowFromTheirSeed(t *testing.T) {
	t.Parallel()
	if a, b := planFaults(7), planFaults(7); !slices.Equal(a, b) {
		t.Errorf("the same seed gives %v and %v", a, b)
	}
	if a, b := planFaults(7), planFaults(8); slices.Equal(a, b) {
		t.Errorf("two seeds give %v", a)
	}
}

// battlefield is what faults happen to, and what was known when they did.
type battlefield struct {
	*world

	cluster   *schematest.Cluster
	hooks     *receiver
	log       *attempts
	children  map[string]*exec.Cmd
	started   int
	snapshots []snapshot
}

// snapshot is what was posted, and what of it the log knew, right before a fault.
type snapshot struct {
	fault         string
	posted, known map[string]int
}

// join runs one process more.
func (b *battlefield) join() {
	b.started++
	name := "p" + strconv.Itoa(b.started)
	b.children[name] = b.childNamed(name)
}

// strike has a fault happen.
func (b *battlefield) strike(f fault) {
	b.t.Helper()
	names := slices.Sorted(maps.Keys(b.children))
	name := names[f.which%len(names)]
	// What is recorded is read first: what is posted meanwhile is no fault of ours.
	known := b.log.by(webhook.OutcomeSuccess)
	b.snapshots = append(b.snapshots, snapshot{string(f.kind) + " " + name, b.hooks.counts(), known})
	must := func(err error) {
		b.t.Helper()
		if err != nil {
			b.t.Fatal(err)
		}
	}
	switch f.kind {
	case faultKill, faultLeave:
		must(b.children[name].Process.Kill())
		_ = b.children[name].Wait()
		delete(b.children, name)
		if f.kind == faultKill {
			b.children[name] = b.childNamed(name)
		}
	case faultPause:
		must(b.children[name].Process.Signal(syscall.SIGSTOP))
		<-time.After(pauseTime)
		must(b.children[name].Process.Signal(syscall.SIGCONT))
	case faultJoin:
		b.join()
	case faultBroker:
		must(b.cluster.Kill(0))
		must(b.cluster.Restart(context.WithoutCancel(b.t.Context()), 0))
	}
}

// TestReceiverAndLogAgreeThoughProcessesAndBrokerAreKilled has two processes that plan and send, under load. They are killed
// with SIGKILL, paused until their groups have given them up, joined and left; the broker is killed as well. What happens to
// whom, in which order and when follows from a seed. Nothing is missing, everything is planned once and has one success, and
// what the log knew before a fault is never posted again.
func TestReceiverAndLogAgreeThoughProcessesAndBrokerAreKilled(t *testing.T) {
	t.Parallel()
	seed := faultSeed(t)
	plan := planFaults(seed)
	t.Logf("%s=%d repeats these faults: %v", faultSeedVar, seed, plan)
	const each, batch = 2, 50
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
	b := &battlefield{world: w, cluster: cluster, hooks: hooks, log: log, children: map[string]*exec.Cmd{}}
	b.join()
	b.join()
	for i, f := range plan {
		sent := i * each * batch
		w.events(sent, batch)
		before := len(hooks.counts())
		w.events(sent+batch, batch)
		w.eventually("deliveries are made", func() bool { return len(hooks.counts()) >= min(before+f.after, 2*(sent+each*batch)) })
		b.strike(f)
	}
	all := 2 * len(plan) * each * batch
	w.eventually("everything is recorded", func() bool { return len(log.by(webhook.OutcomeSuccess)) == all })
	b.agree(all)
}

// agree compares the receiver's log with the attempts, and says what was posted more often than the log has attempts.
func (b *battlefield) agree(all int) {
	t := b.t
	t.Helper()
	posts, recorded := b.hooks.counts(), b.log.by("")
	if len(posts) != all {
		t.Errorf("%d deliveries were posted, want %d", len(posts), all)
	}
	for _, at := range b.snapshots {
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
		if n > recorded[id]+len(b.snapshots) {
			t.Errorf("%s was posted %d times and has only %d attempts in the log", id, n, recorded[id])
		}
		repeated += n - recorded[id]
	}
	for id, n := range b.log.by(webhook.OutcomeSuccess) {
		if n != 1 {
			t.Errorf("%s has %d successes in the log", id, n)
		}
	}
	planned := b.announced()
	for id := range planned {
		planned[id]--
	}
	maps.DeleteFunc(planned, func(_ string, n int) bool { return n == 0 })
	if diff := cmp.Diff(map[string]int{}, planned); diff != "" {
		t.Errorf("planned more than once: %s", diff)
	}
	t.Logf("%d deliveries, %d posts more than the log has attempts", all, repeated)
}
