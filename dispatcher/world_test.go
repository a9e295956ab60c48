package dispatcher

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/schematest/golden"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/webhook"
	"github.com/throughline/throughline/schema/workspace"
)

const patience = 3 * time.Minute

func TestMain(m *testing.M) {
	// The test of kill -9 runs this binary again as the process to be killed.
	if os.Getenv(childEnv) != "" {
		os.Exit(runChild())
	}
	os.Exit(schematest.Main(m))
}

// world is a log with the topics of webhooks, and the dispatchers that a test starts.
type world struct {
	t        *testing.T
	kafka    stream.Config
	master   *seal.Master
	producer *stream.Producer
	cfg      Config
	// tables is where deliveries are looked up. Nobody listens there unless a test fills them: deliveries are made without.
	tables store.Config
	// received is when events were received that are appended; zero means now.
	received time.Time
	created  map[string]event.Time
}

func newWorld(t *testing.T, brokers []string, embedded bool, partitions int) *world {
	t.Helper()
	w := &world{t: t, cfg: testConfig(t.TempDir()), tables: store.Config{Addr: "127.0.0.1:1", Database: "none"}, created: map[string]event.Time{}, kafka: stream.Config{
		Brokers: brokers, ClientID: "test", Prefix: strings.TrimSuffix(schematest.Prefix(t), "."), Embedded: embedded,
	}}
	var err error
	if w.master, err = seal.ParseMaster(golden.MasterKey); err != nil {
		t.Fatal(err)
	}
	deps := stream.Deps{Log: slog.New(slog.DiscardHandler)}
	if _, err := stream.EnsureTopics(t.Context(), w.kafka, deps, topic.Layout(partitions), 1); err != nil {
		t.Fatal(err)
	}
	for _, g := range Groups() {
		if err := stream.CommitInitialOffsets(t.Context(), w.kafka, deps, g.Name, g.Topics); err != nil {
			t.Fatal(err)
		}
	}
	if w.producer, err = stream.NewProducer(w.kafka, stream.ProducerConfig{}, deps); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.producer.Close(context.WithoutCancel(t.Context())) })
	return w
}

// testConfig lets webhooks reach this machine.
func testConfig(dir string) Config {
	cfg := DefaultConfig()
	cfg.Dir, cfg.Instance, cfg.PlainHTTP = dir, "test", true
	cfg.Allow = []Allowed{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}
	return cfg
}

// service builds a dispatcher. Requests name their workspace in a header instead of a key.
func service(kafka stream.Config, tables store.Config, cfg Config, master *seal.Master, producer *stream.Producer, log *slog.Logger) (*Service, error) {
	return New(cfg, Deps{
		Kafka: kafka, Producer: producer, Master: master, Log: log, Reg: prometheus.NewRegistry(),
		ClickHouse: tables,
		Require: func(scope workspace.Scope, next web.Handler) web.Handler {
			return func(w http.ResponseWriter, r *http.Request) error {
				return next(w, r.WithContext(access.WithPrincipal(r.Context(), access.Principal{
					Workspace: r.Header.Get("Workspace"), Scopes: []workspace.Scope{scope},
				})))
			}
		},
	})
}

// start runs a dispatcher until the test ends.
func (w *world) start() *Service {
	w.t.Helper()
	s := w.service()
	w.run(s)
	return s
}

// service builds a dispatcher of this log.
func (w *world) service() *Service {
	w.t.Helper()
	said := &tail{}
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("what the dispatcher said at the end:\n%s", said.text())
		}
	})
	s, err := service(w.kafka, w.tables, w.cfg, w.master, w.producer, slog.New(slog.NewTextHandler(said, nil)))
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// tail keeps the end of a log.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (l *tail) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 200 {
		l.lines = slices.Delete(l.lines, 0, 100)
	}
	l.lines = append(l.lines, string(line))
	return len(line), nil
}

func (l *tail) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}

// run runs a dispatcher until it is stopped or the test ends, and waits until it knows its endpoints.
func (w *world) run(s *Service) (stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				w.t.Errorf("dispatcher: %v", err)
			}
		case <-time.After(30 * time.Second):
			w.t.Error("dispatcher did not stop within 30 s")
		}
	})
	w.t.Cleanup(stop)
	w.eventually("the endpoints are there", func() bool { d := s.directory.Load(); return d != nil && d.view.Ready() == nil })
	return stop
}

// endpoint registers an endpoint for events, as if long ago, and otherwise as changed.
func (w *world) endpoint(id, url string, change ...func(*webhook.Endpoint)) {
	w.t.Helper()
	e := &webhook.Endpoint{
		Workspace: "ws", ID: id, Revision: 1, Enabled: true, Events: []string{webhook.EventLinked}, AssignedScope: webhook.ScopeProactive,
		QueueThreshold: 1, Format: webhook.FormatJSON, Ordering: webhook.OrderingNone,
		CreatedAt: event.TimeOf(time.Now().Add(-time.Hour)), UpdatedAt: event.TimeOf(time.Now()),
	}
	for _, f := range change {
		f(e)
	}
	w.created[id] = e.CreatedAt
	p := &webhook.Private{URL: url, AuthHeaderName: webhook.DefaultAuthHeader, Secrets: []webhook.Secret{{Value: newSecret()}}}
	plain, err := p.Encode()
	if err == nil {
		e.Sealed, err = seal.NewVault(w.master).Seal(plain, e.AdditionalData())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	value, err := e.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(&stream.Record{Topic: w.kafka.Topic(topic.WebhookEndpoints), Key: endpointKey(e.Workspace, id), Value: value})
}

// events appends linked events with the ids e<from> … to the log.
func (w *world) events(from, n int) {
	w.t.Helper()
	records := make([]*stream.Record, n)
	at := w.received
	if at.IsZero() {
		at = time.Now()
	}
	for i := range records {
		id := fmt.Sprintf("c%d", from+i)
		e := event.Event{
			ID: fmt.Sprintf("e%d", from+i), Workspace: "ws", Type: object.Customer, ObjectID: id, Name: "Viewed",
			OccurredAt: event.TimeOf(at), ReceivedAt: event.TimeOf(at),
			Links: []event.Link{{Type: object.Customer, ID: id, Kind: event.LinkPrimary}},
		}
		value, err := e.Encode()
		if err != nil {
			w.t.Fatal(err)
		}
		records[i] = &stream.Record{Topic: w.kafka.Topic(topic.Events), Key: topic.Key("ws", "CUSTOMER", id), Value: value}
	}
	w.put(records...)
}

func (w *world) quiet() stream.Deps { return stream.Deps{Log: slog.New(slog.DiscardHandler)} }

func (w *world) put(records ...*stream.Record) {
	w.t.Helper()
	if _, err := w.producer.Produce(w.t.Context(), records...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// request asks a dispatcher and gives the status and the body.
func request(t *testing.T, base, ws, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Workspace", ws)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}
