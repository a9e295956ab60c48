package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Figures are what one server did in one measurement.
type Figures struct {
	EventsPerSecond float64       `json:"eventsPerSecond"`
	P50             time.Duration `json:"p50,omitzero"`
	P90             time.Duration `json:"p90,omitzero"`
	P99             time.Duration `json:"p99,omitzero"`
	// CPU, Mallocs and AllocBytes are those of the server, an event.
	CPU        time.Duration `json:"cpuPerEvent"`
	Mallocs    float64       `json:"mallocsPerEvent"`
	AllocBytes float64       `json:"allocBytesPerEvent"`
	// Resident is the most memory that the server has had so far, in bytes.
	Resident uint64 `json:"resident"`
	// Database is the processor time of ClickHouse, an event, where it takes part.
	Database time.Duration `json:"databasePerEvent,omitzero"`
	// RowsAnInsert is how large the blocks were, where rows were inserted.
	RowsAnInsert float64 `json:"rowsAnInsert,omitzero"`
}

// Pair is ours beside the limit, measured one after the other.
type Pair struct {
	Ours  Figures `json:"ours"`
	Limit Figures `json:"limit"`
}

// measure warms everything up and runs the rounds.
func (b *bench) measure(ctx context.Context) (*Report, error) {
	if err := b.warm(ctx); err != nil {
		return nil, err
	}
	r := newReport(b.cfg)
	rate := b.cfg.Rate
	for round := range b.cfg.Rounds {
		b.say("round %d of %d, load %s", round+1, b.cfg.Rounds, loadAverage())
		if b.cfg.singles() {
			p, err := b.pair(ctx, round, b.closedEdge, b.closedBare)
			if err != nil {
				return nil, err
			}
			r.Closed = append(r.Closed, p)
			// One rate for all rounds and for both: half of what ours takes, which is less for the limit.
			if rate == 0 {
				rate = max(1, int(p.Ours.EventsPerSecond/2))
			}
			r.Rate = rate
			p, err = b.pair(ctx, round,
				func(ctx context.Context) (Figures, error) { return b.openLoop(ctx, b.edge, b.toEdge, rate) },
				func(ctx context.Context) (Figures, error) { return b.openLoop(ctx, b.bare, b.toBare, rate) })
			if err != nil {
				return nil, err
			}
			r.Open = append(r.Open, p)
		}
		if b.cfg.batches() {
			p, err := b.pair(ctx, round, b.batchEdge, b.batchDirect)
			if err != nil {
				return nil, err
			}
			r.Batches = append(r.Batches, p)
		}
	}
	r.LoadAfter = loadAverage()
	if b.cfg.Profile != "" {
		return r, b.profiles(ctx)
	}
	return r, nil
}

// pair measures ours and the limit, in turn the one and the other first.
func (b *bench) pair(ctx context.Context, round int, ours, limit func(context.Context) (Figures, error)) (p Pair, err error) {
	if round%2 == 1 {
		if p.Limit, err = limit(ctx); err != nil {
			return p, err
		}
	}
	if p.Ours, err = ours(ctx); err != nil {
		return p, err
	}
	if round%2 == 0 {
		p.Limit, err = limit(ctx)
	}
	return p, err
}

// using measures what a server uses while work makes it handle events.
func (c *child) using(ctx context.Context, work func() (events int, took time.Duration, err error)) (Figures, error) {
	before, err := c.usage(ctx)
	if err != nil {
		return Figures{}, err
	}
	events, took, err := work()
	if err != nil {
		return Figures{}, fmt.Errorf("measure %s: %w", c.role, err)
	}
	after, err := c.usage(ctx)
	if err != nil || events == 0 {
		return Figures{}, fmt.Errorf("measure %s: %d events: %w", c.role, events, err)
	}
	n := float64(events)
	return Figures{
		EventsPerSecond: n / took.Seconds(),
		CPU:             time.Duration(float64(after.CPU-before.CPU) / n),
		Mallocs:         float64(after.Mallocs-before.Mallocs) / n,
		AllocBytes:      float64(after.AllocBytes-before.AllocBytes) / n,
		Resident:        after.Resident,
	}, nil
}

func (b *bench) closedEdge(ctx context.Context) (Figures, error) {
	return b.closedLoop(ctx, b.edge, b.toEdge, b.cfg.Clients, 1)
}

func (b *bench) closedBare(ctx context.Context) (Figures, error) {
	return b.closedLoop(ctx, b.bare, b.toBare, b.cfg.Clients, 1)
}

func (b *bench) batchEdge(ctx context.Context) (Figures, error) {
	return b.closedLoop(ctx, b.edge, b.batchesToEdge, b.cfg.Senders, b.cfg.Batch)
}

// closedLoop posts requests that carry some events each as fast as they are answered.
func (b *bench) closedLoop(ctx context.Context, c *child, requests [][]byte, clients, each int) (Figures, error) {
	var l load
	f, err := c.using(ctx, func() (int, time.Duration, error) {
		var err error
		l, err = closed(ctx, c.Addr, requests, clients, b.cfg.Time)
		return l.requests * each, l.took, err
	})
	f.P50, f.P99 = l.quantile(0.5), l.quantile(0.99)
	return f, err
}

func (b *bench) openLoop(ctx context.Context, c *child, requests [][]byte, rate int) (Figures, error) {
	var l load
	f, err := c.using(ctx, func() (int, time.Duration, error) {
		var err error
		l, err = open(ctx, c.Addr, requests, 2*b.cfg.Clients, rate, b.cfg.Time)
		return l.requests, l.took, err
	})
	f.P50, f.P99 = l.quantile(0.5), l.quantile(0.99)
	return f, err
}

func (b *bench) batchDirect(ctx context.Context) (Figures, error) {
	return b.direct.using(ctx, func() (int, time.Duration, error) {
		var p produced
		err := b.direct.ask(ctx, "POST", "/produce?time="+b.cfg.Time.String(), &p)
		return p.Records, p.Took, err
	})
}

// profiles puts the edge under the same loads again, and keeps where its time and its memory went.
func (b *bench) profiles(ctx context.Context) error {
	if err := os.MkdirAll(b.cfg.Profile, 0o750); err != nil {
		return fmt.Errorf("make folder of profiles: %w", err)
	}
	for _, load := range []struct {
		name   string
		wanted bool
		run    func(context.Context) (Figures, error)
	}{{"singles", b.cfg.singles(), b.closedEdge}, {"batches", b.cfg.batches(), b.batchEdge}} {
		if !load.wanted {
			continue
		}
		b.say("profiling %s", load.name)
		wait := b.edge.profile(ctx, filepath.Join(b.cfg.Profile, load.name+".cpu.prof"), b.cfg.Time)
		if _, err := load.run(ctx); err != nil {
			return err
		}
		if err := wait(); err != nil {
			return err
		}
		allocs, err := b.edge.fetch(ctx, "GET", "/profile/allocs")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(b.cfg.Profile, load.name+".allocs.prof"), allocs, 0o600); err != nil {
			return fmt.Errorf("keep profile: %w", err)
		}
	}
	return nil
}
