package contract

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/deploy/dev"
	"github.com/throughline/throughline/dispatcher"
	"github.com/throughline/throughline/ingest"
	"github.com/throughline/throughline/ingest/link"
	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/projector"
	"github.com/throughline/throughline/query"
	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/schematest/contract"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

// operatorKey is the operator's.
const operatorKey = "operator-key-of-contract"

// patience is how long a test waits for what is bound to happen, on a machine that is busy.
const patience = time.Minute

// world is one installation with all services in one process, held to the document.
type world struct {
	t       *testing.T
	checker *contract.Checker
	kafka   stream.Config
	tables  store.Config
	master  *seal.Master
	// edge, reads and hooks are the routers of the three services that have one.
	edge, reads, hooks http.Handler
	access             *access.Access
	url                string
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	checker, err := contract.New()
	check(t, err)
	master, err := seal.NewMaster(bytes.Repeat([]byte{7}, seal.KeyBytes))
	check(t, err)
	db := schematest.ClickHouse(t)
	w := &world{
		t: t, checker: checker, master: master,
		kafka:  stream.Config{Brokers: schematest.Kafka(t), ClientID: "contract", Prefix: strings.TrimSuffix(schematest.Prefix(t), ".")},
		tables: store.Config{Addr: db.Addr, Database: db.Database, User: db.ReadUser, Password: db.ReadPassword},
	}
	write := store.Config{Addr: db.Addr, Database: db.Database, User: db.User, Password: db.Password}
	_, err = assembly.Topics(t.Context(), w.kafka, stream.Deps{Log: quiet()}, topic.EmbeddedPartitions, 1)
	check(t, err)
	_, err = assembly.Migrate(t.Context(), write, nil)
	check(t, err)

	reg, ready := run.NewRegistry(), run.NewReadiness()
	p := &assembly.Process{Kafka: w.kafka, Views: t.TempDir(), Admin: operatorKey, Log: quiet(), Reg: reg, Ready: ready}
	w.edge, err = p.Ingest(t.Context(), ingest.DefaultConfig(), link.Config{Instance: "contract", MaxBatch: 100, WindowEntries: 1000}, master)
	check(t, err)
	projection := projector.DefaultConfig()
	projection.Dir = ""
	check(t, p.Projector(t.Context(), projection, write, master))
	w.reads, err = p.Query(t.Context(), query.DefaultConfig(), w.tables)
	check(t, err)
	w.hooks, err = p.Dispatcher(t.Context(), hooksConfig(), w.tables, master)
	check(t, err)
	w.access, err = p.Access(t.Context())
	check(t, err)

	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run.Group{Log: quiet(), StopTimeout: patience}.Run(ctx, p.Services()...) }()
	server := httptest.NewServer(checker.Handler(t, dev.Route(run.Admin(reg, ready), w.edge, w.reads, w.hooks)))
	w.url = server.URL
	t.Cleanup(func() {
		server.Close()
		stop()
		check(t, <-ended)
		check(t, p.Close())
	})
	eventually(t, "the services to be ready", func() bool {
		for _, err := range ready.Check(t.Context()) {
			if err != nil {
				return false
			}
		}
		return true
	})
	return w
}

// hooksConfig is what the dispatchers have here. The examples' endpoints are at names that nobody can have (RFC 2606), so
// that nothing is sent to anybody.
func hooksConfig() dispatcher.Config {
	cfg := dispatcher.DefaultConfig()
	cfg.Instance = "contract"
	return cfg
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

// key makes a key of the workspace shop, which is made if it is not there.
func (w *world) key(limit *float64, scopes ...workspace.Scope) string {
	w.t.Helper()
	if _, found, err := w.access.Workspace(shop); err != nil || !found {
		_, _, err := w.access.PutWorkspace(w.t.Context(), workspace.Workspace{ID: shop, Name: shop})
		check(w.t, err)
	}
	created, err := w.access.CreateKey(w.t.Context(), access.NewKey{Workspace: shop, Name: "test", Scopes: scopes, RateLimit: limit})
	check(w.t, err)
	return created.Secret
}

// condition is a state that is hard to bring a process into.
type condition struct {
	// following says that its views follow the log.
	following bool
	// broken says that nothing works as it should.
	broken bool
	// reading is how long its connections wait for a request; zero is for ever.
	reading time.Duration
	// alone says that nothing processes what is written, in a log of its own; it is the key of the workspace shop there.
	alone string
	edge  ingest.Config
}

// other serves the services once more, in some condition, and returns their address.
func (w *world) other(o condition) string {
	w.t.Helper()
	reg := prometheus.NewRegistry()
	kafka := w.kafka
	if o.alone != "" {
		kafka.Prefix = strings.TrimSuffix(schematest.Prefix(w.t), ".")
		_, err := assembly.Topics(w.t.Context(), kafka, stream.Deps{Log: quiet()}, topic.EmbeddedPartitions, 1)
		check(w.t, err)
	}
	producer, err := stream.NewProducer(kafka, stream.ProducerConfig{}, stream.Deps{Log: quiet(), Reg: reg})
	check(w.t, err)
	objects, err := registry.Open(w.t.Context(), registry.Config{Dir: w.t.TempDir()},
		registry.Deps{Kafka: kafka, Master: w.master, Log: quiet(), Reg: reg})
	check(w.t, err)
	keys, err := access.Open(w.t.Context(), access.Config{Dir: w.t.TempDir(), AdminKey: operatorKey},
		access.Deps{Kafka: kafka, Producer: producer, Log: quiet(), Reg: reg})
	check(w.t, err)
	edge, err := ingest.New(o.edge, ingest.Deps{
		Kafka: kafka, Producer: producer, Registry: objects, Access: keys, Master: w.master, Log: quiet(), Reg: reg,
	})
	check(w.t, err)
	cfg := query.DefaultConfig()
	cfg.Listen, cfg.Kafka, cfg.ClickHouse = "", kafka, w.tables
	deps := query.Deps{Log: quiet(), Reg: reg, Require: keys.RequireAny, TimeZone: keys.TimeZone}
	hooked := dispatcher.Deps{
		Kafka: kafka, Producer: producer, ClickHouse: w.tables, Master: w.master, Require: keys.Require, Log: quiet(), Reg: reg,
	}
	writes := edge.Handler()
	if o.broken {
		deps.Require, writes = refuseAll, breakConnections(writes)
		hooked.Require = func(_ workspace.Scope, next web.Handler) web.Handler { return refuseAll(nil, next) }
	}
	reads, err := query.New(cfg, deps)
	check(w.t, err)
	hooking := hooksConfig()
	hooking.Dir = w.t.TempDir()
	hooks, err := dispatcher.New(hooking, hooked)
	check(w.t, err)

	ready := run.NewReadiness()
	ready.Add("query", reads.Ready)
	server := httptest.NewUnstartedServer(w.checker.Handler(w.t,
		dev.Route(run.Admin(run.NewRegistry(), ready), writes, reads.Handler(), hooks.Handler())))
	server.Config.ReadTimeout = o.reading
	server.Start()
	ctx, stop := context.WithCancel(context.WithoutCancel(w.t.Context()))
	var views sync.WaitGroup
	w.t.Cleanup(func() {
		server.Close()
		stop()
		views.Wait()
		check(w.t, keys.Close())
		check(w.t, objects.Close())
		check(w.t, producer.Close(context.WithoutCancel(w.t.Context())))
	})
	if o.following {
		for _, view := range []func(context.Context) error{keys.Run, objects.Run, edge.Run} {
			views.Go(func() {
				if err := view(ctx); err != nil {
					w.t.Errorf("follow the log: %v", err)
				}
			})
		}
		eventually(w.t, "the views", func() bool { return keys.Ready(w.t.Context()) == nil && edge.Ready(w.t.Context()) == nil })
	}
	if o.alone != "" {
		_, _, err := keys.PutWorkspace(w.t.Context(), workspace.Workspace{ID: shop, Name: shop})
		check(w.t, err)
		_, err = keys.CreateKey(w.t.Context(), access.NewKey{Workspace: shop, Name: "test", Scopes: workspace.Scopes(), Secret: o.alone})
		check(w.t, err)
	}
	return server.URL
}

// errBroken is a failure that no service expects.
var errBroken = errors.New("broken")

// refuseAll is a check of keys that fails.
func refuseAll([]workspace.Scope, web.Handler) web.Handler {
	return func(http.ResponseWriter, *http.Request) error { return errBroken }
}

// breakConnections gives a handler connections that fail when they are told how long they have.
func breakConnections(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(brokenConnection{w}, r) })
}

type brokenConnection struct{ http.ResponseWriter }

// SetWriteDeadline fails.
func (brokenConnection) SetWriteDeadline(time.Time) error { return errBroken }

// routes are those of all services.
func (w *world) routes() []web.Route {
	w.t.Helper()
	var all []web.Route
	for _, h := range []http.Handler{w.edge, w.reads, w.hooks} {
		router, ok := h.(*web.Router)
		if !ok {
			w.t.Fatalf("a service's handler is a %T", h)
		}
		routes, err := router.Routes()
		check(w.t, err)
		all = append(all, routes...)
	}
	return all
}
