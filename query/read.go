package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"go.opentelemetry.io/otel/attribute"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/traces"
)

// backend is what an open service reads from.
type backend struct {
	waiter

	conn   store.Conn
	limits Limits
}

// retryAfter is when a client should come back after a 503.
const retryAfter = time.Second

// maxResultRows is above the longest page with the row that tells of the next, and above the names of its objects.
const maxResultRows = 1000

// maxThreads bounds how wide one statement reads. A page that reads in the order of the key gains nothing from more:
// every further thread only reads ahead what the page does not need.
const maxThreads = 4

// cancelGrace is how much longer than the server's own limit a statement is waited for. The server checks its limit
// between blocks, and its answer says more than a cut connection.
const cancelGrace = 2 * time.Second

var errTookTooLong = errors.New("statement did not end within its limit")

// collect runs a statement and reads all its rows. fields gives the places that a row is read into.
func collect[T any](ctx context.Context, b *backend, s statement, fields func(*T) []any) ([]T, error) {
	// The driver turns a deadline into a limit of its own that is longer than ours, so the context has a timer instead.
	// Either end of it, ours or the client's, cancels the query on the server.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(b.limits.Time+cancelGrace, func() { cancel(errTookTooLong) })
	defer timer.Stop()

	var readRows, readBytes uint64
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(b.limits.settings(s.rows)),
		clickhouse.WithProgress(func(p *clickhouse.Progress) {
			readRows += p.Rows
			readBytes += p.Bytes
		}))
	ctx, span := traces.Start(ctx, "read "+s.name, attribute.String("db.system.name", "clickhouse"))
	start := time.Now()
	out, err := scan(ctx, b.conn, s, fields)
	b.metrics.observe(s.name, time.Since(start), readRows, readBytes, err)
	span.SetAttributes(attribute.Int64("throughline.read_rows", int64(readRows)))
	span.End()
	if err != nil {
		return nil, explain(ctx, s, err)
	}
	return out, nil
}

func scan[T any](ctx context.Context, conn store.Conn, s statement, fields func(*T) []any) ([]T, error) {
	rows, err := conn.Query(ctx, s.text, s.args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err below has said what there is to say
	var out []T
	for rows.Next() {
		var row T
		if err := rows.Scan(fields(&row)...); err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// settings are the limits as settings of every statement. The user of the connection has limits too; these are for
// installations whose operator forgot them, and they are tighter.
func (l Limits) settings(rows uint64) clickhouse.Settings {
	if rows == 0 {
		rows = maxResultRows
	}
	return clickhouse.Settings{
		"max_execution_time": int(max(l.Time, time.Second) / time.Second),
		// The server compares this one with the rows of all ranges that may be read, before it reads the first: the whole
		// timeline of an object, though a page ends after a few granules. So it can only be a coarse guard, and it is the
		// bytes, which are counted as they are read, that bound the work.
		"max_rows_to_read":  l.Rows,
		"max_bytes_to_read": l.Bytes,
		"max_memory_usage":  l.Memory,
		"max_result_rows":   rows,
		"max_result_bytes":  l.ResultBytes,
		"max_threads":       maxThreads,
		// This optimization turns reading in the order of the key off, and then reads twenty times the rows.
		"use_top_k_dynamic_filtering": 0,
	}
}

// tooBroad are the codes of a statement that hit one of its own limits: rows or bytes to read, time, result.
func tooBroad() []int32 { return []int32{158, 307, 396, 159, 160} }

// explain turns an error of a statement into what the client can do about it.
func explain(ctx context.Context, s statement, err error) error {
	err = fmt.Errorf("read %s: %w", s.name, err)
	if errors.Is(context.Cause(ctx), errTookTooLong) {
		return problem.New(problem.TooBroad, "").WithCause(err)
	}
	if ctx.Err() != nil {
		return err // the client has gone, and the router knows
	}
	if exception, ok := errors.AsType[*clickhouse.Exception](err); ok && slices.Contains(tooBroad(), exception.Code) {
		return problem.New(problem.TooBroad, "").WithCause(err)
	}
	if store.Classify(err) == problem.Retry {
		return problem.Busy("The tables cannot be read now; ask again, or for a narrower time range.", retryAfter).WithCause(err)
	}
	return err
}
