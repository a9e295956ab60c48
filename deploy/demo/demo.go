package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/throughline/throughline/deploy/replay"
)

// Config says what the demo posts, and where.
type Config struct {
	// URL is the server's base address.
	URL string
	// Key is an API key that may write objects and conversations and read.
	Key string
	// Day of the trace, as 1999-02-01.
	Day string
	// Workers is how many batches are under way at most.
	Workers int
}

// Validate says everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if _, err := Calls(c.Day); err != nil {
		errs = append(errs, err)
	}
	if c.Workers < 1 || c.Workers > 16 {
		errs = append(errs, fmt.Errorf("%d workers are not between 1 and 16", c.Workers))
	}
	return errors.Join(errs...)
}

// errRefused is the end of a demo that the server does not want.
var errRefused = errors.New("the server refused a part of the calls")

// show is a demo under way.
type show struct {
	cfg    Config
	out    io.Writer
	client *client

	mu        sync.Mutex
	positions []string // of what was posted last
}

// Run posts the day and writes to out how far it is and, at the end, the timeline of the customer who called most, the
// day's report and the wallboard of its busiest moment.
//
// The day's conversations are known by their ids, so that running it again does not change them. The wallboard shows what
// happens now: for it the calls up to that moment are posted once more, as if the moment was now, and end with the demo.
func Run(ctx context.Context, cfg Config, out io.Writer) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	calls, err := Calls(cfg.Day)
	if err != nil {
		return err
	}
	client, err := newClient(cfg.URL, cfg.Key)
	if err != nil {
		return err
	}
	defer client.close()
	s := &show{cfg: cfg, out: out, client: client}

	if err := s.post(ctx, calls, true, out); err != nil {
		return err
	}
	customer := busiest(calls)
	rows, err := client.timeline(ctx, customer, s.positions)
	if err != nil {
		return err
	}
	if err := writeTimeline(out, customer, rows); err != nil {
		return err
	}
	day, err := time.Parse(time.DateOnly, cfg.Day)
	if err != nil {
		return err
	}
	report, err := client.report(ctx, day, s.positions)
	if err != nil {
		return err
	}
	if err := writeReport(out, cfg.Day, report); err != nil {
		return err
	}
	if len(report) == 0 || report[0].MaxQueueAt == nil {
		return nil // nobody waited
	}
	return s.live(ctx, calls, *report[0].MaxQueueAt)
}

// live shows the wallboard as it was at a moment of the day.
func (s *show) live(ctx context.Context, calls []replay.Call, moment time.Time) error {
	now := time.Now().Truncate(time.Second)
	so := until(calls, moment, now)
	if err := s.post(ctx, so, false, io.Discard); err != nil {
		return err
	}
	b, err := s.client.wallboard(ctx, s.positions)
	if err != nil {
		return err
	}
	if err := writeBoard(s.out, moment, b); err != nil {
		return err
	}
	return s.post(ctx, hungUp(so, time.Now()), false, io.Discard)
}

// post posts calls and keeps the positions.
func (s *show) post(ctx context.Context, calls []replay.Call, objects bool, progress io.Writer) error {
	s.positions = nil
	cfg := replay.DefaultConfig()
	cfg.URL, cfg.Key, cfg.Parallel, cfg.Objects = s.cfg.URL, s.cfg.Key, s.cfg.Workers, objects
	totals, err := replay.Calls(ctx, calls, cfg, replay.Deps{Progress: progress, Position: func(position string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.positions = append(s.positions, position)
	}})
	if err != nil {
		return err
	}
	if totals.Refused > 0 {
		return fmt.Errorf("%w: %d transitions", errRefused, totals.Refused)
	}
	return nil
}
