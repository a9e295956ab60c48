package projector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
)

const (
	// windowRecords is how many records are compared with one query: the greater it is, the less often a table is
	// scanned. What is kept of a record are 16 bytes.
	windowRecords = 100_000
	// stepRecords is how many records' rows are in memory at a time.
	stepRecords = 1000
)

// comparison walks through the records of a partition, and compares window by window.
type comparison struct {
	*reconciler

	p      projections.Projection
	span   span
	report *PartitionReport
	// from is where the window begins.
	from int64
	want []wanted
	// block holds the rows of the last step records, of a replacing table.
	block *table.Block
	step  int
	now   time.Time
}

func (r *reconciler) comparison(p projections.Projection, s span, report *PartitionReport) *comparison {
	return &comparison{reconciler: r, p: p, span: s, report: report, block: &table.Block{}, now: time.Now()}
}

// begin starts at an offset, with nothing in memory.
func (c *comparison) begin(from int64) {
	c.from, c.want, c.step = from, c.want[:0], 0
	c.block.Reset()
}

// include notes what a record gives.
func (c *comparison) include(ctx context.Context, r *stream.Record) error {
	if c.step == 0 {
		c.keys.polled()
	}
	rec := projections.Record{Record: r, Name: c.span.name}
	before := c.block.Rows()
	err := c.p.Transform(ctx, rec, c.keys, c.block)
	if err != nil && !errors.Is(err, projections.ErrPoison) { // which gives no rows, but a dead letter
		return fmt.Errorf("transform offset %d: %w", r.Offset, err)
	}
	rows := c.block.Rows() - before
	c.report.Records++
	c.report.Rows += int64(rows)
	c.want = append(c.want, wanted{offset: r.Offset, rows: int32(rows), may: !keepsAtLeast(c.p, rec.StoredAt(), c.now)})
	if c.step++; c.step == stepRecords {
		if err := c.endStep(ctx); err != nil {
			return err
		}
	}
	if len(c.want) == windowRecords {
		return c.endWindow(ctx, r.Offset+1)
	}
	return nil
}

// finish compares what is left.
func (c *comparison) finish(ctx context.Context) error {
	if err := c.endStep(ctx); err != nil {
		return err
	}
	return c.endWindow(ctx, c.span.to)
}

// endStep forgets the rows. Those of a replacing table are looked for by their keys first.
func (c *comparison) endStep(ctx context.Context) error {
	if c.p.Replacing && c.block.Rows() > 0 {
		if err := c.replaced(ctx); err != nil {
			return err
		}
	}
	c.block.Reset()
	c.step = 0
	return nil
}

// endWindow compares the rows of the offsets from the window's first to to.
func (c *comparison) endWindow(ctx context.Context, to int64) error {
	if to <= c.from {
		return nil
	}
	compare := c.rows
	if c.p.Replacing {
		compare = c.latest
	}
	if err := compare(ctx, to); err != nil {
		return err
	}
	c.progress(Progress{Table: c.p.Table, TopicPartition: c.span.tp, From: c.span.from, Next: to, To: c.span.to})
	c.from, c.want = to, c.want[:0]
	return nil
}

// within is the condition that finds the rows of offsets of a partition, whatever their time is.
const within = ` WHERE _topic = {topic:String} AND _partition = {partition:Int32} AND _offset >= {from:Int64} AND _offset < {to:Int64}`

func (c *comparison) place(to int64) []any {
	return []any{
		clickhouse.Named("topic", c.span.tp.Topic), clickhouse.Named("partition", c.span.tp.Partition),
		clickhouse.Named("from", c.from), clickhouse.Named("to", to),
	}
}

// rows compares a table in which every row stays: each is there once.
func (c *comparison) rows(ctx context.Context, to int64) error {
	rows, err := c.deps.Store.Query(patient(ctx), "SELECT _offset, _row FROM "+c.p.Table+within+" ORDER BY _offset, _row", c.place(to)...)
	if err != nil {
		return fmt.Errorf("list rows: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below has said what there is to say
	err = c.report.compare(c.want, func() (id identity, ok bool, err error) {
		if !rows.Next() {
			return id, false, rows.Err()
		}
		return id, true, rows.Scan(&id.offset, &id.index)
	})
	if err != nil {
		return fmt.Errorf("list rows: %w", err)
	}
	return nil
}

// patient bounds a query that may scan a table.
func patient(ctx context.Context) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"max_execution_time": int(scanTimeout / time.Second),
		// It runs beside reads and inserts, which are in a hurry.
		"max_threads": 2,
		// A window is sorted in memory; one record has a few hundred rows at most.
		"max_bytes_before_external_sort": 256 << 20,
	}))
}

// scanTimeout is how long a scan of a table may take.
const scanTimeout = 10 * time.Minute
