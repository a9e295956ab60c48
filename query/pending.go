package query

import (
	"context"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/web"
)

// maxRounds bounds how many times a page of the event log reads on because rows were hidden. A page may come short then,
// with a cursor to go on from; it never reads without end.
const maxRounds = 8

// visibleRows reads a page of the event log without the PENDING rows that something newer has settled. The cursor it
// returns is the last row that it looked at, or nil at the end of the log.
func visibleRows(ctx context.Context, b *backend, q eventLogQuery) ([]eventLogRow, *cursor, error) {
	chunk := q.limit + 1
	if q.onlyPending() {
		chunk = web.MaxLimit + 1 // most of them are settled
	}
	var shown []eventLogRow
	for range maxRounds {
		rows, err := collect(ctx, b, q.statement(chunk), (*eventLogRow).fields)
		if err != nil {
			return nil, nil, err
		}
		settled, err := settledPending(ctx, b, q.workspace, rows)
		if err != nil {
			return nil, nil, err
		}
		for i := range rows {
			if settled[i] {
				continue
			}
			if len(shown) == q.limit {
				// There is more: go on after the last row of this page.
				last := shown[q.limit-1].cursor()
				return shown, &last, nil
			}
			shown = append(shown, rows[i])
		}
		if len(rows) < chunk {
			return shown, nil, nil
		}
		last := rows[len(rows)-1].cursor()
		q.after = &last
	}
	return shown, q.after, nil
}

// settledPending says of each row whether it is PENDING and something newer of the same event is there: the row that its
// background job wrote, or a row of a later submission.
//
// It asks in two steps. The job's row carries the submission's time of receipt, so nearly every settled row is found by
// the table's key. Only for the rest, which is what really waits, the log is searched from their time on.
func settledPending(ctx context.Context, b *backend, workspace string, rows []eventLogRow) ([]bool, error) {
	settled := make([]bool, len(rows))
	var open []int
	for i := range rows {
		if rows[i].pending() {
			open = append(open, i)
		}
	}
	if len(open) == 0 {
		return settled, nil
	}
	done, err := collect(ctx, b, settledBySelf(workspace, rows, open), (*lastRow).fields)
	if err != nil {
		return nil, err
	}
	own := make(map[lastRow]bool, len(done))
	for _, d := range done {
		own[d.utc()] = true
	}
	var rest []int
	for _, i := range open {
		if own[(lastRow{rows[i].eventID, rows[i].receivedAt}).utc()] {
			settled[i] = true
			continue
		}
		rest = append(rest, i)
	}
	if len(rest) == 0 {
		return settled, nil
	}
	newest, err := collect(ctx, b, newestOf(workspace, rows, rest), (*lastRow).fields)
	if err != nil {
		return nil, err
	}
	last := make(map[string]time.Time, len(newest))
	for _, n := range newest {
		last[n.eventID] = n.receivedAt
	}
	for _, i := range rest {
		settled[i] = last[rows[i].eventID].After(rows[i].receivedAt)
	}
	return settled, nil
}

// lastRow is an event's id and the time of receipt of one of its rows.
type lastRow struct {
	eventID    string
	receivedAt time.Time
}

func (l *lastRow) fields() []any { return []any{&l.eventID, &l.receivedAt} }

// utc makes two of the same instant equal as keys of a map.
func (l lastRow) utc() lastRow { return lastRow{l.eventID, l.receivedAt.UTC()} }

// settledBySelf finds, of some PENDING rows, those whose background job is done.
func settledBySelf(workspace string, rows []eventLogRow, which []int) statement {
	ids, times := make([]string, len(which)), make([]int64, len(which))
	for n, i := range which {
		ids[n], times[n] = rows[i].eventID, rows[i].receivedAt.UnixMilli()
	}
	c := newClauses(workspace)
	c.and("(received_at, event_id) IN arrayZip(arrayMap(ms -> fromUnixTimestamp64Milli(ms, 'UTC'), {times:Array(Int64)}), "+
		"{ids:Array(String)})", clickhouse.Named("times", times), clickhouse.Named("ids", ids))
	c.and("status != 'PENDING'")
	return selectFrom("event_log_settled", "DISTINCT event_id, received_at", table.EventLog, c, "")
}

// newestOf finds the newest row of each of some events, from the oldest of their rows on.
func newestOf(workspace string, rows []eventLogRow, which []int) statement {
	ids := make([]string, len(which))
	oldest := rows[which[0]].receivedAt
	for n, i := range which {
		ids[n] = rows[i].eventID
		if rows[i].receivedAt.Before(oldest) {
			oldest = rows[i].receivedAt
		}
	}
	c := newClauses(workspace)
	c.and("event_id IN {ids:Array(String)}", clickhouse.Named("ids", ids))
	c.and("received_at >= "+instant("oldest"), millis("oldest", oldest))
	return selectFrom("event_log_newest", "event_id, max(received_at)", table.EventLog, c, "GROUP BY event_id")
}
