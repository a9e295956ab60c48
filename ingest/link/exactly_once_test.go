package link_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/ingest/link"
	"github.com/throughline/throughline/schema/embedded"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/schematest/golden"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

func kfake(t *testing.T) []string {
	t.Helper()
	return schematest.Kfake(t)
}

// childEnv holds the configuration of a linker that this binary runs instead of its tests.
const childEnv = "LINK_TEST_CHILD"

type child struct {
	Kafka stream.Config
	Link  link.Config
	Dir   string
	// BrokerDir is the folder of the broker that runs in the same process, if any.
	BrokerDir  string
	BrokerPort int
	// LoadBatch is after how many events a load writes, if it is not zero.
	LoadBatch int
	// KillAt is what the linker logs when it kills itself, the KillCount-th time.
	KillAt    string
	KillCount int
}

// suicide is a log that ends its process as kill -9 does, when it reads something.
type suicide struct {
	slog.Handler

	at   string
	left *atomic.Int64
}

// Enabled implements slog.Handler.
func (s suicide) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (s suicide) Handle(_ context.Context, r slog.Record) error {
	if r.Message != s.at || s.left.Add(-1) != 0 {
		return nil
	}
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

func (c child) log() *slog.Logger {
	if c.KillAt == "" {
		return slog.New(slog.DiscardHandler)
	}
	left := new(atomic.Int64)
	left.Store(int64(c.KillCount))
	return slog.New(suicide{slog.DiscardHandler, c.KillAt, left})
}

func runChild() int {
	var c child
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	master, err := seal.ParseMaster(golden.MasterKey)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	// It ends by being killed; the time is a bound for the case that the parent died first.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if c.BrokerDir != "" {
		if _, err := embedded.StartKfake(ctx, embedded.KfakeOptions{DataDir: c.BrokerDir, Port: c.BrokerPort}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
	}
	l := linker{Kafka: c.Kafka, Master: master, Link: c.Link, Dir: c.Dir, Log: c.log(), Reg: prometheus.NewRegistry(), LoadBatch: c.LoadBatch}
	if err := l.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

const customers = 20

// load appends events about a few objects: each once, and many of them again, some of them by producers that know no
// partition. It gives the identities that must become events.
func load(t *testing.T, w *world, n int) map[string]int {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for c := range customers {
		w.Put(customer(c), fmt.Sprintf("x%d", c))
	}
	want := map[string]int{}
	var subs []event.Submission
	for i := range n {
		ref := customer(i % customers)
		s := about(ref, fmt.Sprintf("e%d", i))
		want[ref.ID+"/"+s.ID] = 1
		subs = append(subs, s)
		if i > 0 && random.IntN(3) == 0 {
			again := random.IntN(i)
			subs = append(subs, about(customer(again%customers), fmt.Sprintf("e%d", again)))
		}
	}
	records := make([]*stream.Record, len(subs))
	for i, s := range subs {
		key := topic.Key(s.Workspace, string(s.Type), s.ObjectID)
		if i%10 == 0 {
			// Not resolved, by external id, and with a key that leads anywhere.
			s.Resolved, s.ExternalID, s.ObjectID = false, "x"+s.ObjectID[1:], ""
			key = fmt.Appendf(nil, "any-%d", i)
		}
		value, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		records[i] = &stream.Record{Topic: w.Kafka.Topic(topic.Submissions), Key: key, Value: value}
	}
	if _, err := w.Producer.Produce(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
	return want
}

func counted(w *world) map[string]int {
	w.T.Helper()
	got := map[string]int{}
	for _, e := range w.events() {
		got[e.ObjectID+"/"+e.ID]++
	}
	return got
}

// TestSubmissionsBecomeTheSameEventsHoweverOftenTheyAreSent is the property behind at-least-once producers.
func TestSubmissionsBecomeTheSameEventsHoweverOftenTheyAreSent(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(w *world) {
		t := w.T
		w.cfg.MaxBatch = 100
		w.start()
		want := load(t, w, 500)
		w.Settle()
		if diff := cmp.Diff(want, counted(w)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		load(t, w, 500)
		w.Settle()
		if diff := cmp.Diff(want, counted(w)); diff != "" {
			t.Errorf("events after everything was sent again (-want +got):\n%s", diff)
		}
		if dead := w.Read(topic.DeadLetters); len(dead) > 0 {
			t.Errorf("got %d dead letters, want none", len(dead))
		}
	})
}

// TestALinkerThatIsKilledLosesAndDoublesNothing kills the process with SIGKILL again and again, mostly inside a
// transaction. Half of the times its local store is gone too.
func TestALinkerThatIsKilledLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.ApacheKafka(t), false)
	want := load(t, w, 6000)
	w.killAndRestart(child{}, 2)
	w.start()
	w.Settle()
	if diff := cmp.Diff(want, counted(w)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestALinkerThatIsKilledWithItsBrokerLosesAndDoublesNothing kills the process that has the embedded broker in it, which
// may leave a transaction committed on some of its partitions only.
func TestALinkerThatIsKilledWithItsBrokerLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broker, err := embedded.StartKfake(t.Context(), embedded.KfakeOptions{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	_, text, err := net.SplitHostPort(broker.Brokers[0])
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, broker.Brokers, true)
	want := load(t, w, 6000)
	if err := broker.Close(); err != nil {
		t.Fatal(err)
	}
	w.killAndRestart(child{BrokerDir: dir, BrokerPort: port}, 4)
	broker, err = embedded.StartKfake(t.Context(), embedded.KfakeOptions{DataDir: dir, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	w.start()
	w.Settle()
	if diff := cmp.Diff(want, counted(w)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// killAndRestart runs linkers in processes of their own and kills each soon after it began to write.
func (w *world) killAndRestart(c child, kills int) {
	w.T.Helper()
	w.cfg.MaxBatch = 50
	c.Kafka, c.Link, c.Dir = w.Kafka, w.cfg, w.dir
	w.KillAndRestart(func() *exec.Cmd { return w.Spawn(childEnv, c) }, topic.Events, w.dir, kills)
	// What is left needs no kill to meet a transaction.
	w.cfg.MaxBatch = 1000
}

// TestTwoLinkersShareThePartitionsAndTakeThemOver adds a second linker while the first works, and then takes the first
// away: every partition changes its owner, and the new one has the window of the old one.
func TestTwoLinkersShareThePartitionsAndTakeThemOver(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(w *world) {
		t := w.T
		w.cfg.MaxBatch = 20
		stop := w.start()
		want := load(t, w, 1000)
		second := *w
		second.dir, second.cfg.Instance = t.TempDir(), "link-1"
		second.start()
		load(t, w, 1000)
		w.Settle()
		stop()
		load(t, w, 1000)
		w.Settle()
		if diff := cmp.Diff(want, counted(w)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}
