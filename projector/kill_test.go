package projector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/embedded"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
)

// childEnv holds the configuration of a projector that this binary runs instead of its tests.
const childEnv = "PROJECTOR_TEST_CHILD"

type childConfig struct {
	Kafka  stream.Config
	Store  store.Config
	Config Config
	// Rebuild are tables that are made again, where there are any.
	Rebuild []string
}

func runChild() int {
	var c childConfig
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	// Ends by being killed; the time is a bound for the case that the parent died first.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	w := &world{kafka: c.Kafka, store: c.Store, log: slog.New(slog.DiscardHandler)}
	if err := w.open(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	run := func() error { _, err := Rebuild(ctx, c.Config, w.deps(nil), c.Rebuild, nil); return err }
	if len(c.Rebuild) == 0 {
		run = func() error {
			s, err := New(c.Config, w.deps(nil))
			if err != nil {
				return err
			}
			return s.Run(ctx)
		}
	}
	err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// child starts a process that projects.
func (w *world) child(t *testing.T, cfg Config) *exec.Cmd {
	t.Helper()
	return w.childOf(t, cfg, nil)
}

// childOf starts a process that projects, or that makes tables again.
func (w *world) childOf(t *testing.T, cfg Config, rebuild []string) *exec.Cmd {
	t.Helper()
	raw, err := json.Marshal(childConfig{Kafka: w.kafka, Store: w.store, Config: cfg, Rebuild: rebuild})
	must(t, err)
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), childEnv+"="+string(raw))
	c.Stderr = os.Stderr
	must(t, c.Start())
	return c
}

// TestProjectorLosesAndRepeatsNothingWhenItIsKilled kills the process with SIGKILL at random moments while records keep
// coming, and starts it again each time. KILLS says how often.
func TestProjectorLosesAndRepeatsNothingWhenItIsKilled(t *testing.T) {
	t.Parallel()
	kills := 5
	if n, err := strconv.Atoi(os.Getenv("KILLS")); err == nil {
		kills = n
	}
	w := newWorld(t, 3)
	cfg := w.config()
	// Small batches, so that most of the time one is on its way.
	cfg.BatchRows = 200
	cfg.BatchAge = time.Millisecond

	produced := make(chan int)
	ctx, enough := context.WithCancel(t.Context())
	go func() {
		n := 0
		for ctx.Err() == nil {
			s := w.subject(t, fmt.Sprintf("c%d", n))
			w.events(t, s, fmt.Sprintf("e%d", n), 100, time.Now())
			w.objects(t, s, 10)
			n++
			_ = pause(ctx, 20*time.Millisecond)
		}
		produced <- n
	}()
	midway := 0
	for range kills {
		before := w.count(t, "SELECT count() FROM timeline")
		c := w.child(t, cfg)
		w.eventually(t, "the child inserts nothing", func() bool {
			return w.count(t, "SELECT count() FROM timeline") > before
		})
		<-time.After(time.Duration(rand.IntN(400)) * time.Millisecond)
		must(t, c.Process.Kill())
		_ = c.Wait()
		w.bury(t)
		if w.intents(t) > 0 {
			midway++
		}
	}
	enough()
	n := <-produced
	t.Logf("%d events, %d of %d kills left an intent", n*100, midway, kills)
	// The last start cuts larger batches; what is pending is still finished as it was announced.
	w.start(t, w.config())
	w.caughtUp(t)
	w.exact(t, table.Timeline, n*100*2)
	w.exact(t, table.EventLog, n*100)
	if have := w.count(t, "SELECT count() FROM objects FINAL"); have != n*10 {
		t.Errorf("objects has %d latest states, want %d", have, n*10)
	}
}

// TestProjectorLosesAndRepeatsNothingWhenClickHouseIsKilled kills the server with SIGKILL in the middle of inserts; it
// comes back with what it had.
func TestProjectorLosesAndRepeatsNothingWhenClickHouseIsKilled(t *testing.T) {
	t.Parallel()
	server, err := embedded.StartClickHouse(t.Context(), embedded.ClickHouseOptions{DataDir: t.TempDir()})
	if errors.Is(err, embedded.ErrNoEngine) && os.Getenv("INTEGRATION") != "required" {
		t.Skipf("no ClickHouse that may be killed: %v", err)
	}
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	w := newWorldAt(t, 2, store.Config{Addr: server.Addr, Database: "default", User: server.User, Password: server.Password})
	cfg := w.config()
	cfg.BatchRows, cfg.BatchAge = 200, time.Millisecond
	r := w.start(t, cfg)
	s := w.subject(t, "c1")
	n := 0
	for range 3 {
		retries := r.metric(t, "retries_total")
		for range 10 {
			w.events(t, s, fmt.Sprintf("e%d", n), 100, time.Now())
			n++
		}
		w.eventually(t, "there is no server to kill", func() bool { return syscall.Kill(server.Pid(), syscall.SIGKILL) == nil })
		w.events(t, s, fmt.Sprintf("e%d", n), 100, time.Now())
		n++
		w.eventually(t, "nothing is retried", func() bool { return r.metric(t, "retries_total") > retries })
	}
	w.caughtUp(t)
	w.exact(t, table.Timeline, n*100*2)
	w.exact(t, table.EventLog, n*100)
}
