package ingest

import (
	"errors"
	"fmt"

	"github.com/throughline/throughline/schema/event"
)

// Bounds of Config.MaxInFlight.
const (
	minInFlight = 1
	maxInFlight = 1 << 16
)

// minBatchBytes lets one batch of the greatest size in.
const minBatchBytes = batchCost * event.MaxBatchBytes

// Config says how the edge behaves. The tags are kong's.
type Config struct {
	// MaxInFlight bounds the requests that are worked on at once; more are answered 503. A request holds its body, at
	// most 32 KiB, and what was made of it, so 1,024 of them hold less than 128 MiB.
	MaxInFlight int `name:"ingest-max-in-flight" env:"THROUGHLINE_INGEST_MAX_IN_FLIGHT" default:"1024" help:"Requests of the write side that are worked on at once; more are answered 503."`
	// MaxBatchBytes bounds what batches hold at once; more are answered 503. A batch is counted with what is made of it,
	// three times its size, so that 192 MiB are eight of the largest.
	MaxBatchBytes int64 `name:"ingest-max-batch-bytes" env:"THROUGHLINE_INGEST_MAX_BATCH_BYTES" default:"201326592" help:"Bytes that batches may hold at once, each counted three times; more are answered 503."`
	// RefusalBuffer bounds the refusals that wait to be written to the log; more are counted and left out of it.
	RefusalBuffer int `name:"ingest-refusal-buffer" env:"THROUGHLINE_INGEST_REFUSAL_BUFFER" default:"4096" help:"Refused events that wait to be written to the event log; more are left out of it."`
}

// DefaultConfig is what kong fills in where nothing is configured.
func DefaultConfig() Config {
	return Config{MaxInFlight: 1024, MaxBatchBytes: 192 << 20, RefusalBuffer: 4096}
}

// Validate reports everything that is wrong with a Config.
func (c Config) Validate() error {
	var errs []error
	if c.MaxInFlight < minInFlight || c.MaxInFlight > maxInFlight {
		errs = append(errs, fmt.Errorf("ingest max in flight is %d, want %d to %d", c.MaxInFlight, minInFlight, maxInFlight))
	}
	if c.MaxBatchBytes < minBatchBytes {
		errs = append(errs, fmt.Errorf("ingest max batch bytes is %d, want at least %d: one batch", c.MaxBatchBytes, minBatchBytes))
	}
	if c.RefusalBuffer < 1 {
		errs = append(errs, fmt.Errorf("ingest refusal buffer is %d, want at least 1", c.RefusalBuffer))
	}
	return errors.Join(errs...)
}
