package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
)

// Scope says what a reconciliation compares.
type Scope struct {
	// Tables are those that are compared; all where there are none.
	Tables []string
	// Last bounds the offsets of a partition, counted back from what the group has committed; 0 means the whole log.
	Last int64
}

// Progress is how far a reconciliation has come with a partition.
type Progress struct {
	Table string
	stream.TopicPartition

	// Next is the first offset that is not compared yet; the partition is done when it is To.
	From, Next, To int64
}

// Reconcile compares tables with the log, record by record: every row that the transform gives for what the group has
// committed must be there once, and no other. It writes nothing and needs no producer. It may run beside projectors: what
// they insert meanwhile lies behind what was committed when a partition's turn came. Progress may be nil.
//
// Memory is bounded by a window of windowRecords records.
func Reconcile(ctx context.Context, deps Deps, scope Scope, progress func(Progress)) (report Report, err error) {
	list, err := pick(projections.All(), scope.Tables)
	if err != nil {
		return Report{}, err
	}
	dir, err := os.MkdirTemp("", "throughline-reconcile-")
	if err != nil {
		return Report{}, fmt.Errorf("make temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	view, err := openKeys(ctx, dir, deps)
	if err != nil {
		return Report{}, err
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
		return Report{}, err
	}
	defer watch.Close()
	r := newReconciler(deps, view, watch, progress)
	for _, p := range list {
		t, err := r.table(ctx, p, scope.Last)
		if err != nil {
			return report, fmt.Errorf("reconcile %s: %w", p.Table, err)
		}
		report.Tables = append(report.Tables, t)
		report.add(t.Counts)
	}
	return report, nil
}

// pick finds projections by their tables.
func pick(all []projections.Projection, tables []string) ([]projections.Projection, error) {
	if len(tables) == 0 {
		return all, nil
	}
	var list []projections.Projection
	for _, name := range tables {
		i := slices.IndexFunc(all, func(p projections.Projection) bool { return p.Table == name })
		if i < 0 {
			names := make([]string, len(all))
			for i, p := range all {
				names[i] = p.Table
			}
			return nil, fmt.Errorf("no table %q: want one of %v", name, names)
		}
		list = append(list, all[i])
	}
	return list, nil
}

// reconciler compares one partition at a time.
type reconciler struct {
	deps     Deps
	keys     *keyring
	watch    *stream.OffsetWatch
	progress func(Progress)
}

func newReconciler(deps Deps, view *stream.View, watch *stream.OffsetWatch, progress func(Progress)) *reconciler {
	if progress == nil {
		progress = func(Progress) {}
	}
	return &reconciler{deps: deps, keys: newKeyring(view, deps.Master, func() {}), watch: watch, progress: progress}
}

// span is what is compared of a partition.
type span struct {
	name topic.Name
	tp   stream.TopicPartition
	// from and to bound the offsets.
	from, to int64
}

// table compares a table with all partitions that it is made of.
func (r *reconciler) table(ctx context.Context, p projections.Projection, last int64) (TableReport, error) {
	report := TableReport{Table: p.Table, Group: r.deps.Kafka.Group(table.Group(p.Table)), Partitions: []PartitionReport{}}
	spans, err := r.spans(ctx, p, last)
	if err != nil {
		return report, err
	}
	for _, s := range spans {
		found, err := r.partition(ctx, p, s)
		if err != nil {
			return report, fmt.Errorf("%s: %w", s.tp, err)
		}
		if last == 0 {
			err = r.outside(ctx, p, s, &found)
		}
		if err != nil {
			return report, fmt.Errorf("%s: %w", s.tp, err)
		}
		report.include(found)
	}
	if last == 0 {
		if err := r.strangers(ctx, p, spans, &report); err != nil {
			return report, err
		}
	}
	return report, nil
}

// spans lists what is to be compared of a table.
func (r *reconciler) spans(ctx context.Context, p projections.Projection, last int64) ([]span, error) {
	var spans []span
	for _, name := range p.Topics {
		of, err := r.spansOf(ctx, p, name, last)
		if err != nil {
			return nil, err
		}
		spans = append(spans, of...)
	}
	return spans, nil
}

// spansOf lists what is to be compared of one topic, in the order of its partitions.
func (r *reconciler) spansOf(ctx context.Context, p projections.Projection, name topic.Name, last int64) ([]span, error) {
	starts, err := r.watch.StartOffsets(ctx, name)
	if err != nil {
		return nil, err
	}
	committed, err := r.watch.Committed(ctx, table.Group(p.Table), name)
	if err != nil {
		return nil, err
	}
	spans := make([]span, len(starts))
	for i := range spans {
		partition := int32(i)
		s := span{name: name, tp: stream.TopicPartition{Topic: r.deps.Kafka.Topic(name), Partition: partition}, from: starts[partition]}
		// A group that has committed nothing yet has nothing in its table.
		s.to = max(committed[partition], s.from)
		if last > 0 {
			s.from = max(s.from, s.to-last)
		}
		spans[i] = s
	}
	return spans, nil
}

// partition compares the rows of a span.
func (r *reconciler) partition(ctx context.Context, p projections.Projection, s span) (PartitionReport, error) {
	report := PartitionReport{Topic: s.tp.Topic, Partition: s.tp.Partition, From: s.from, To: s.to}
	c := r.comparison(p, s, &report)
	for {
		c.begin(s.from)
		err := stream.ReadRange(ctx, r.deps.Kafka, stream.Deps{Log: r.deps.Log}, s.tp, s.from, s.to, func(rec *stream.Record) error {
			return c.include(ctx, rec)
		})
		if lost, ok := errors.AsType[*stream.OffsetLostError](err); ok && lost.LogStart > s.from {
			// The log drops its beginning while we read: what is gone cannot be compared.
			r.deps.Log.InfoContext(ctx, "log dropped records before they were compared", slog.String("partition", s.tp.String()),
				slog.Int64("to", lost.LogStart))
			s.from = min(lost.LogStart, s.to)
			report = PartitionReport{Topic: s.tp.Topic, Partition: s.tp.Partition, From: s.from, To: s.to}
			continue
		}
		if err == nil {
			err = c.finish(ctx)
		}
		return report, err
	}
}

// keepsAtLeast says whether a table still has to have a row of a time. The server removes what is too old when it likes.
func keepsAtLeast(p projections.Projection, at, now time.Time) bool {
	return p.Keeps == 0 || at.After(now.Add(time.Hour-p.Keeps))
}
