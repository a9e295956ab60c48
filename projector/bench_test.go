package projector

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
)

// BenchmarkTimeline measures rows per second from the log into the table timeline: fetched, opened, transformed,
// announced, inserted, committed. Beside it the same rows go into an empty table of the same kind by the client library
// alone, in blocks as large. ratio is the first divided by the second: what exactly once costs, and all the work
// before the insert with it.
func BenchmarkTimeline(b *testing.B) {
	const subjects, each = 200, 250
	w := newWorld(b, 3)
	for i := range subjects {
		w.events(b, w.subject(b, fmt.Sprintf("c%d", i)), fmt.Sprintf("e%d", i), each, time.Now())
	}
	const rows = subjects * each * 2
	var projected, inserted time.Duration
	for b.Loop() {
		w.rewind(b)
		must(b, w.conn.Exec(b.Context(), "DROP TABLE IF EXISTS timeline_direct"))
		must(b, w.conn.Exec(b.Context(), "CREATE TABLE timeline_direct AS timeline"))
		projected += w.project(b, rows)
		inserted += w.direct(b, w.rows(b, rows))
	}
	perSecond := func(d time.Duration) float64 { return float64(rows*b.N) / d.Seconds() }
	b.ReportMetric(perSecond(projected), "rows/s")
	b.ReportMetric(perSecond(inserted), "direct-rows/s")
	b.ReportMetric(perSecond(projected)/perSecond(inserted), "ratio")
}

// rewind takes the group of timeline back to the start of the log, into a table that is empty then.
func (w *world) rewind(b *testing.B) {
	b.Helper()
	p := projections.Timeline()
	for partition := range int32(3) {
		w.commit(b, table.Group(p.Table), stream.TopicPartition{Topic: w.kafka.Topic(p.Topics[0]), Partition: partition}, 0, "")
	}
	// A table of its own knows no tokens of the round before.
	must(b, w.conn.Exec(b.Context(), "CREATE TABLE timeline_empty AS timeline"))
	must(b, w.conn.Exec(b.Context(), "DROP TABLE timeline SYNC"))
	must(b, w.conn.Exec(b.Context(), "RENAME TABLE timeline_empty TO timeline"))
}

// project runs the worker of timeline alone until all rows are there.
func (w *world) project(b *testing.B, rows int) time.Duration {
	b.Helper()
	view, err := openKeys(b.Context(), b.TempDir(), w.deps(nil))
	must(b, err)
	run(b, view)
	w.eventually(b, "the keys are not read", func() bool { return view.Ready() == nil })
	worker := newWorker(projections.Timeline(), w.config(), w.deps(nil), view, newMetrics(nil), newSlots(DefaultConfig().Parallel))
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- worker.run(ctx) }()
	w.eventually(b, "rows are missing", func() bool { return w.count(b, "SELECT count() FROM timeline") == rows })
	took := time.Since(began)
	cancel()
	must(b, <-done)
	return took
}

// blocks reads the rows back, so that the same ones are inserted again.
func (w *world) rows(b *testing.B, rows int) []table.TimelineRow {
	b.Helper()
	columns := table.Columns(&table.TimelineRow{})
	found, err := w.conn.Query(b.Context(), "SELECT "+strings.Join(columns, ", ")+" FROM timeline ORDER BY _partition, _offset, _row")
	must(b, err)
	all := make([]table.TimelineRow, 0, rows)
	for found.Next() {
		var r table.TimelineRow
		must(b, found.Scan(&r.Workspace, &r.ObjectType, &r.ObjectID, &r.OccurredAt, &r.EventID, &r.PrimaryType, &r.PrimaryID,
			&r.Kind, &r.Link, &r.Via, &r.Name, &r.Description, &r.Words, &r.Icon, &r.Source, &r.Payload, &r.Transition, &r.ReceivedAt,
			&r.StoredAt, &r.From.Topic, &r.From.Partition, &r.From.Offset, &r.From.Row))
		all = append(all, r)
	}
	must(b, found.Err())
	must(b, found.Close())
	return all
}

// direct inserts rows by the client library alone.
func (w *world) direct(b *testing.B, all []table.TimelineRow) time.Duration {
	b.Helper()
	began := time.Now()
	statement := "INSERT INTO timeline_direct (" + strings.Join(table.Columns(&table.TimelineRow{}), ", ") + ")"
	for block := DefaultConfig().BatchRows; len(all) > 0; {
		n := min(block, len(all))
		insert, err := w.conn.PrepareBatch(b.Context(), statement)
		must(b, err)
		for _, r := range all[:n] {
			must(b, insert.Append(r.Workspace, r.ObjectType, r.ObjectID, r.OccurredAt, r.EventID, r.PrimaryType, r.PrimaryID,
				r.Kind, r.Link, r.Via, r.Name, r.Description, r.Words, r.Icon, r.Source, r.Payload, r.Transition, r.ReceivedAt,
				r.StoredAt, r.From.Topic, r.From.Partition, r.From.Offset, r.From.Row))
		}
		must(b, insert.Send())
		all = all[n:]
	}
	return time.Since(began)
}
