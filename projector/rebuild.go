package projector

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
)

// ErrDiffers says that a table that was made again is not what the log gives, so that it does not take the place of the
// one in use.
var ErrDiffers = errors.New("the new table differs from the log, so the one in use stays")

// Steps of a rebuild, as its progress names them.
const (
	StepBuild     = "build"
	StepReconcile = "reconcile"
	StepSwitch    = "switch"
)

// Rebuilding is how far a rebuild has come with a table.
type Rebuilding struct {
	Table string
	// Generation is what is being built.
	Generation int
	// Step is one of the constants.
	Step string
	// Done and Total count offsets of this run; Rows are those that it has inserted.
	Done, Total, Rows int64
	// RowsPerSecond is the speed of this run, and Left what is left at it; both are 0 while nobody knows.
	RowsPerSecond float64
	Left          time.Duration
}

// Rebuilt is a table that was made again and is in use.
type Rebuilt struct {
	Table      string `json:"table"`
	Generation int    `json:"generation"`
	// Rows were inserted by this run in so many Seconds, and Carried taken over from the former table, because the log does
	// not have their records any more.
	Rows    int64   `json:"rows"`
	Seconds float64 `json:"seconds"`
	Carried int64   `json:"carried"`
	// Former is the name that the former table has now.
	Former string `json:"former"`
	// Report is that of the reconciliation before the switch.
	Report TableReport `json:"report"`
}

const (
	// closeBy is how few offsets the new table may lack before the switch is begun: they are projected while nothing else
	// is, so they have to take a second or two.
	closeBy = 20_000
	// switchTimeout bounds the time in which nobody else projects into a table. It is below RebalanceTimeout, within which
	// brokers give nobody else a partition.
	switchTimeout = 40 * time.Second
	// switchTries bounds how often a switch is tried.
	switchTries = 5
)

// rebuilder makes tables again, one after the other.
type rebuilder struct {
	cfg      Config
	deps     Deps
	view     *stream.View
	watch    *stream.OffsetWatch
	metrics  *metrics
	progress func(Rebuilding)
}

// Rebuild makes tables again from the log, all where none is named, and lets each take the place of the one in use once it
// has all that the one in use has, and nothing else. Reads and projections go on meanwhile; for the switch itself nobody
// projects into the table for some seconds. A run that was cut off, however, is gone on with by the next. It is for
// databases on one server. Progress may be nil.
func Rebuild(ctx context.Context, cfg Config, deps Deps, tables []string, progress func(Rebuilding)) (rebuilt []Rebuilt, err error) {
	list, err := pick(projections.All(), tables)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "throughline-rebuild-")
	if err != nil {
		return nil, fmt.Errorf("make temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	view, err := openKeys(ctx, dir, deps)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	following, stop := context.WithCancel(ctx)
	followed := make(chan error, 1)
	go func() { followed <- view.Run(following) }()
	defer func() {
		stop()
		err = errors.Join(err, <-followed)
	}()
	watch, err := stream.NewOffsetWatch(deps.Kafka, stream.Deps{Log: deps.Log})
	if err != nil {
		return nil, err
	}
	defer watch.Close()
	if progress == nil {
		progress = func(Rebuilding) {}
	}
	r := &rebuilder{cfg: cfg, deps: deps, view: view, watch: watch, metrics: newMetrics(deps.Reg), progress: progress}
	for _, p := range list {
		done, err := r.table(ctx, p)
		if err != nil {
			return rebuilt, fmt.Errorf("rebuild %s: %w", p.Table, err)
		}
		rebuilt = append(rebuilt, done)
	}
	return rebuilt, nil
}

func (r *rebuilder) worker(p projections.Projection) *worker {
	slots := newSlots(r.cfg.Parallel)
	slots.events = nil // one table at a time is made, so there is nobody to leave events for
	return newWorker(p, r.cfg, r.deps, r.view, r.metrics, slots)
}

// table makes one table again.
func (r *rebuilder) table(ctx context.Context, p projections.Projection) (Rebuilt, error) {
	next, n, err := beginGeneration(ctx, r.deps, r.watch, p)
	if err != nil {
		return Rebuilt{}, err
	}
	work := r.worker(next)
	work.silent = true
	partitions, err := r.committed(ctx, p)
	if err != nil {
		return Rebuilt{}, err
	}
	// Another rebuild of the table would be in the group, too: it is waited for and not put out.
	build, err := work.own(ctx, len(partitions), false)
	if err != nil {
		return Rebuilt{}, err
	}
	defer build.close() //nolint:contextcheck // it leaves the group, which has to happen after the context's end, too
	gauge := newGauge(Rebuilding{Table: p.Table, Generation: n}, r.progress)
	if err := r.catchUp(ctx, p, build, gauge); err != nil {
		return Rebuilt{}, err
	}
	carried, err := r.carry(ctx, p, next)
	if err != nil {
		return Rebuilt{}, err
	}
	gauge.step(StepReconcile)
	compare := newReconciler(r.deps, r.view, r.watch, nil)
	report, err := compare.table(ctx, next, 0)
	if err != nil {
		return Rebuilt{}, fmt.Errorf("reconcile: %w", err)
	}
	rebuilt := Rebuilt{Table: p.Table, Generation: n, Carried: carried, Former: next.Table, Report: report}
	if !report.Clean() {
		return rebuilt, fmt.Errorf("%w: %d rows are missing, %d extra, %d doubled (`throughline rebuild drop --unfinished` gives it up)",
			ErrDiffers, report.Missing, report.Extra, report.Doubled)
	}
	verified := build.committed()
	for try := 1; ; try++ {
		// What was projected while all was compared is many offsets by now: they are dealt with while others project.
		if err = r.catchUp(ctx, p, build, gauge); err != nil {
			break
		}
		gauge.step(StepSwitch)
		if err = compare.since(ctx, next, verified); err != nil {
			break
		}
		verified = build.committed()
		err = r.exchange(ctx, p, next, build, compare, gauge)
		if err == nil || errors.Is(err, ErrDiffers) || ctx.Err() != nil || try == switchTries {
			break
		}
		r.deps.Log.WarnContext(ctx, "switch is tried again", "table", p.Table, "error", err)
	}
	rebuilt.Rows, rebuilt.Seconds = gauge.rows(), gauge.took().Seconds()
	return rebuilt, err
}

// committed is where the group of a table stands, in all partitions; at the start of the log where it has committed nothing.
func (r *rebuilder) committed(ctx context.Context, p projections.Projection) (map[stream.TopicPartition]int64, error) {
	at := map[stream.TopicPartition]int64{}
	for _, name := range p.Topics {
		starts, err := r.watch.StartOffsets(ctx, name)
		if err != nil {
			return nil, err
		}
		committed, err := r.watch.Committed(ctx, table.Group(p.Table), name)
		if err != nil {
			return nil, err
		}
		for partition, start := range starts {
			at[stream.TopicPartition{Topic: r.deps.Kafka.Topic(name), Partition: partition}] = max(start, committed[partition])
		}
	}
	return at, nil
}

// catchUp projects until little is missing of what the table in use has.
func (r *rebuilder) catchUp(ctx context.Context, p projections.Projection, build *owner, gauge *gauge) error {
	gauge.step(StepBuild)
	for {
		to, err := r.committed(ctx, p)
		if err != nil {
			return err
		}
		left := lacking(build.committed(), to)
		gauge.more(left)
		if err := build.fill(ctx, to, gauge.batch(build.committed())); err != nil {
			return err
		}
		if left <= closeBy {
			return nil
		}
	}
}
