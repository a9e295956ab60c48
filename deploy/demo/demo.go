package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/throughline/throughline/schema/run"
)

// Config says what the demo posts, and where.
type Config struct {
	// URL is the server's base address.
	URL string
	// Key is an API key that may write objects and events and read.
	Key string
	// Day of the trace, as 1999-02-01.
	Day string
	// Workers is how many requests are under way at most.
	Workers int
}

// Validate says everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if _, err := Calls(c.Day); err != nil {
		errs = append(errs, err)
	}
	if c.Workers < 1 || c.Workers > 256 {
		errs = append(errs, fmt.Errorf("%d workers are not between 1 and 256", c.Workers))
	}
	return errors.Join(errs...)
}

// Run posts the day and writes to out how far it is and, at the end, the timeline of the customer who called most.
// Running it again changes nothing: the same objects, and events that are known by their ids.
func Run(ctx context.Context, cfg Config, out io.Writer) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	calls, err := Calls(cfg.Day)
	if err != nil {
		return err
	}
	client, err := newClient(cfg.URL, cfg.Key, cfg.Workers)
	if err != nil {
		return err
	}
	defer client.close()

	all := objects(calls)
	terminal := run.Terminal(out)
	step := func(what string, total int, do func(*progress) error) error {
		p := startProgress(out, what, total, terminal)
		defer p.finish()
		return do(p)
	}
	err = step("objects", len(all), func(p *progress) error {
		return each(ctx, all, cfg.Workers, p, func(ctx context.Context, o upsert) error {
			_, err := client.put(ctx, o)
			return err
		})
	})
	if err != nil {
		return err
	}

	shown := reference{customerType, busiest(calls)}
	var mu sync.Mutex
	var positions []string // of the events that the timeline shall show
	err = step("events", len(calls), func(p *progress) error {
		return each(ctx, calls, cfg.Workers, p, func(ctx context.Context, c Call) error {
			position, err := client.post(ctx, event(c))
			if err == nil && c.Customer == shown.ObjectID {
				mu.Lock()
				positions = append(positions, position)
				mu.Unlock()
			}
			return err
		})
	})
	if err != nil {
		return err
	}
	rows, err := client.timeline(ctx, shown, positions)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out); err != nil {
		return fmt.Errorf("write timeline: %w", err)
	}
	return writeTimeline(out, shown, rows)
}
