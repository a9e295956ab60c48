// Package projector turns the log into tables of ClickHouse, exactly once, and whatever dies in between. DESIGN.md says
// how, and which test proves it.
package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
)

// Deps is what the projector works with. The producer and the store are opened and closed by the caller, because other
// services of the process may share them; they outlive Run.
type Deps struct {
	Kafka stream.Config
	// Producer writes dead letters.
	Producer *stream.Producer
	// Store is a read-write pool on a database that is migrated.
	Store  store.Conn
	Master *seal.Master
	Log    *slog.Logger
	Reg    prometheus.Registerer
	// Traces may be nil: then there are none.
	Traces trace.TracerProvider
}

// Group is a consumer group of the projector, without the installation's prefix, and what it reads.
type Group struct {
	Name   string
	Topics []topic.Name
}

// Groups lists the consumer groups, one a table. Their first offsets must be committed before the first start
// (stream.CommitInitialOffsets).
func Groups() []Group {
	var groups []Group
	for _, p := range projections.All() {
		groups = append(groups, Group{Name: table.Group(p.Table), Topics: p.Topics})
	}
	return groups
}

// Service is the projector.
type Service struct {
	cfg     Config
	deps    Deps
	metrics *metrics

	mu      sync.Mutex
	view    *stream.View
	workers []*worker
}

// New checks the configuration. It does no I/O.
func New(cfg Config, deps Deps) (*Service, error) {
	if cfg.Dir == "" {
		return nil, errors.New("configure projector: folder is missing")
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure projector: %w", err)
	}
	if deps.Producer == nil || deps.Store == nil || deps.Master == nil || deps.Log == nil {
		return nil, errors.New("configure projector: producer, store, master key and log are needed")
	}
	return &Service{cfg: cfg, deps: deps, metrics: newMetrics(deps.Reg)}, nil
}

// Run projects every table until the context ends, and then returns nil. Call it once. What can pass is waited out; an
// error is for an operator.
func (s *Service) Run(ctx context.Context) error {
	if err := s.migrated(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	view, err := openKeys(ctx, s.cfg.Dir, s.deps)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.view = view
	slots := newSlots(s.cfg.Parallel)
	for _, p := range projections.All() {
		s.workers = append(s.workers, newWorker(p, s.cfg, s.deps, view, s.metrics, slots))
	}
	s.mu.Unlock()

	// The view outlives the workers: what they finish while they stop may need a key.
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	followed := make(chan error, 1)
	go func() {
		err := view.Run(following)
		cancel()
		followed <- err
	}()
	errs := make([]error, len(s.workers), len(s.workers)+1)
	var audited error
	var wg sync.WaitGroup
	wg.Go(func() {
		audited = newAuditor(projections.All(), s.cfg, s.deps, view, s.metrics).run(ctx)
	})
	for i, w := range s.workers {
		wg.Go(func() {
			errs[i] = w.run(ctx)
			cancel()
		})
	}
	wg.Wait()
	errs = append(errs, audited)
	stop()
	if err := <-followed; err != nil {
		errs = append(errs, fmt.Errorf("follow data keys: %w", err))
	}
	s.mu.Lock()
	s.view = nil
	s.mu.Unlock()
	return errors.Join(append(errs, view.Close())...)
}

// migrated waits until ClickHouse answers, and refuses a database that is not the one that this program writes.
func (s *Service) migrated(ctx context.Context) error {
	for wait := firstWait; ctx.Err() == nil; wait = min(2*wait, lastWait) {
		asked, cancel := context.WithTimeout(ctx, s.cfg.InsertTimeout)
		err := store.Migrated(asked, s.deps.Store, table.Migrations())
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() == nil && (errors.Is(err, store.ErrPending) || !retryable(err)):
			return fmt.Errorf("look at the tables (`throughline migrate` brings them up to date): %w", err)
		}
		s.deps.Log.WarnContext(ctx, "clickhouse does not answer", slog.Duration("wait", wait), slog.String("error", err.Error()))
		_ = pause(ctx, wait) // the loop looks at the context itself
	}
	return nil
}

// Ready says why rows may be late; it is nil while every table gets on. It fits run.Readiness.
func (s *Service) Ready(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil {
		return errors.New("projector does not run")
	}
	if err := s.view.Ready(); err != nil {
		return fmt.Errorf("projector: data keys: %w", err)
	}
	var errs []error
	for _, w := range s.workers {
		if trouble := w.trouble.Load(); trouble != nil {
			errs = append(errs, fmt.Errorf("projector: table %s: %s", w.p.Table, *trouble))
		}
	}
	return errors.Join(errs...)
}
