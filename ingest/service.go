// Package ingest is the write side of Throughline: the HTTP edge, which makes a request durable before it answers. The
// edge resolves objects in the registry (package registry); what it accepted is linked by package link.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
)

// Deps is what the edge works with. The registry, the access view and the producer are opened, run and closed by the
// caller, because other services of the process share them.
type Deps struct {
	Kafka    stream.Config
	Producer *stream.Producer
	Registry *registry.Registry
	Access   *access.Access
	Master   *seal.Master
	Log      *slog.Logger
	Reg      prometheus.Registerer
	// Traces may be nil: then there are none.
	Traces trace.TracerProvider
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Service is the edge.
type Service struct {
	cfg   Config
	kafka stream.Config
	// submissions is the full name of the topic that most requests write to.
	submissions string
	producer    *stream.Producer
	registry    *registry.Registry
	access      *access.Access
	master      *seal.Master
	records     registry.Records
	log         *slog.Logger
	metrics     *metrics
	now         func() time.Time
	slots       chan struct{}
	// bodies counts the bytes that bodies hold.
	bodies   *semaphore.Weighted
	lookups  *turnstile
	limits   *rateLimits
	locks    *locks
	refusals chan *stream.Record
	// refusalBytes counts the bytes of refusals.
	refusalBytes *semaphore.Weighted
	router       *web.Router
	replies      *replies
	streamDeps   stream.Deps
}

// New checks the configuration and builds the edge. It does no I/O.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure ingest: %w", err)
	}
	if deps.Producer == nil || deps.Registry == nil || deps.Access == nil || deps.Master == nil {
		return nil, errors.New("configure ingest: producer, registry, access and master key are needed")
	}
	s := &Service{
		cfg: cfg, kafka: deps.Kafka, submissions: deps.Kafka.Topic(topic.Submissions), producer: deps.Producer, registry: deps.Registry, access: deps.Access,
		master: deps.Master, log: deps.Log, metrics: newMetrics(deps.Reg, cfg), now: deps.Now,
		slots: make(chan struct{}, cfg.MaxInFlight), bodies: semaphore.NewWeighted(cfg.MaxBodyBytes), lookups: &turnstile{},
		locks: newLocks(), refusals: make(chan *stream.Record, cfg.RefusalBuffer),
		refusalBytes: semaphore.NewWeighted(maxRefusalBytes), replies: newReplies(deps.Log),
		streamDeps: stream.Deps{Log: deps.Log, Reg: deps.Reg, Traces: deps.Traces},
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.records = registry.Records{Kafka: s.kafka, Master: s.master, Now: s.now}
	s.limits = newRateLimits(cfg.RateLimitPerKey, s.now)
	s.router = web.NewRouter(web.Options{
		Log: deps.Log,
		// Several services may have a router on one registry.
		Registerer: prometheus.WrapRegistererWith(prometheus.Labels{"service": "ingest"}, deps.Reg),
		Traces:     deps.Traces,
	})
	s.routes()
	return s, nil
}

// Handler answers the routes of the write side.
func (s *Service) Handler() http.Handler { return s.router }

// Ready says why the edge cannot answer yet; it is nil once it can. It fits run.Readiness.
func (s *Service) Ready(ctx context.Context) error {
	return errors.Join(s.registry.Ready(ctx), s.access.Ready(ctx), s.producer.Ping(ctx), s.replies.ready())
}

// Run writes refusals to the log until the context ends, then those that still wait, and reads the replies to commands.
// Requests are answered whether it runs or not, but for those to conversations.
func (s *Service) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		defer cancel()
		ended <- s.replies.run(ctx, s.kafka, s.streamDeps)
	}()
	err := s.logRefusals(ctx)
	return errors.Join(err, <-ended)
}

// topics of records, by their full names.
func (s *Service) topic(name topic.Name) string { return s.kafka.Topic(name) }
