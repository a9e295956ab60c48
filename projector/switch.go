package projector

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/stream"
)

// exchange gives the new table the name of the one in use. For that the group in use is had alone: what its members had
// announced is brought to its end, its position stands still, and the new table is filled to just there. So every batch that
// comes after finds all before it in the table, whichever of the two it is, and the exchange of the names is the only step
// that counts: before it nothing has changed, after it nothing is left to do.
func (r *rebuilder) exchange(ctx context.Context, p, next projections.Projection, build *owner, compare *reconciler, gauge *gauge) error {
	if err := r.sameColumns(ctx, p, next); err != nil {
		return err
	}
	use, err := r.worker(p).own(ctx, len(build.lanes), true)
	if err != nil {
		return err
	}
	defer use.close() //nolint:contextcheck // it leaves the group, which has to happen after the context's end, too
	ctx, cancel := context.WithTimeout(ctx, switchTimeout)
	defer cancel()
	from, to := build.committed(), use.committed()
	gauge.more(lacking(from, to))
	done := gauge.batch(from)
	if err := build.fillMarked(ctx, use.marks, done); err != nil {
		return fmt.Errorf("fill up: %w", err)
	}
	if err := build.fill(ctx, to, done); err != nil {
		return fmt.Errorf("fill up: %w", err)
	}
	if err := compare.since(ctx, next, from); err != nil {
		return err
	}
	for tp, at := range build.committed() {
		if at != to[tp] {
			return fmt.Errorf("%w: %s is at %d, and at %d in the table in use", ErrDiffers, tp, at, to[tp])
		}
	}
	// Whoever has lost the group must not go on: somebody else may project into the table in use.
	if err := use.confirm(ctx); err != nil {
		return err
	}
	if err := r.deps.Store.Exec(ctx, "EXCHANGE TABLES "+p.Table+" AND "+next.Table); err != nil {
		return fmt.Errorf("exchange tables: %w", err)
	}
	r.deps.Log.InfoContext(ctx, "table is exchanged", "table", p.Table, "former", next.Table)
	return nil
}

// since compares a table with the log from some offsets on.
func (r *reconciler) since(ctx context.Context, p projections.Projection, from map[stream.TopicPartition]int64) error {
	spans, err := r.spans(ctx, p, 0)
	if err != nil {
		return err
	}
	for _, s := range spans {
		if s.from = max(s.from, from[s.tp]); s.from >= s.to {
			continue
		}
		found, err := r.partition(ctx, p, s)
		if err != nil {
			return fmt.Errorf("reconcile %s: %w", s.tp, err)
		}
		if !found.Clean() {
			return fmt.Errorf("%w: %s: %+v", ErrDiffers, s.tp, found.Counts)
		}
	}
	return nil
}

// sameColumns refuses to exchange tables between whose making a migration came.
func (r *rebuilder) sameColumns(ctx context.Context, p, next projections.Projection) error {
	list := func(name string) (columns []string, err error) {
		err = r.deps.Store.QueryRow(ctx, `SELECT groupArray(concat(name, ' ', type)) FROM
			(SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String} ORDER BY position)`,
			clickhouse.Named("table", name)).Scan(&columns)
		return columns, err
	}
	use, err := list(p.Table)
	if err != nil {
		return fmt.Errorf("list columns: %w", err)
	}
	made, err := list(next.Table)
	if err != nil {
		return fmt.Errorf("list columns: %w", err)
	}
	if !slices.Equal(use, made) {
		return fmt.Errorf("%w: %s was migrated after %s had been begun: give that up with `throughline rebuild drop --unfinished`, and begin anew",
			ErrDiffers, p.Table, next.Table)
	}
	return nil
}

// carry takes rows over whose records the log does not have any more: nothing else can give them. What is there already is
// left out, so it may be repeated.
func (r *rebuilder) carry(ctx context.Context, p, next projections.Projection) (int64, error) {
	total := int64(0)
	for _, name := range p.Topics {
		starts, err := r.watch.StartOffsets(ctx, name)
		if err != nil {
			return total, err
		}
		for partition, start := range starts {
			if start == 0 || p.Replacing {
				continue
			}
			args := []any{
				clickhouse.Named("topic", r.deps.Kafka.Topic(name)), clickhouse.Named("partition", partition), clickhouse.Named("start", start),
			}
			const before = ` WHERE _topic = {topic:String} AND _partition = {partition:Int32} AND _offset < {start:Int64}`
			const absent = ` AND (_offset, _row) NOT IN (SELECT _offset, _row FROM `
			var missing uint64
			err := r.deps.Store.QueryRow(patient(ctx), "SELECT count() FROM "+p.Table+before+absent+next.Table+before+")", args...).Scan(&missing)
			if err == nil && missing > 0 {
				err = r.deps.Store.Exec(clickhouse.Context(patient(ctx), clickhouse.WithSettings(clickhouse.Settings{
					"max_partitions_per_insert_block": 0, "insert_deduplicate": 0,
				})), "INSERT INTO "+next.Table+" SELECT * FROM "+p.Table+before+absent+next.Table+before+") LIMIT 1 BY _offset, _row", args...)
			}
			if err != nil {
				return total, fmt.Errorf("take rows over of %s/%d: %w", name, partition, err)
			}
			total += int64(missing)
		}
	}
	return total, nil
}

// gauge measures a rebuild.
type gauge struct {
	progress func(Rebuilding)

	mu    sync.Mutex
	at    Rebuilding
	began time.Time
	// built is the time spent on building.
	built time.Duration
}

func newGauge(at Rebuilding, progress func(Rebuilding)) *gauge {
	return &gauge{at: at, progress: progress, began: time.Now()}
}

func (g *gauge) step(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.at.Step == StepBuild && name != StepBuild {
		g.built += time.Since(g.began)
	}
	if name == StepBuild {
		g.began = time.Now()
	}
	g.at.Step = name
	g.progress(g.at)
}

// more adds offsets that are to be read.
func (g *gauge) more(offsets int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at.Total = g.at.Done + offsets
}

// batch is told of what is in the table; from is where partitions stood before.
func (g *gauge) batch(from map[stream.TopicPartition]int64) func(tp stream.TopicPartition, next int64, rows int) {
	from = maps.Clone(from)
	return func(tp stream.TopicPartition, next int64, rows int) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.at.Done += next - from[tp]
		from[tp] = next
		g.at.Rows += int64(rows)
		spent := g.built + time.Since(g.began)
		if seconds := spent.Seconds(); seconds > 0 && g.at.Done > 0 {
			g.at.RowsPerSecond = float64(g.at.Rows) / seconds
			g.at.Left = time.Duration(float64(spent) / float64(g.at.Done) * float64(g.at.Total-g.at.Done)).Round(time.Second)
		}
		g.progress(g.at)
	}
}

func (g *gauge) rows() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.at.Rows
}

// took is the time in which the rows were inserted.
func (g *gauge) took() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.built
}
