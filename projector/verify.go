package projector

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/schema/table"
)

type identity struct {
	offset int64
	index  int32
}

// place is the condition that finds a batch's rows. The times of storing let the server leave out all months but the
// batch's own.
const place = ` WHERE _topic = {topic:String} AND _partition = {partition:Int32}
	AND _offset >= {from:Int64} AND _offset < {to:Int64}
	AND stored_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND stored_at <= fromUnixTimestamp64Milli({until:Int64}, 'UTC')`

func (b *batch) place() []any {
	return []any{
		clickhouse.Named("topic", b.tp.Topic), clickhouse.Named("partition", b.tp.Partition),
		clickhouse.Named("from", b.from), clickhouse.Named("to", b.to),
		clickhouse.Named("since", b.since.UnixMilli()), clickhouse.Named("until", b.until.UnixMilli()),
	}
}

// verify looks for a batch in the table and gives the rows that are not there.
func (k *sink) verify(ctx context.Context, b *batch) (*table.Block, error) {
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	var count, unique uint64
	err := k.conn.QueryRow(ctx, "SELECT count(), uniqExact(_offset, _row) FROM "+k.p.Table+place, b.place()...).Scan(&count, &unique)
	if err != nil {
		return nil, fmt.Errorf("count: %w", err)
	}
	if count != unique {
		k.outcome(outcomeDoubled)
		k.log.ErrorContext(ctx, "rows are in the table more than once", slog.String("token", b.token),
			slog.Uint64("rows", count), slog.Uint64("unique", unique))
	}
	missing := b.block
	switch {
	case count == 0:
		k.outcome(outcomeAbsent)
		return missing, nil
	case unique == uint64(b.rows()):
		missing = &table.Block{}
	default:
		if missing, err = k.missing(ctx, b); err != nil {
			return nil, err
		}
	}
	if missing.Rows() == 0 {
		k.outcome(outcomeComplete)
		k.log.InfoContext(ctx, "batch is there", slog.String("token", b.token), slog.Int("rows", b.rows()))
		return missing, nil
	}
	k.outcome(outcomePartial)
	k.log.WarnContext(ctx, "batch is there in part", slog.String("token", b.token), slog.Int("rows", b.rows()),
		slog.Int("missing", missing.Rows()))
	return missing, nil
}

func (k *sink) outcome(outcome string) {
	k.metrics.verifications.WithLabelValues(k.p.Table, outcome).Inc()
}

// missing gives the rows of the batch that the table does not have.
func (k *sink) missing(ctx context.Context, b *batch) (*table.Block, error) {
	rows, err := k.conn.Query(ctx, "SELECT _offset, _row FROM "+k.p.Table+place, b.place()...)
	if err != nil {
		return nil, fmt.Errorf("list rows: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below has said what there is to say
	there := make(map[identity]bool, b.rows())
	for rows.Next() {
		var id identity
		if err := rows.Scan(&id.offset, &id.index); err != nil {
			return nil, fmt.Errorf("list rows: %w", err)
		}
		there[id] = true
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list rows: %w", err)
	}
	var missing []int
	for row := range b.rows() {
		if offset, index := b.block.Place(row); !there[identity{offset, index}] {
			missing = append(missing, row)
		}
	}
	return b.block.Pick(missing), nil
}

// digest names a set of rows, so that the same rows have the same token.
func digest(rows *table.Block) string {
	h := sha256.New()
	var n [12]byte
	for row := range rows.Rows() {
		offset, index := rows.Place(row)
		binary.BigEndian.PutUint64(n[:8], uint64(offset))
		binary.BigEndian.PutUint32(n[8:], uint32(index))
		h.Write(n[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
