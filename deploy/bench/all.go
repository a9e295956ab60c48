package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// AllConfig says how thoroughly everything is measured. The tags are kong's.
type AllConfig struct {
	Quick   bool     `name:"quick" help:"Measure each part for a short time: some five minutes in all."`
	Size    []int    `name:"size" env:"SIZE" help:"Rows of the timeline of which pages are measured, one table for each size."`
	Kafka   string   `name:"kafka" default:"apache" enum:"apache,embedded" help:"Which broker to start where KAFKA_BROKERS names none."`
	Brokers []string `name:"brokers" env:"KAFKA_BROKERS" placeholder:"HOST:PORT" help:"Brokers to use instead of one that is started."`
	JSON    string   `name:"json" placeholder:"FILE" help:"Write every figure to this file."`
}

// sizes are how much each part is given.
type sizes struct {
	rounds, projected, events, transitions, pages int
	edge, freshness                               time.Duration
	rows                                          []int
}

func (c AllConfig) sizes() sizes {
	s := sizes{
		rounds: 3, projected: 200_000, events: 300_000, transitions: 50_000, pages: 200, edge: 4 * time.Second, freshness: 30 * time.Second,
		rows: []int{1_000_000, 10_000_000},
	}
	if c.Quick {
		s = sizes{
			rounds: 1, projected: 50_000, events: 50_000, transitions: 10_000, pages: 50, edge: 2 * time.Second, freshness: 10 * time.Second,
			rows: []int{200_000, 1_000_000},
		}
	}
	if len(c.Size) > 0 {
		s.rows = c.Size
	}
	return s
}

// All measures every part, one after the other, each with servers of its own.
func All(ctx context.Context, cfg AllConfig, out, progress io.Writer, log *slog.Logger) error {
	sum, s := newSummary(), cfg.sizes()
	for _, part := range []struct {
		name    string
		measure func() error
	}{
		{"edge", func() error { return cfg.edge(ctx, s, sum, progress, log) }},
		{"projector", func() error {
			r, err := measureProjector(ctx, ProjectorConfig{
				Events: s.projected, Rounds: s.rounds, Block: defaultBlock, Kafka: cfg.Kafka, Brokers: cfg.Brokers,
			}, progress, log)
			if err == nil {
				sum.pairs("projector", "from the log into the tables", "rows/s", r.Rounds, perSecond, aimProjector, false, "the client library inserts the same rows")
			}
			return err
		}},
		{"end to end", func() error {
			return measureSystem(ctx, SystemConfig{Events: s.events, Time: s.freshness, Kafka: cfg.Kafka, Brokers: cfg.Brokers}, sum, progress, log)
		}},
		{"query", func() error {
			return measurePages(ctx, PagesConfig{Size: s.rows, Pages: s.pages, Kafka: cfg.Kafka, Brokers: cfg.Brokers}, sum, progress, log)
		}},
		{"conversations", func() error {
			return measureConversations(ctx, ConversationsConfig{
				Transitions: s.transitions, Rate: 10, Time: s.edge * 2, Kafka: cfg.Kafka, Brokers: cfg.Brokers,
			}, sum, progress, log)
		}},
	} {
		_, _ = fmt.Fprintf(progress, "== %s (%s)\n", part.name, time.Since(sum.Time).Round(time.Second)) // as say
		if err := part.measure(); err != nil {
			return fmt.Errorf("measure %s: %w", part.name, err)
		}
	}
	return sum.finish(cfg.JSON, out)
}

// edge measures single POSTs and batches beside the bare handler and the client library.
func (c AllConfig) edge(ctx context.Context, s sizes, sum *Summary, progress io.Writer, log *slog.Logger) error {
	r, err := measureEdge(ctx, Config{
		Rounds: s.rounds, Time: s.edge, Warmup: s.edge, Clients: 128, Batch: 1000, Senders: 4, Lookup: "objectId", Log: "info",
		Kafka: c.Kafka, Brokers: c.Brokers, Only: "all",
	}, io.Discard, progress, log)
	if err != nil {
		return err
	}
	sum.pairs("edge", "single POSTs, 128 clients", "events/s", r.Closed, perSecond, aimSingles, false, "a bare handler that produces the body")
	sum.pairs("edge", "single POSTs at half load, p99", "ms", r.Open, func(f Figures) float64 { return milliseconds(f.P99) }, aimP99, true, "the same of the bare handler")
	sum.pairs("edge", "batches of 1000, 4 clients", "events/s", r.Batches, perSecond, aimBatches, false, "the client library produces the same records")
	return nil
}

// pairs adds the medians of rounds.
func (s *Summary) pairs(part, name, unit string, pairs []Pair, of func(Figures) float64, aim float64, atMost bool, by string) {
	ours, limits := make([]float64, len(pairs)), make([]float64, len(pairs))
	for i, p := range pairs {
		ours[i], limits[i] = of(p.Ours), of(p.Limit)
	}
	s.add(Measure{Part: part, Name: name, Unit: unit, Ours: median(ours), Limit: median(limits), By: by, Aim: aim, AtMost: atMost})
}
