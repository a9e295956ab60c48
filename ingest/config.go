package ingest

import (
	"errors"
	"fmt"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/workspace"
)

// Bounds of Config.MaxInFlight.
const (
	minInFlight = 1
	maxInFlight = 1 << 16
)

// minBodyBytes lets one batch of the greatest size in, even if it did not get smaller by being compressed.
const minBodyBytes = bodyCost * (2*event.MaxBatchBytes + 1<<20)

// Bounds of Config.RequestTimeout. A request must be over before run's server cuts it off.
const (
	minRequestTimeout = 100 * time.Millisecond
	maxRequestTimeout = 40 * time.Second
)

// Config says how the edge behaves. The tags are kong's.
type Config struct {
	// MaxInFlight bounds the requests that are worked on at once; more are answered 503. A body that is still on its way
	// takes no place, so that slow clients keep nobody out.
	MaxInFlight int `name:"ingest-max-in-flight" env:"THROUGHLINE_INGEST_MAX_IN_FLIGHT" default:"1024" help:"Requests of the write side that are worked on at once; more are answered 503."`
	// MaxBodyBytes bounds what the bodies of requests hold at once; more are answered 503. A body counts as far as it has
	// arrived, with what is made of it, three times its size: 192 MiB are eight of the largest batches, or the 1,024
	// largest single events twice over.
	MaxBodyBytes int64 `name:"ingest-max-body-bytes" env:"THROUGHLINE_INGEST_MAX_BODY_BYTES" type:"bytes" default:"192MiB" help:"Bytes that the bodies of requests may hold at once, each counted three times; more are answered 503."`
	// RequestTimeout bounds a request: its body has to arrive in it, or the answer is 408, and what it waits for has to
	// happen in it, or the answer is 503. The answer may be read for as long again.
	RequestTimeout time.Duration `name:"ingest-request-timeout" env:"THROUGHLINE_INGEST_REQUEST_TIMEOUT" default:"10s" help:"How long a request of the write side may take, its body included."`
	// RateLimitPerKey bounds the events and objects that an API key without a limit of its own may write a second, on each
	// edge; 0 is no limit.
	RateLimitPerKey float64 `name:"rate-limit-per-key" env:"THROUGHLINE_RATE_LIMIT_PER_KEY" default:"0" help:"Events and objects that one API key may write a second, on each edge, unless the key has a limit of its own; 0 is no limit."`
	// RefusalBuffer bounds the refusals that wait to be written to the log; more are counted and left out of it.
	RefusalBuffer int `name:"ingest-refusal-buffer" env:"THROUGHLINE_INGEST_REFUSAL_BUFFER" default:"4096" help:"Refused events that wait to be written to the event log; more are left out of it."`
}

// DefaultConfig is what kong fills in where nothing is configured.
func DefaultConfig() Config {
	return Config{MaxInFlight: 1024, MaxBodyBytes: 192 << 20, RequestTimeout: 10 * time.Second, RefusalBuffer: 4096}
}

// Validate reports everything that is wrong with a Config.
func (c Config) Validate() error {
	var errs []error
	if c.MaxInFlight < minInFlight || c.MaxInFlight > maxInFlight {
		errs = append(errs, fmt.Errorf("ingest max in flight is %d, want %d to %d", c.MaxInFlight, minInFlight, maxInFlight))
	}
	if c.MaxBodyBytes < minBodyBytes {
		errs = append(errs, fmt.Errorf("ingest max body bytes is %d, want at least %d: one batch", c.MaxBodyBytes, minBodyBytes))
	}
	if c.RequestTimeout < minRequestTimeout || c.RequestTimeout > maxRequestTimeout {
		errs = append(errs, fmt.Errorf("ingest request timeout is %s, want %s to %s", c.RequestTimeout, minRequestTimeout, maxRequestTimeout))
	}
	if l := c.RateLimitPerKey; l != 0 && !(l >= workspace.MinRateLimit && l <= workspace.MaxRateLimit) {
		errs = append(errs, fmt.Errorf("rate limit per key is %g, want 0 or %g to %.0f", l, workspace.MinRateLimit, workspace.MaxRateLimit))
	}
	if c.RefusalBuffer < 1 {
		errs = append(errs, fmt.Errorf("ingest refusal buffer is %d, want at least 1", c.RefusalBuffer))
	}
	return errors.Join(errs...)
}
