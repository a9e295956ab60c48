package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// customers share the events, so that no timeline is longer than a page and a double on one could not hide between two.
const customers = 64

// number is a size of a test, from the environment or as given.
func number(t *testing.T, name string, def int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, want a number above 0", name, text)
	}
	return n
}

func TestKillingTheProcessLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	embeddedOnly(t)
	killed(t, number(t, "KILLS", 3), number(t, "EVENTS", 2000))
}

func TestKillingTheProcessLosesAndDoublesNothingOnApacheKafka(t *testing.T) {
	t.Parallel()
	needApacheKafka(t)
	// A start takes Apache Kafka some ten seconds.
	killed(t, number(t, "KILLS", 2), number(t, "EVENTS", 2000), "THROUGHLINE_KAFKA=apache")
}

// embeddedOnly skips a test of the embedded servers in the pass that has its own: the other pass has run it.
func embeddedOnly(t *testing.T) {
	t.Helper()
	if kind := os.Getenv("SERVERS"); kind == "native" || kind == "docker" {
		t.Skip("SERVERS=" + kind + " leaves the embedded servers out")
	}
}

// needApacheKafka skips where Apache Kafka cannot run or is not wanted.
func needApacheKafka(t *testing.T) {
	t.Helper()
	if os.Getenv("SERVERS") == "embedded" {
		t.Skip("SERVERS=embedded leaves Apache Kafka out")
	}
	for _, tool := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("INTEGRATION") == "required" {
				t.Fatalf("Apache Kafka is required: %v", err)
			}
			t.Skipf("Apache Kafka needs %s: %v", tool, err)
		}
	}
}

// freePort is an address that nobody listens on, the same for every restart: clients know one address.
func freePort(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// killed posts events with ids of their own, from clients that repeat until they are answered, kills everything with
// SIGKILL that many times meanwhile, and then counts.
func killed(t *testing.T, kills, events int, vars ...string) {
	t.Helper()
	dir := t.TempDir()
	const key = "a-key-that-clients-know"
	vars = append(vars, "THROUGHLINE_API_KEY="+key, "THROUGHLINE_LISTEN="+freePort(t))
	a := dev(t, dir, vars...)
	base := a.url // every start has it: clients know one address
	for c := range customers {
		must(t, http.StatusOK, http.MethodPut, fmt.Sprintf("%s/v1/objects/CUSTOMER/c%d", a.url, c), key, `{}`)
	}

	var acknowledged, repeated atomic.Int64
	clients := postAll(t, base, key, events, &acknowledged, &repeated)
	for kill := range kills {
		reached(t, &acknowledged, int64(events)*int64(kill+1)/int64(kills+1))
		pids := a.tree()
		if len(pids) < 2 {
			t.Errorf("dev has no child process: %v", pids)
		}
		a.kill()
		gone(t, pids) // nobody killed the children
		a = dev(t, dir, vars...)
	}
	if err := clients(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events acknowledged, %d requests repeated, %d kills", acknowledged.Load(), repeated.Load(), kills)
	count(t, a, key, events)
}

// reached waits until so many events are acknowledged.
func reached(t *testing.T, acknowledged *atomic.Int64, mark int64) {
	t.Helper()
	eventually(t, 5*time.Minute, "events to be acknowledged", func() error {
		if n := acknowledged.Load(); n < mark {
			return fmt.Errorf("%d of %d", n, mark)
		}
		return nil
	})
}

// postAll has 16 clients post events, each until it is acknowledged; the returned function waits for the last.
func postAll(t *testing.T, base, key string, events int, acknowledged, repeated *atomic.Int64) (wait func() error) {
	t.Helper()
	load, stop := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(stop)
	var next atomic.Int64
	clients := make(chan error, 16)
	for range cap(clients) {
		go func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= events {
					clients <- nil
					return
				}
				if err := untilAcknowledged(load, base, key, n, repeated); err != nil {
					clients <- err
					return
				}
				acknowledged.Add(1)
			}
		}()
	}
	return func() error {
		var err error
		for range cap(clients) {
			err = errors.Join(err, <-clients)
		}
		return err
	}
}

// untilAcknowledged posts event n until it is answered with success. Any other answer than one that a client repeats
// is an error.
func untilAcknowledged(ctx context.Context, base, key string, n int, repeated *atomic.Int64) error {
	body := eventJSON(fmt.Sprintf("c%d", n%customers), fmt.Sprintf("e%06d", n), "Numbered")
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		got, err := send(attempt, http.MethodPost, base+"/v1/events", key, body)
		cancel()
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("event %d was not acknowledged in time: %w", n, errors.Join(err, ctx.Err()))
		case err == nil && got.status == http.StatusOK:
			return nil
		case err == nil && got.status < http.StatusInternalServerError:
			return fmt.Errorf("event %d: %d %s", n, got.status, got.body)
		}
		repeated.Add(1)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// count waits until everything has come through, and checks that each event is there once: in the event log, on its
// timeline through the API, and in ClickHouse's own numbers.
func count(t *testing.T, a *all, key string, events int) {
	t.Helper()
	eventually(t, time.Minute, "rows of every event", func() error {
		if n := sql(t, a.sql, "SELECT uniqExact(event_id) FROM timeline"); n != strconv.Itoa(events) {
			return fmt.Errorf("%s of %d", n, events)
		}
		if n := sql(t, a.sql, "SELECT uniqExact(event_id) FROM event_log WHERE status = 'LINKED'"); n != strconv.Itoa(events) {
			return fmt.Errorf("%s of %d in the event log", n, events)
		}
		return nil
	})
	want := fmt.Sprintf("%d\t%d", events, events)
	for _, query := range []string{
		"SELECT count(), uniqExact(event_id) FROM timeline",
		"SELECT count(), uniqExact(_topic, _partition, _offset, _row) FROM timeline",
		"SELECT count(), uniqExact(event_id) FROM event_log WHERE status = 'LINKED'",
	} {
		if got := sql(t, a.sql, query); got != want {
			t.Errorf("%s gives %q, want %q", query, got, want)
		}
	}
	once(t, onTimelines(t, a.url, key), events)
}

// onTimelines counts how often each event is on a timeline, as the API shows them.
func onTimelines(t *testing.T, base, key string) map[string]int {
	t.Helper()
	seen := make(map[string]int)
	for c := range customers {
		for _, id := range list(t, fmt.Sprintf("%s/v1/timeline/CUSTOMER/c%d?limit=500", base, c), key) {
			seen[id]++
		}
	}
	return seen
}

// once fails the test unless each event was seen exactly once.
func once(t *testing.T, seen map[string]int, events int) {
	t.Helper()
	for n := range events {
		if times := seen[fmt.Sprintf("e%06d", n)]; times != 1 {
			t.Errorf("event %d is %d times on its timeline", n, times)
		}
	}
	if len(seen) != events {
		t.Errorf("timelines show %d events, want %d", len(seen), events)
	}
}
