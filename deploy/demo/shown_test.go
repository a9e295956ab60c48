package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/sync/errgroup"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/deploy/demo"
	"github.com/throughline/throughline/deploy/replay"
	"github.com/throughline/throughline/ingest"
	"github.com/throughline/throughline/ingest/link"
	"github.com/throughline/throughline/projector"
	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/position"
	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/workspace"
)

// clients is how many post at once.
const clients = 4

// bank is an installation: the edge, the processors, the projector and the dispatcher in one process.
type bank struct {
	t      *testing.T
	kafka  stream.Config
	db     schematest.DB
	master *seal.Master
	// url is the edge's, which gets every write twice.
	url, key string
	// webhooks is the dispatcher's API, for whoever has the key.
	webhooks http.Handler
	stop     func()
}

func newBank(t *testing.T) *bank {
	t.Helper()
	master, err := seal.NewMaster(bytes.Repeat([]byte{7}, seal.KeyBytes))
	check(t, err)
	b := &bank{t: t, db: schematest.ClickHouse(t), master: master, kafka: stream.Config{
		Brokers: schematest.Kafka(t), ClientID: "bank", Prefix: strings.TrimSuffix(schematest.Prefix(t), "."),
	}}
	b.prepare()
	b.start()
	return b
}

func (b *bank) tables() store.Config {
	return store.Config{Addr: b.db.Addr, Database: b.db.Database, User: b.db.User, Password: b.db.Password}
}

// prepare makes topics, positions and tables where there are none.
func (b *bank) prepare() {
	b.t.Helper()
	_, err := assembly.Topics(b.t.Context(), b.kafka, stream.Deps{Log: quiet()}, topic.EmbeddedPartitions, 1)
	check(b.t, err)
	_, err = assembly.Migrate(b.t.Context(), b.tables(), nil)
	check(b.t, err)
}

// start runs the services with nothing but the log to go by: their local copies are empty.
func (b *bank) start() {
	t := b.t
	t.Helper()
	reg, ready := run.NewRegistry(), run.NewReadiness()
	p := &assembly.Process{Kafka: b.kafka, Views: t.TempDir(), Log: quiet(), Reg: reg, Ready: ready}
	edge, err := p.Ingest(t.Context(), ingest.DefaultConfig(), link.Config{Instance: "bank", MaxBatch: 1000, WindowEntries: 1000}, b.master)
	check(t, err)
	projection := projector.DefaultConfig()
	projection.Dir = ""
	check(t, p.Projector(t.Context(), projection, b.tables(), b.master))
	webhooks, err := p.Dispatcher(t.Context(), hooksConfig(), b.tables(), b.master)
	check(t, err)
	b.webhooks = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+b.key)
		webhooks.ServeHTTP(w, r)
	})
	keys, err := p.Access(t.Context())
	check(t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run.Group{Log: quiet(), StopTimeout: time.Minute}.Run(ctx, p.Services()...) }()
	server := httptest.NewServer(edge)
	front := httptest.NewServer(twice(server.URL))
	b.url = front.URL
	b.stop = sync.OnceFunc(func() {
		front.Close()
		server.Close()
		stop()
		check(t, <-ended)
		check(t, p.Close())
	})
	t.Cleanup(b.stop)
	within(t, "the services are ready", func() bool {
		for _, err := range ready.Check(t.Context()) {
			if err != nil {
				return false
			}
		}
		return true
	})
	if b.key == "" {
		_, _, err := keys.PutWorkspace(t.Context(), workspace.Workspace{ID: "bank", Name: "Bank"})
		check(t, err)
		created, err := keys.CreateKey(t.Context(), access.NewKey{Workspace: "bank", Name: "test", Scopes: workspace.Scopes()})
		check(t, err)
		b.key = created.Secret
	}
}

// rebuild takes every table away and begins all of them at the start of the log.
func (b *bank) rebuild() {
	t := b.t
	t.Helper()
	b.stop()
	conn, err := store.Open(t.Context(), b.tables(), store.ReadWrite)
	check(t, err)
	defer conn.Close()
	check(t, conn.Exec(t.Context(), "DROP DATABASE "+b.db.Database+" SYNC"))
	client, err := stream.Open(b.kafka, quiet(), nil)
	check(t, err)
	defer client.Close()
	var names []string
	for _, g := range projector.Groups() {
		names = append(names, b.kafka.Group(g.Name))
	}
	deleted, err := kadm.NewClient(client).DeleteGroups(t.Context(), names...)
	check(t, err)
	check(t, deleted.Error())
	b.prepare()
	b.start()
}

// twice sends every request on twice at the same time, as it comes when an answer is lost.
func twice(to string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		send := func() (*http.Response, error) {
			req, err := http.NewRequestWithContext(r.Context(), r.Method, to+r.URL.RequestURI(), bytes.NewReader(body))
			if err != nil {
				return nil, err
			}
			req.Header = r.Header.Clone()
			return http.DefaultClient.Do(req)
		}
		var lost sync.WaitGroup
		defer lost.Wait()
		lost.Go(func() {
			if resp, err := send(); err == nil {
				_ = resp.Body.Close()
			}
		})
		resp, err := send()
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		if after := resp.Header.Get("Retry-After"); after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body) // a client that has gone does not read it
	})
}

// post has some clients post calls at once, each other ones, and returns a position that covers all.
func (b *bank) post(calls []replay.Call) string {
	t := b.t
	t.Helper()
	parts := make([][]replay.Call, clients)
	for i, c := range calls {
		parts[i%clients] = append(parts[i%clients], c)
	}
	var mu sync.Mutex
	var covered position.Position
	note := func(text string) {
		mu.Lock()
		defer mu.Unlock()
		p, err := position.Parse(text, "bank")
		if err != nil {
			t.Errorf("position %s: %v", text, err)
		}
		covered.Merge(p)
	}
	var accepted atomic.Int64
	var work errgroup.Group
	for _, part := range parts {
		work.Go(func() error {
			cfg := replay.DefaultConfig()
			cfg.URL, cfg.Key, cfg.Parallel = b.url, b.key, 1
			totals, err := replay.Calls(t.Context(), part, cfg, replay.Deps{Progress: io.Discard, Position: note})
			accepted.Add(totals.Accepted)
			if totals.Refused+totals.Skipped > 0 {
				t.Errorf("a client had %+v", totals)
			}
			return err
		})
	}
	check(t, work.Wait())
	if want := steps(calls); accepted.Load() != want {
		t.Errorf("%d transitions were accepted, want %d", accepted.Load(), want)
	}
	return *covered.Encode("bank")
}

// steps counts the transitions of calls.
func steps(calls []replay.Call) int64 {
	n := int64(0)
	for _, c := range calls {
		for _, at := range []time.Time{c.Opened, c.Queued, c.Responded, c.Closed} {
			if !at.IsZero() {
				n++
			}
		}
	}
	return n
}

// TestTheTracePostedThroughTheAPIGivesTheKnownAnswers has four clients post the fourteen days at once, each request
// arriving twice, and looks at every figure of every day: in the reports, as the day's end on a wallboard that has
// followed, and at what an endpoint was posted that has every box ticked. Then every table is rebuilt from the log, a
// wallboard has just started, and the endpoint is told nothing again. With -short it has two quiet days, and under the race
// detector, with which fourteen take many minutes: `make test-trace` runs all of them without.
func TestTheTracePostedThroughTheAPIGivesTheKnownAnswers(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	var calls []replay.Call
	shown := days(t)
	if testing.Short() || underRace {
		shown = shown[4:6] // a Friday and a Saturday, on which few called
	}
	for _, day := range shown {
		of, err := demo.Calls(day)
		check(t, err)
		calls = append(calls, of...)
	}
	var now atomic.Int64
	set := func(at time.Time) { now.Store(at.UnixMilli()) }
	clock := func() time.Time { return time.UnixMilli(now.Load()) }
	set(endOf(t, shown[0]))
	following := serve(t, b.kafka, b.db, time.UTC, clock)
	endpoint := newReceiver(t)
	register(t, b.webhooks, "all", endpoint.URL, conversationEvents(boxes()))
	position := b.post(calls)
	wantAnswers(t, following, shown, "&position="+position)
	wantBoards(t, following, shown, position, set)
	told := knownOf(t, shown)
	wantTold(t, "the endpoint", endpoint, told)

	b.rebuild()
	set(endOf(t, shown[0]))
	started := serve(t, b.kafka, b.db, time.UTC, clock)
	wantAnswers(t, started, shown, "&position="+position)
	wantBoards(t, started, shown, position, set)
	exactly(t, "the endpoint after a restart", endpoint, told)
}

// endOf is the last instant of a day.
func endOf(t *testing.T, day string) time.Time {
	t.Helper()
	midnight, err := time.Parse(time.DateOnly, day)
	check(t, err)
	return midnight.Add(24*time.Hour - time.Millisecond)
}

// wantBoards looks at the wallboard at the end of each day.
func wantBoards(t *testing.T, url string, shown []string, position string, set func(time.Time)) {
	t.Helper()
	want := answers(t)
	for _, day := range shown {
		set(endOf(t, day))
		var got map[string]any
		within(t, "the wallboard is read", func() bool {
			status, body := get(t, url+"/v1/wallboard?position="+position)
			if status == http.StatusServiceUnavailable {
				return false // it is still being read from the log
			}
			if err := json.Unmarshal(body, &got); err != nil || status != http.StatusOK {
				t.Fatalf("wallboard: %d %s", status, body)
			}
			return true
		})
		for figure, answer := range map[string]string{
			"maxQueueSizeToday": "maxQueueSize", "waitAvgSecondsToday": "waitAvgSeconds", "handleAvgSecondsToday": "handleAvgSeconds",
		} {
			if diff := cmp.Diff(want[day][answer], got[figure], cmpopts.EquateApprox(0, 0.0006)); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", day, figure, diff)
			}
		}
	}
}
