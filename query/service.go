// Package query answers reads from ClickHouse: timelines, the event log, the names of events. It writes nothing. Asked
// with a position, it first waits until the writes of the position have come through.
package query

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/throughline/throughline/query/wallboard"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/sanitize"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

// Deps is what the service works with.
type Deps struct {
	Log *slog.Logger
	// Reg receives the metrics of the service and of its router. Services of a process share it.
	Reg prometheus.Registerer
	// Traces may be nil: then there are none.
	Traces trace.TracerProvider
	// Require lets a request through whose key has any of the scopes; access.Access.RequireAny is one. The request that it
	// passes on carries its principal (access.From).
	Require func(scopes []workspace.Scope, next web.Handler) web.Handler
	// TimeZone is that of a workspace; its days begin in it.
	TimeZone func(workspace string) (*time.Location, error)
	// Now is the wallboard's clock; nil means time.Now.
	Now func() time.Time
}

// Service answers reads. Make it with New, mount Handler or set Config.Listen, and keep Run running.
type Service struct {
	cfg     Config
	deps    Deps
	html    *sanitize.Sanitizer
	metrics *metrics
	feed    *wallboard.Feed
	screens *screens
	router  *web.Router
	open    atomic.Pointer[backend]
	waits   atomic.Pointer[waiter]
}

// New checks the configuration. Nothing is opened before Run.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure query: %w", err)
	}
	if deps.Require == nil || deps.TimeZone == nil {
		return nil, errors.New("configure query: nothing checks the API keys, or knows the workspaces")
	}
	s := &Service{cfg: cfg, deps: deps, html: sanitize.New(), metrics: newMetrics(deps.Reg)}
	s.feed = wallboard.NewFeed(wallboard.Deps{Kafka: cfg.Kafka, Log: deps.Log, Reg: deps.Reg, Now: deps.Now})
	s.screens = newScreens(s.board, s.metrics.streams)
	s.router = s.routes()
	return s, nil
}

// Handler answers the routes of this service. Before Run has opened what they read from, they answer 503.
func (s *Service) Handler() http.Handler { return s.router }

// Run opens the connections, waiting for servers and tables that are not there yet, and serves Config.Listen, if it is
// set, until the context ends.
func (s *Service) Run(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return s.serve(ctx) })
	work.Go(func() error { return s.feed.Run(ctx) })
	return work.Wait()
}

func (s *Service) serve(ctx context.Context) error {
	watch, err := stream.NewOffsetWatch(s.cfg.Kafka, stream.Deps{Log: s.deps.Log, Reg: s.deps.Reg})
	if err != nil {
		return fmt.Errorf("run query: %w", err)
	}
	defer watch.Close()
	waits := waiter{watch: watch, kafka: s.cfg.Kafka, positionTimeout: s.cfg.PositionTimeout, metrics: s.metrics}
	// The wallboard needs no ClickHouse, and neither do its positions.
	s.waits.Store(&waits)
	defer s.waits.Store(nil)
	conn, err := s.connect(ctx)
	if err != nil || conn == nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing is buffered in it
	s.open.Store(&backend{waiter: waits, conn: conn, limits: s.cfg.Limits})
	defer s.open.Store(nil)
	if s.cfg.Listen == "" {
		<-ctx.Done()
		return nil
	}
	return run.Server{Name: "query", Addr: s.cfg.Listen, Handler: s.Handler(), Log: s.deps.Log}.Run(ctx)
}

// Ready says why reads cannot be answered yet. It fits run.Readiness.
func (s *Service) Ready(ctx context.Context) error {
	b := s.open.Load()
	if b == nil {
		return errors.New("query: not connected yet")
	}
	if err := b.conn.Ping(ctx); err != nil {
		return fmt.Errorf("query: %w", err)
	}
	return nil
}

// backend is what requests read from; before it is open, they are a 503.
func (s *Service) backend() (*backend, error) {
	b := s.open.Load()
	if b == nil {
		return nil, problem.Busy("The service is starting, or stopping.", retryAfter)
	}
	return b, nil
}

// connectEvery is how often a start looks again for ClickHouse and its tables.
const connectEvery = 500 * time.Millisecond

// connect opens ClickHouse and checks that its tables are those of this version. Services start in any order, so a server
// that is not up and tables that are not migrated are waited for; anything else is an operator's mistake and an error.
// It returns nil without an error where the context ended first.
func (s *Service) connect(ctx context.Context) (store.Conn, error) {
	ticker := time.NewTicker(connectEvery)
	defer ticker.Stop()
	for waiting := false; ; waiting = true {
		conn, err := openTables(ctx, s.cfg.ClickHouse)
		switch {
		case err == nil:
			return conn, nil
		case ctx.Err() != nil:
			return nil, nil //nolint:nilnil // a stop during the start is no failure
		case !errors.Is(err, store.ErrPending) && store.Classify(err) != problem.Retry:
			return nil, fmt.Errorf("run query: %w", err)
		case !waiting:
			s.deps.Log.WarnContext(ctx, "waiting for clickhouse", slog.String("error", err.Error()))
		}
		select {
		case <-ctx.Done():
			return nil, nil //nolint:nilnil // a stop during the start is no failure
		case <-ticker.C:
		}
	}
}

func openTables(ctx context.Context, cfg store.Config) (store.Conn, error) {
	conn, err := store.Open(ctx, cfg, store.ReadOnly)
	if err != nil {
		return nil, err
	}
	if err := store.Migrated(ctx, conn, table.Migrations()); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}
