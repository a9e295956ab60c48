// Package conversation is the processor of conversations: the one place where a command is decided. It checks a command
// against the state of its conversation, finds whom the transition concerns, and writes transition, state, reply and the
// position that it has read in one transaction.
//
// The rules themselves are in schema/conversation. DESIGN.md beside this file says why the order of decisions is one that
// every client agrees with, and which test proves it.
package conversation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline/throughline/ingest/links"
	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
)

// Bounds of Config.MaxBatch. Load relies on the upper one: no transaction writes more commands' records.
const (
	minBatch = 1
	maxBatch = 10_000
)

// Config says how the processor works.
type Config struct {
	// Dir is the folder of the local copy of states. It may be removed while the process is down: the states are then read
	// from the log.
	Dir string
	// Instance tells the processors of an installation apart. It stays the same over restarts, so that a new start ends
	// the transaction that its predecessor left open.
	Instance string
	// MaxBatch bounds the commands of one transaction.
	MaxBatch int
}

// DefaultConfig is that of an installation with one processor.
func DefaultConfig() Config { return Config{Instance: "conversations-0", MaxBatch: 5000} }

// Validate reports everything that is wrong with a Config.
func (c Config) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("folder of conversations is missing"))
	}
	if c.Instance == "" {
		errs = append(errs, errors.New("conversations instance is missing"))
	}
	if c.MaxBatch < minBatch || c.MaxBatch > maxBatch {
		errs = append(errs, fmt.Errorf("conversations max batch is %d, want %d to %d", c.MaxBatch, minBatch, maxBatch))
	}
	return errors.Join(errs...)
}

// Objects is what the processor needs of the registry. Its CurrentKey answers from the view as it is.
type Objects interface {
	links.Objects

	// Barrier returns once the view has everything that was acknowledged before the call, objects and data keys.
	Barrier(ctx context.Context) error
	// Object is what was PUT of an object, on the view as it is; false where that is nothing.
	Object(workspace string, ref object.Ref) (*object.Record, bool, error)
	// DataKey is one data key of a subject. Errors: registry.ErrErased; seal.ErrKey where it does not unwrap.
	DataKey(ctx context.Context, workspace string, ref object.Ref, keyID string) (*seal.DataKey, error)
	// CurrentKey is the newest data key of a subject, with its id. Errors as for DataKey.
	CurrentKey(workspace string, ref object.Ref) (string, *seal.DataKey, error)
}

var _ Objects = (*registry.Registry)(nil)

// Deps is what the processor works with. The registry and the producer are opened, run and closed by the caller, because
// other services of the process share them.
type Deps struct {
	Kafka   stream.Config
	Objects Objects
	// Producer writes the data keys of new conversations, outside of transactions: a key must be there before what it seals.
	Producer *stream.Producer
	Master   *seal.Master
	Log      *slog.Logger
	Reg      prometheus.Registerer
	// Traces may be nil: then there are none.
	Traces trace.TracerProvider
}
