package projector

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/stream"
)

// auditOffsets bounds the offsets that one look compares: reading and transforming so many records takes well under a
// second, and so does the query for their rows.
const auditOffsets = 5000

// auditor compares, one partition of a table at a time and in turn, what was projected last with the log, and exports what
// it finds. One look has a bounded cost, and so has a process that makes one in Config.AuditEvery.
type auditor struct {
	list     []projections.Projection
	every    time.Duration
	deps     Deps
	view     *stream.View
	metrics  *metrics
	found    map[string]map[stream.TopicPartition]Counts
	upcoming []look
}

func newAuditor(list []projections.Projection, cfg Config, deps Deps, view *stream.View, m *metrics) *auditor {
	return &auditor{
		list: list, every: cfg.AuditEvery, deps: deps, view: view, metrics: m, found: map[string]map[stream.TopicPartition]Counts{},
	}
}

// look is what is compared at a time.
type look struct {
	p projections.Projection
	s span
}

// run looks until the context ends. What cannot be compared now is compared in the next turn.
func (a *auditor) run(ctx context.Context) error {
	if a.every == 0 {
		return nil
	}
	watch, err := stream.NewOffsetWatch(a.deps.Kafka, stream.Deps{Log: a.deps.Log})
	if err != nil {
		return fmt.Errorf("audit tables: %w", err)
	}
	defer watch.Close()
	r := newReconciler(a.deps, a.view, watch, nil)
	for pause(ctx, a.every) == nil {
		if err := a.next(ctx, r); err != nil && ctx.Err() == nil {
			a.metrics.auditFailures.Inc()
			a.deps.Log.WarnContext(ctx, "tables cannot be compared with the log", slog.String("error", err.Error()))
		}
	}
	return nil
}

// next makes one look.
func (a *auditor) next(ctx context.Context, r *reconciler) error {
	if len(a.upcoming) == 0 {
		for _, p := range a.list {
			spans, err := r.spans(ctx, p, auditOffsets)
			if err != nil {
				return err
			}
			for _, s := range spans {
				a.upcoming = append(a.upcoming, look{p, s})
			}
		}
	}
	for len(a.upcoming) > 0 {
		at := a.upcoming[0]
		a.upcoming = a.upcoming[1:]
		// Where it stands now, and not where it stood when the turn began.
		spans, err := r.spansOf(ctx, at.p, at.s.name, auditOffsets)
		if err != nil {
			return err
		}
		s := spans[at.s.tp.Partition]
		if s.from == s.to {
			continue
		}
		report, err := r.partition(ctx, at.p, s)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", at.p.Table, s.tp, err)
		}
		a.note(ctx, at.p.Table, s, report)
		return nil
	}
	return nil
}

// note exports what a look has found, together with what is known of the table's other partitions.
func (a *auditor) note(ctx context.Context, table string, s span, report PartitionReport) {
	if a.found[table] == nil {
		a.found[table] = map[stream.TopicPartition]Counts{}
	}
	a.found[table][s.tp] = report.Counts
	var all Counts
	for _, c := range a.found[table] {
		all.add(c)
	}
	for _, kind := range []string{Missing, Extra, Doubled} {
		a.metrics.differing.WithLabelValues(table, kind).Set(float64(*all.of(kind)))
	}
	a.metrics.audited.WithLabelValues(table).Add(float64(report.Records))
	if !report.Clean() {
		a.deps.Log.ErrorContext(ctx, "table differs from the log", slog.String("table", table), slog.String("partition", s.tp.String()),
			slog.Int64("missing", report.Missing), slog.Int64("extra", report.Extra), slog.Int64("doubled", report.Doubled),
			slog.Any("ranges", report.Ranges))
	}
}
