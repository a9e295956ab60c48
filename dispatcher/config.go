package dispatcher

import (
	"errors"
	"fmt"
	"time"
)

// Bounds of Config.
const (
	minAttemptTimeout = time.Second
	// maxAttemptTimeout is less than what a rebalance waits for attempts that are under way.
	maxAttemptTimeout = 15 * time.Second
	maxConcurrency    = 1 << 14
	maxReplayRate     = 10_000
)

// Config says how webhooks are delivered. The tags are kong's.
type Config struct {
	// Dir is the folder of the local copy of endpoints and data keys. It may be removed while the process is down.
	Dir string `kong:"-"`
	// Instance tells the dispatchers of an installation apart. It stays the same over restarts, so that a new start ends
	// the transactions that its predecessor left open.
	Instance string `name:"webhook-instance" env:"THROUGHLINE_WEBHOOK_INSTANCE" help:"Name of this dispatcher, unique in the installation and the same after a restart; absent: the host's name."`
	// Ports are those that a URL may name.
	Ports []int `name:"webhook-ports" env:"THROUGHLINE_WEBHOOK_PORTS" default:"443" help:"Ports that endpoints may have, separated by commas."`
	// Allow opens ranges that are refused otherwise.
	Allow []Allowed `name:"webhook-allow" env:"THROUGHLINE_WEBHOOK_ALLOW" placeholder:"CIDR:PORT" help:"Ranges of addresses, with a port or *, that endpoints may have although they are not public, separated by commas."`
	// PlainHTTP lets endpoints have http URLs. What they may reach is the same.
	PlainHTTP bool `name:"webhook-plain-http" env:"THROUGHLINE_WEBHOOK_PLAIN_HTTP" help:"Let endpoints have URLs that begin with http://, which anybody on the way can read."`
	// AttemptTimeout bounds one attempt, from the look-up of the name to the end of the answer.
	AttemptTimeout time.Duration `name:"webhook-attempt-timeout" env:"THROUGHLINE_WEBHOOK_ATTEMPT_TIMEOUT" default:"15s" help:"How long an attempt may take, at most 15s."`
	// Concurrency bounds the attempts of this process that are under way at once.
	Concurrency int `name:"webhook-concurrency" env:"THROUGHLINE_WEBHOOK_CONCURRENCY" default:"512" help:"Attempts that are under way at once."`
	// EndpointConcurrency bounds those of one endpoint.
	EndpointConcurrency int `name:"webhook-endpoint-concurrency" env:"THROUGHLINE_WEBHOOK_ENDPOINT_CONCURRENCY" default:"8" help:"Attempts to one endpoint that are under way at once."`
	// MaxBatch bounds the events that are planned in one transaction.
	MaxBatch int `name:"webhook-max-batch" env:"THROUGHLINE_WEBHOOK_MAX_BATCH" default:"1000" help:"Most events that are planned in one transaction."`
	// ReplayRate bounds the deliveries a second of one replay, so that live events get through beside it.
	ReplayRate int `name:"webhook-replay-rate" env:"THROUGHLINE_WEBHOOK_REPLAY_RATE" default:"100" help:"Deliveries a second that a replay makes at most."`
}

// DefaultConfig is what kong fills in where nothing is configured, but for the instance.
func DefaultConfig() Config {
	return Config{
		Ports: []int{443}, AttemptTimeout: maxAttemptTimeout, Concurrency: 512, EndpointConcurrency: 8, MaxBatch: 1000,
		ReplayRate: 100,
	}
}

// Validate reports everything that is wrong with what an operator said. What the program adds is checked by New.
func (c Config) Validate() error {
	var errs []error
	if len(c.Ports) == 0 && len(c.Allow) == 0 {
		errs = append(errs, errors.New("webhook ports are missing"))
	}
	for _, p := range c.Ports {
		if p < 1 || p > 65535 {
			errs = append(errs, fmt.Errorf("webhook port is %d, want 1 to 65535", p))
		}
	}
	if c.AttemptTimeout < minAttemptTimeout || c.AttemptTimeout > maxAttemptTimeout {
		errs = append(errs, fmt.Errorf("webhook attempt timeout is %s, want %s to %s", c.AttemptTimeout, minAttemptTimeout, maxAttemptTimeout))
	}
	if c.Concurrency < 1 || c.Concurrency > maxConcurrency {
		errs = append(errs, fmt.Errorf("webhook concurrency is %d, want 1 to %d", c.Concurrency, maxConcurrency))
	}
	if c.EndpointConcurrency < 1 || c.EndpointConcurrency > c.Concurrency {
		errs = append(errs, fmt.Errorf("webhook endpoint concurrency is %d, want 1 to %d", c.EndpointConcurrency, c.Concurrency))
	}
	if c.MaxBatch < 1 || c.MaxBatch > 5000 {
		errs = append(errs, fmt.Errorf("webhook max batch is %d, want 1 to 5000", c.MaxBatch))
	}
	if c.ReplayRate < 1 || c.ReplayRate > maxReplayRate {
		errs = append(errs, fmt.Errorf("webhook replay rate is %d, want 1 to %d", c.ReplayRate, maxReplayRate))
	}
	return errors.Join(errs...)
}
