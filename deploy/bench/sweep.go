package bench

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

// sweep measures single POSTs with several lingers of the producer, in turn, and prints a line for each: the edge beside
// the bare handler, both with that linger.
func (b *bench) sweep(ctx context.Context, out io.Writer) error {
	type setting struct {
		linger       time.Duration
		edge, bare   *child
		closed, open []Pair
	}
	settings := make([]*setting, 0, len(b.cfg.Sweep))
	for i, linger := range b.cfg.Sweep {
		s := &setting{linger: linger}
		for role, to := range map[string]**child{roleEdge: &s.edge, roleBare: &s.bare} {
			dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d", role, i))
			started, err := b.start(ctx, spec{Role: role, Brokers: b.kafka.Brokers, Prefix: b.kafka.Prefix, Dir: dir, Linger: linger})
			if err != nil {
				return err
			}
			*to = started
		}
		if err := b.awaitKey(ctx, s.edge.Addr); err != nil {
			return err
		}
		settings = append(settings, s)
	}
	for round := range b.cfg.Rounds + 1 {
		b.say("round %d of %d, load %s", round, b.cfg.Rounds, loadAverage())
		for _, s := range settings {
			p, err := b.pair(ctx, round,
				func(ctx context.Context) (Figures, error) {
					return b.closedLoop(ctx, s.edge, b.toEdge, b.cfg.Clients, 1)
				},
				func(ctx context.Context) (Figures, error) {
					return b.closedLoop(ctx, s.bare, b.toBare, b.cfg.Clients, 1)
				})
			if err != nil {
				return err
			}
			o, err := b.pair(ctx, round,
				func(ctx context.Context) (Figures, error) { return b.openLoop(ctx, s.edge, b.toEdge, b.sweepRate()) },
				func(ctx context.Context) (Figures, error) { return b.openLoop(ctx, s.bare, b.toBare, b.sweepRate()) })
			if err != nil {
				return err
			}
			// The first round warms up.
			if round > 0 {
				s.closed, s.open = append(s.closed, p), append(s.open, o)
			}
		}
	}
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "linger\tedge, events/s\tbare, events/s\tratio\tedge p50, ms\tedge p99, ms\tbare p50, ms\tbare p99, ms (at %d/s)\n", b.sweepRate())
	for _, s := range settings {
		of := func(pairs []Pair, f func(Pair) float64) float64 {
			values := make([]float64, len(pairs))
			for i, p := range pairs {
				values[i] = f(p)
			}
			return median(values)
		}
		_, _ = fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\n", s.linger,
			of(s.closed, func(p Pair) float64 { return p.Ours.EventsPerSecond }),
			of(s.closed, func(p Pair) float64 { return p.Limit.EventsPerSecond }),
			of(s.closed, func(p Pair) float64 { return p.Ours.EventsPerSecond / p.Limit.EventsPerSecond }),
			of(s.open, func(p Pair) float64 { return milliseconds(p.Ours.P50) }),
			of(s.open, func(p Pair) float64 { return milliseconds(p.Ours.P99) }),
			of(s.open, func(p Pair) float64 { return milliseconds(p.Limit.P50) }),
			of(s.open, func(p Pair) float64 { return milliseconds(p.Limit.P99) }))
	}
	_ = t.Flush() // a strings.Builder takes everything
	if _, err := io.WriteString(out, text.String()); err != nil {
		return fmt.Errorf("write sweep: %w", err)
	}
	return nil
}

// sweepRate is that of the latencies: low enough for every linger.
func (b *bench) sweepRate() int {
	if b.cfg.Rate > 0 {
		return b.cfg.Rate
	}
	return 1000
}

// awaitKey waits until an edge knows the key and the objects, which another one has written.
func (b *bench) awaitKey(ctx context.Context, addr string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(startTimeout)
	for {
		l, err := closed(ctx, addr, b.toEdge, 1, 100*time.Millisecond)
		if err == nil && l.requests > 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-limit:
			return fmt.Errorf("wait for an edge: %w", err)
		}
	}
}
