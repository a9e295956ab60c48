package projector

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/stream"
)

// outside looks for rows of a partition that lie before the start of its log, where records that are gone have left them,
// and behind its end, where no record can have given them.
func (r *reconciler) outside(ctx context.Context, p projections.Projection, s span, report *PartitionReport) error {
	var before, behind uint64
	var last int64
	ends, err := r.watch.EndOffsets(ctx, s.name)
	if err != nil {
		return err
	}
	// Asked of the log first, rows of what is appended meanwhile would look as if they were behind its end; so what is
	// found there is compared once more with where the log ends then.
	for range 2 {
		err := r.deps.Store.QueryRow(patient(ctx), `SELECT countIf(_offset < {from:Int64}), countIf(_offset >= {end:Int64}), max(_offset) FROM `+p.Table+
			` WHERE _topic = {topic:String} AND _partition = {partition:Int32} AND (_offset < {from:Int64} OR _offset >= {end:Int64})`,
			clickhouse.Named("topic", s.tp.Topic), clickhouse.Named("partition", s.tp.Partition),
			clickhouse.Named("from", report.From), clickhouse.Named("end", ends[s.tp.Partition])).Scan(&before, &behind, &last)
		if err != nil {
			return fmt.Errorf("count rows outside of the log: %w", err)
		}
		if behind == 0 {
			break
		}
		if ends, err = r.watch.EndOffsets(ctx, s.name); err != nil {
			return err
		}
	}
	report.BeforeLog = int64(before)
	if behind > 0 {
		report.noteRange(Range{Kind: Extra, From: ends[s.tp.Partition], To: last + 1, Rows: int64(behind)})
	}
	return nil
}

// strangers looks for rows of partitions that the table is not made of.
func (r *reconciler) strangers(ctx context.Context, p projections.Projection, spans []span, report *TableReport) error {
	known := map[stream.TopicPartition]bool{}
	for _, s := range spans {
		known[s.tp] = true
	}
	rows, err := r.deps.Store.Query(patient(ctx),
		"SELECT _topic, _partition, count(), min(_offset), max(_offset) FROM "+p.Table+" GROUP BY _topic, _partition ORDER BY _topic, _partition")
	if err != nil {
		return fmt.Errorf("list partitions: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below has said what there is to say
	for rows.Next() {
		var found PartitionReport
		var count uint64
		if err := rows.Scan(&found.Topic, &found.Partition, &count, &found.From, &found.To); err != nil {
			return fmt.Errorf("list partitions: %w", err)
		}
		if known[stream.TopicPartition{Topic: found.Topic, Partition: found.Partition}] {
			continue
		}
		found.To++
		found.noteRange(Range{Kind: Extra, From: found.From, To: found.To, Rows: int64(count)})
		report.include(found)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("list partitions: %w", err)
	}
	return nil
}
