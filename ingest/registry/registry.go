// Package registry is the local view of objects and of the data keys of subjects, from which the edge and link resolve
// whom an event is about.
//
// It is a copy of three compacted topics on disk, in bounded memory, and can be thrown away. Its reads are exact: before a
// miss counts, the view has caught up with the end that the log had when the request came in, so that an upsert
// which was acknowledged, on any edge, is never answered with a 404.
package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/ingest/local"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// DefaultBarrierTimeout is how long a read waits for the view to catch up before it answers ErrBehind.
const DefaultBarrierTimeout = 2 * time.Second

// storeVersion is the version of the form of the store. A store of another one is rebuilt from the log.
const storeVersion = 2

const (
	// cacheBytes holds, of ten million objects (8 GiB in blocks of 16 KiB, each with 60 bytes of index), the index, 30 MiB;
	// the filters of all levels but the last, 4 MiB; and what is looked up over and over. All other blocks come from the
	// system's cache, which is nobody's resident memory.
	cacheBytes = 96 << 20
	// memTableBytes makes the files of the first level large enough that a load of ten million objects rewrites each
	// record four times instead of six. Two memtables are in memory, and a store that was killed reads as much again.
	memTableBytes = 32 << 20
)

// Errors that callers branch on.
var (
	// ErrNotFound: no object has this id or external id, and the view was up to date when it said so.
	ErrNotFound = errors.New("object not found")
	// ErrMismatch: the object id and the external id are both known, of different objects.
	ErrMismatch = errors.New("objectId and externalId are of different objects")
	// ErrBehind: the view did not catch up in time, so that a miss would prove nothing. Retry later.
	ErrBehind = errors.New("registry is behind the log")
	// ErrErased: the data key is not there, so that what it sealed is forgotten.
	ErrErased = errors.New("data key is erased")
)

// Config says where the view is kept.
type Config struct {
	// Dir is the folder of the local store. One process at a time may have it open.
	Dir string
	// BarrierTimeout bounds how long a read waits for the view; 0 means DefaultBarrierTimeout.
	BarrierTimeout time.Duration
}

// Deps is what a Registry works with.
type Deps struct {
	Kafka  stream.Config
	Master *seal.Master
	Log    *slog.Logger
	Reg    prometheus.Registerer
}

// Registry is the view. It is safe for concurrent use.
type Registry struct {
	cfg     Config
	kafka   stream.Config
	master  *seal.Master
	log     *slog.Logger
	view    *stream.View
	metrics *metrics
	objects string
	keys    string
	// fresh is used by apply alone, from one goroutine.
	fresh *local.Fresh
	// conversations are those that have begun.
	conversations *stream.View
}

// Open opens the local store, and throws it away first where it does not belong to this log any more (another cluster
// or topic, or too old). The topics must exist. Nothing is read before Run.
func Open(ctx context.Context, cfg Config, deps Deps) (*Registry, error) {
	if cfg.Dir == "" {
		return nil, errors.New("open registry: its folder is not configured")
	}
	if cfg.BarrierTimeout <= 0 {
		cfg.BarrierTimeout = DefaultBarrierTimeout
	}
	r := &Registry{
		cfg: cfg, kafka: deps.Kafka, master: deps.Master, log: deps.Log, metrics: newMetrics(deps.Reg),
		objects: deps.Kafka.Topic(topic.Objects), keys: deps.Kafka.Topic(topic.SubjectKeys),
	}
	view, err := stream.OpenView(ctx, deps.Kafka, stream.ViewConfig{
		Name:   "registry",
		Dir:    cfg.Dir,
		Topics: []topic.Name{topic.Objects, topic.SubjectKeys},
		Apply:  r.apply,
		// The edge writes both topics outside of transactions.
		ReadCommitted: false,
		Version:       storeVersion,
		CacheBytes:    cacheBytes,
		MemTableBytes: memTableBytes,
	}, stream.Deps{Log: deps.Log, Reg: deps.Reg})
	if err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	r.view = view
	if err := r.openConversations(ctx, deps); err != nil {
		return nil, errors.Join(fmt.Errorf("open registry: %w", err), view.Close())
	}
	// Half of what is to be read are data keys, or nearly so.
	r.fresh = local.NewFresh(view.Unread())
	return r, nil
}

// Run keeps the view up to date until the context ends, and then returns nil. Call it once.
func (r *Registry) Run(ctx context.Context) error {
	if err := r.runAll(ctx); err != nil {
		return fmt.Errorf("run registry: %w", err)
	}
	return nil
}

// Close closes the store. Run must have returned, and nobody may read any more.
func (r *Registry) Close() error {
	if err := errors.Join(r.conversations.Close(), r.view.Close()); err != nil {
		return fmt.Errorf("close registry: %w", err)
	}
	return nil
}

// Ready says why the view cannot be read yet; it is nil once the view has caught up for the first time. It fits
// run.Readiness.
func (r *Registry) Ready(context.Context) error {
	if err := errors.Join(r.view.Ready(), r.conversations.Ready()); err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	return nil
}

// Barrier returns once the view has every object and data key that was acknowledged when it was called. Callers share one
// request to the brokers and one wait. It answers ErrBehind after the configured timeout.
func (r *Registry) Barrier(ctx context.Context) error { return r.barrier(ctx) }

// WaitFor returns once the view has applied the record at this place of one of its topics: what a Producer returned, or
// what a position names. It waits as long as the context lets it, and then answers ErrBehind.
func (r *Registry) WaitFor(ctx context.Context, at stream.Offset) error {
	for {
		err := r.view.WaitFor(ctx, at)
		// One wait of the view is shorter than what a read by position may take.
		if ctx.Err() != nil || !errors.Is(err, stream.ErrBarrierTimeout) {
			return r.behind(ctx, err)
		}
	}
}

// barrier is Barrier for some partitions; none means all.
func (r *Registry) barrier(ctx context.Context, at ...stream.TopicPartition) error {
	return r.barrierOf(ctx, r.view, at...)
}

func (r *Registry) barrierOf(ctx context.Context, view *stream.View, at ...stream.TopicPartition) error {
	start := time.Now()
	limited, cancel := context.WithTimeout(ctx, r.cfg.BarrierTimeout)
	defer cancel()
	err := r.behind(ctx, view.Barrier(limited, at...))
	r.metrics.barrier(err, time.Since(start))
	return err
}

// behind tells a view that lags from a caller that left.
func (r *Registry) behind(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("wait for registry: %w", ctx.Err())
	default:
		return fmt.Errorf("%w: %w", ErrBehind, err)
	}
}
