// Package link is the background job that turns submissions into events: it drops repeats, finds the objects on whose
// timelines an event belongs, seals what is personal, and writes what it decided in one transaction with the position
// that it has read.
//
// DESIGN.md beside this file says why that is exactly once, and which test proves it.
package link

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline/throughline/schema/stream"
)

// Bounds of Config.MaxBatch. Load relies on the upper one: no transaction writes more rejections.
const (
	minBatch = 1
	maxBatch = tailOfRejections
)

// Config is what an operator may say about link. The tags are kong's.
type Config struct {
	// Dir is the folder of the deduplication window. It may be removed while the process is down: the window is then
	// read from the log. It is set by the program, which keeps all local stores in one folder.
	Dir string `kong:"-"`
	// Instance tells the linkers of an installation apart. It stays the same over restarts, so that a new start ends
	// the transaction that its predecessor left open. It is set by the program, which knows its host.
	Instance string `kong:"-"`
	// MaxBatch bounds the submissions of one transaction.
	MaxBatch int `name:"link-max-batch" env:"THROUGHLINE_LINK_MAX_BATCH" default:"5000" help:"Most submissions that are linked in one transaction."`
	// WindowEntries bounds the events that the window of one partition remembers, about 120 bytes on disk each.
	WindowEntries int `name:"link-window-entries" env:"THROUGHLINE_LINK_WINDOW_ENTRIES" default:"2000000" help:"Most events that the deduplication window of a partition remembers; older ones are forgotten before their 24 hours are over."`
}

// DefaultConfig is what kong fills in where nothing is configured.
func DefaultConfig() Config {
	return Config{Instance: "link-0", MaxBatch: 5000, WindowEntries: 2_000_000}
}

// Validate reports everything that is wrong with what an operator said.
func (c Config) Validate() error {
	var errs []error
	if c.MaxBatch < minBatch || c.MaxBatch > maxBatch {
		errs = append(errs, fmt.Errorf("link max batch is %d, want %d to %d", c.MaxBatch, minBatch, maxBatch))
	}
	if c.WindowEntries < 1 {
		errs = append(errs, fmt.Errorf("link window entries is %d, want at least 1", c.WindowEntries))
	}
	return errors.Join(errs...)
}

// complete is an error where the program has left something out.
func (c Config) complete() error {
	if c.Dir == "" || c.Instance == "" {
		return fmt.Errorf("link folder is %q and instance is %q, want both", c.Dir, c.Instance)
	}
	return nil
}

// Deps is what link works with. The registry is opened, run and closed by the caller, because the edge of the process
// shares it.
type Deps struct {
	Kafka   stream.Config
	Objects Objects
	Log     *slog.Logger
	Reg     prometheus.Registerer
	// Traces may be nil: then there are none.
	Traces trace.TracerProvider
}
