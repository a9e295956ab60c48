package dispatcher

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/sanitize"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

// Deps is what the dispatcher works with. The producer is opened and closed by the caller, because other services of the
// process share it.
type Deps struct {
	Kafka    stream.Config
	Producer *stream.Producer
	// ClickHouse is read for what became of deliveries; its user need not be able to write.
	ClickHouse store.Config
	// Master seals the secrets of endpoints and opens what is personal; Previous are master keys before it, with which
	// endpoints may still be sealed.
	Master   *seal.Master
	Previous []*seal.Master
	// Require lets a request through whose key has a scope; access.Access.Require is one.
	Require func(scope workspace.Scope, next web.Handler) web.Handler
	// Roots are the certificate authorities that endpoints may have; nil means the system's.
	Roots *x509.CertPool
	Log   *slog.Logger
	Reg   prometheus.Registerer
	// Traces may be nil: then there are none.
	Traces trace.TracerProvider
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Service is the dispatcher.
type Service struct {
	cfg     Config
	deps    Deps
	guard   *guard
	filters *filters
	metrics *metrics
	log     *slog.Logger
	now     func() time.Time
	writing chan struct{}
	router  *web.Router
	// catalogue is made when it is asked for the first time.
	catalogue func() ([]eventType, error)
	planners  []*planning
	sender    *sender
	retries   *retries
	replays   *replays
	planning  []*stream.Processor
	sending   *stream.Tracked
	retrying  *stream.Tracked
	replaying *stream.Tracked
	jobs      atomic.Pointer[jobs]
	directory atomic.Pointer[directory]
	history   atomic.Pointer[history]
}

// New checks the configuration and builds the dispatcher. It does no I/O.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure dispatcher: %w", err)
	}
	if cfg.Dir == "" || cfg.Instance == "" {
		return nil, errors.New("configure dispatcher: a folder and a name of the instance are needed")
	}
	if deps.Producer == nil || deps.Master == nil || deps.Require == nil {
		return nil, errors.New("configure dispatcher: producer, master key and a check of API keys are needed")
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	f, err := newFilters()
	if err != nil {
		return nil, fmt.Errorf("configure dispatcher: %w", err)
	}
	s := &Service{
		cfg: cfg, deps: deps, filters: f, metrics: newMetrics(deps.Reg), log: deps.Log, now: deps.Now,
		guard: &guard{ports: cfg.Ports, http: cfg.PlainHTTP, allow: cfg.Allow}, writing: make(chan struct{}, 1),
		catalogue: sync.OnceValues(newCatalogue),
	}
	poster := newPoster(s.guard, cfg, deps.Roots, deps.Now)
	s.sender = newSender(cfg, deps, poster, s.metrics)
	s.sender.measure(deps.Reg)
	s.retries = &retries{metrics: s.metrics, log: deps.Log, now: deps.Now}
	s.replays = &replays{cfg: cfg, deps: deps, past: s.past, metrics: s.metrics, log: deps.Log, now: deps.Now}
	err = s.plan()
	if err == nil {
		s.sending, err = s.sender.tracked(deps, cfg)
	}
	if err == nil {
		s.retrying, err = s.retries.tracked(deps, cfg)
	}
	if err == nil {
		s.replaying, err = s.replays.tracked(deps, cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("configure dispatcher: %w", err)
	}
	s.router = s.routes()
	return s, nil
}

// planPartitionBytes is about a batch of events. A partition that has a great many does not hold up what was read with them
// from the others by more than that.
const planPartitionBytes = 512 << 10

// plan adds the planners, each with the processor that runs it.
func (s *Service) plan() error {
	deliveries := []topic.Name{topic.WebhookDeliveries, topic.DeadLetters}
	for _, p := range []struct {
		role    string
		handler func(*planning) stream.Handler
		input   topic.Name
		outputs []topic.Name
	}{
		{rolePlan, s.replayed(topic.Events, planner{read: linkedReader(sanitize.New())}), topic.Events, deliveries},
		{
			rolePlanConversations, s.replayed(topic.Conversations, planner{read: readTransition, also: queueChanges}),
			topic.Conversations, append(slices.Clone(deliveries), topic.WebhookQueues),
		},
		{
			rolePlanQueues,
			func(p *planning) stream.Handler { return newQueuePlanner(p) },
			topic.WebhookQueues, append(slices.Clone(deliveries), topic.WebhookQueueSizes),
		},
	} {
		shared := &planning{role: p.role, records: records{kafka: s.deps.Kafka}, metrics: s.metrics}
		processor, err := stream.NewProcessor(s.deps.Kafka, stream.ProcessorConfig{
			Role: p.role, Instance: s.cfg.Instance, Input: p.input, Outputs: p.outputs, MaxBatchRecords: s.cfg.MaxBatch,
			MaxPartitionBytes: planPartitionBytes,
		}, p.handler(shared), stream.Deps{Log: s.log, Reg: s.deps.Reg, Traces: s.deps.Traces})
		if err != nil {
			return err
		}
		s.planners, s.planning = append(s.planners, shared), append(s.planning, processor)
	}
	return nil
}

// replayed makes a planner, of which replays make use too.
func (s *Service) replayed(input topic.Name, p planner) func(*planning) stream.Handler {
	return func(shared *planning) stream.Handler {
		p.planning = shared
		s.replays.sources = append(s.replays.sources, source{input, &p})
		return &p
	}
}

// Handler answers the routes of webhooks. Before Run has opened what they need, they answer 503.
func (s *Service) Handler() http.Handler { return s.router }

// Ready says why deliveries are not made yet; it is nil once they are. It fits run.Readiness.
func (s *Service) Ready(context.Context) error {
	d := s.directory.Load()
	if d == nil {
		return errors.New("dispatcher: endpoints are not open")
	}
	if s.history.Load() == nil {
		return errors.New("dispatcher: the tables of deliveries are not open")
	}
	errs := []error{d.view.Ready(), s.sending.Ready(), s.retrying.Ready(), s.replaying.Ready()}
	for _, p := range s.planning {
		errs = append(errs, p.Ready())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("dispatcher: %w", err)
	}
	return nil
}

// Run plans and delivers until the context ends, and then returns nil. The groups' first offsets must be committed
// (stream.CommitInitialOffsets). Call it once.
func (s *Service) Run(ctx context.Context) (err error) {
	d, err := openDirectory(ctx, s.cfg, s.deps, s.filters)
	if err != nil {
		return fmt.Errorf("run dispatcher: %w", err)
	}
	defer func() { err = errors.Join(err, d.view.Close()) }()
	j, err := openJobs(ctx, s.cfg, s.deps)
	if err != nil {
		return fmt.Errorf("run dispatcher: %w", err)
	}
	defer func() { err = errors.Join(err, j.view.Close()) }()
	watch, err := stream.NewOffsetWatch(s.deps.Kafka, stream.Deps{Log: s.log})
	if err != nil {
		return fmt.Errorf("run dispatcher: %w", err)
	}
	defer watch.Close()
	partitions, err := stream.Partitions(ctx, s.deps.Kafka, stream.Deps{Log: s.log}, topic.WebhookDeliveries)
	if err != nil {
		return fmt.Errorf("run dispatcher: %w", err)
	}
	r := records{kafka: s.deps.Kafka, deliveries: partitions}
	for _, p := range s.planners {
		p.directory, p.records = d, r
	}
	s.sender.directory, s.sender.records = d, r
	s.retries.records = r
	s.replays.directory, s.replays.records, s.replays.jobs, s.replays.watch = d, r, j, watch
	defer s.sender.poster.close()
	s.directory.Store(d)
	s.jobs.Store(j)
	group, ctx := errgroup.WithContext(ctx)
	parts := []func(context.Context) error{
		d.view.Run, s.sending.Run, s.retrying.Run, s.replaying.Run, j.view.Run, s.sender.settleDoubts, s.sender.sweep, s.openHistory,
	}
	for _, p := range s.planning {
		parts = append(parts, p.Run)
	}
	for _, part := range parts {
		group.Go(func() error { return part(ctx) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("run dispatcher: %w", err)
	}
	return nil
}

// comeBack is when a client that found us starting or behind should come back.
const comeBack = time.Second

// endpoints is the directory, or a 503 where it is not open yet.
func (s *Service) endpoints() (*directory, error) {
	d := s.directory.Load()
	if d == nil {
		return nil, problem.Busy("The service is starting, or stopping.", comeBack)
	}
	return d, nil
}
