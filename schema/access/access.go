// Package access knows every workspace and its API keys, and keeps out whoever has no key for what they ask.
//
// It is a live view of the topic workspaces. A key that was made or deleted anywhere is in force within 5 s, and on
// the process that made it at once.
package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/workspace"
)

// Config says where the view is kept and which key is the operator's.
type Config struct {
	// Dir is the folder of the local store. One process at a time may have it open.
	Dir string
	// AdminKey is the operator's key; empty means that nobody is the operator.
	AdminKey string
}

// Deps is what Access works with.
type Deps struct {
	Kafka stream.Config
	// Producer writes workspaces and keys. A service that only checks keys leaves it nil.
	Producer *stream.Producer
	Log      *slog.Logger
	Reg      prometheus.Registerer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Access is the view. It is safe for concurrent use.
type Access struct {
	admin    string // hash of the operator's key, or empty
	kafka    stream.Config
	producer *stream.Producer
	log      *slog.Logger
	view     *stream.View
	metrics  *metrics
	now      func() time.Time
	topic    string
	// partition is the topic's only one.
	partition stream.TopicPartition
	known     *known
	writing   lock
}

// storeVersion is the version of the form of the store. A store of another one is rebuilt from the log.
const storeVersion = 1

// Open opens the local store. The topic must exist. Nothing is read before Run.
func Open(ctx context.Context, cfg Config, deps Deps) (*Access, error) {
	if cfg.Dir == "" {
		return nil, errors.New("open access: its folder is not configured")
	}
	if cfg.AdminKey != "" && len(cfg.AdminKey) < workspace.MinSecretLength {
		return nil, fmt.Errorf("open access: the operator's key needs at least %d bytes", workspace.MinSecretLength)
	}
	a := &Access{
		kafka: deps.Kafka, producer: deps.Producer, log: deps.Log, metrics: newMetrics(deps.Reg), now: deps.Now,
		topic: deps.Kafka.Topic(topic.Workspaces), known: newKnown(), writing: newLock(),
	}
	a.partition = stream.TopicPartition{Topic: a.topic}
	if a.now == nil {
		a.now = time.Now
	}
	if cfg.AdminKey != "" {
		a.admin = workspace.HashKey(cfg.AdminKey)
	}
	view, err := stream.OpenView(ctx, deps.Kafka, stream.ViewConfig{
		Name: "access", Dir: cfg.Dir, Topics: []topic.Name{topic.Workspaces},
		Apply: a.apply, Version: storeVersion,
	}, stream.Deps{Log: deps.Log, Reg: deps.Reg})
	if err != nil {
		return nil, fmt.Errorf("open access: %w", err)
	}
	a.view = view
	return a, nil
}

// Run keeps the view up to date until the context ends, and then returns nil. Call it once.
func (a *Access) Run(ctx context.Context) error {
	if err := a.view.Run(ctx); err != nil {
		return fmt.Errorf("run access: %w", err)
	}
	return nil
}

// Close closes the store. Run must have returned, and nobody may read any more.
func (a *Access) Close() error {
	if err := a.view.Close(); err != nil {
		return fmt.Errorf("close access: %w", err)
	}
	return nil
}

// Ready says why no key can be checked yet; it is nil once the view has caught up for the first time. It fits
// run.Readiness.
func (a *Access) Ready(context.Context) error {
	if err := a.view.Ready(); err != nil {
		return fmt.Errorf("access: %w", err)
	}
	return nil
}

// Barrier returns once the view has everything that the log had when it was called.
func (a *Access) Barrier(ctx context.Context) error {
	if err := a.view.Barrier(ctx); err != nil {
		return fmt.Errorf("bring access up to date: %w", err)
	}
	return nil
}
