package query

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/table"
)

// A report is read in four statements, each by interval and group. An interval is named by its number.
//
// A transition counts in the interval of its time, in the group of what the conversation was like after it. A stay in the
// queue counts in the interval in which it began, in the team and channel in whose queue it was; grouped by agent, it is
// his who took the conversation out of the queue. A handling, from the first response to the end, counts where it began.
// What has not ended has no length yet, and counts in the size of the queue alone.

// numbered is a column of times in milliseconds as the number of the interval that it falls in.
func numbered(millis string) string {
	return "indexOf({cuts:Array(Int64)}, roundDown(" + millis + ", {cuts:Array(Int64)}))"
}

const occurred = "toUnixTimestamp64Milli(occurred_at)"

// clauses begins a statement: its range and cuts are parameters of every one.
func (q reportQuery) clauses() *clauses {
	c := newClauses(q.workspace)
	cuts := make([]int64, len(q.cuts))
	for i, t := range q.cuts {
		cuts[i] = t.UnixMilli()
	}
	c.args = append(c.args, millis("from", q.from), millis("to", q.to), clickhouse.Named("cuts", cuts))
	return c
}

// group is the column that the rows of a statement are grouped by, or nothing.
func (q reportQuery) group(team, channel, agent string) string {
	switch q.by {
	case byTeam:
		return team
	case byChannel:
		return channel
	case byAgent:
		return agent
	default:
		return "''"
	}
}

// countsRow is what transitions count.
type countsRow struct {
	interval                                     uint64
	group                                        string
	customers, opened, queued, responded, closed uint64
	agents, transferred                          uint64
	firstResponse, rating                        *float64
}

func (r *countsRow) fields() []any {
	return []any{
		&r.interval, &r.group, &r.opened, &r.customers, &r.queued, &r.responded, &r.closed, &r.agents, &r.transferred,
		&r.firstResponse, &r.rating,
	}
}

func (q reportQuery) counts() statement {
	c := q.clauses()
	c.and("occurred_at >= " + instant("from"))
	c.and("occurred_at < " + instant("to"))
	return q.statement("report_counts", strings.Join([]string{
		numbered(occurred) + " AS i",
		q.group("team", "channel", "last_agent_id") + " AS g",
		"countIf(type = 'opened')",
		"uniqExactIf(customer_id, type = 'opened' AND customer_id != '')",
		"countIf(type = 'queued')",
		"countIf(first = 1)",
		"countIf(type = 'closed')",
		"uniqExactIf(agent_id, type = 'responded' AND agent_type = 'USER')",
		"countIf(type = 'transferred')",
		"avgOrNullIf((" + occurred + " - toUnixTimestamp64Milli(opened_at)) / 1000, first = 1)",
		"avgOrNullIf(rating, type = 'surveyed' AND rating > 0)",
	}, ",\n  "), table.Transitions, c)
}

// waitsRow is what stays that have ended amount to.
type waitsRow struct {
	interval           uint64
	group              string
	abandoned          uint64
	sum, mean, longest float64
	p50, p90           float64
}

func (r *waitsRow) fields() []any {
	return []any{&r.interval, &r.group, &r.abandoned, &r.sum, &r.mean, &r.longest, &r.p50, &r.p90}
}

// waits reads percentiles by nearest rank: the least wait that so many stays do not exceed.
func (q reportQuery) waits() statement {
	c := q.clauses()
	c.and("stay_ended = 1")
	began := q.began()
	if q.by != byTeam {
		c.and("stay_continues = 0")
	}
	// A stay ends no earlier than it begins.
	c.and("occurred_at >= " + instant("from"))
	c.and("stay_began < " + instant("to"))
	c.and(began + " >= {from:Int64} AND " + began + " < {to:Int64}")
	return q.statement("report_waits", strings.Join([]string{
		numbered(began) + " AS i",
		q.group("stay_team", "stay_channel", "agent_id") + " AS g",
		"countIf(type = 'closed')",
		"sum(" + occurred + " - " + began + ") / 1000",
		"avg(" + occurred + " - " + began + ") / 1000",
		"max(" + occurred + " - " + began + ") / 1000",
		"arraySort(groupArray(" + occurred + " - " + began + "))[toUInt64(ceil(0.5 * count()))] / 1000",
		"arraySort(groupArray(" + occurred + " - " + began + "))[toUInt64(ceil(0.9 * count()))] / 1000",
	}, ",\n  "), table.Transitions, c)
}

// began is when a stay began that a row has ended, in milliseconds: where teams are told apart, the team's part of it.
func (q reportQuery) began() string {
	if q.by == byTeam {
		return "toUnixTimestamp64Milli(stay_from)"
	}
	return "toUnixTimestamp64Milli(stay_began)"
}

// handlesRow is what handlings that have ended amount to.
type handlesRow struct {
	interval uint64
	group    string
	mean     float64
}

func (r *handlesRow) fields() []any { return []any{&r.interval, &r.group, &r.mean} }

func (q reportQuery) handles() statement {
	c := q.clauses()
	c.and("type = 'closed' AND responded = 1")
	c.and("occurred_at >= " + instant("from"))
	c.and("first_responded_at >= " + instant("from"))
	c.and("first_responded_at < " + instant("to"))
	return q.statement("report_handles", strings.Join([]string{
		numbered("toUnixTimestamp64Milli(first_responded_at)") + " AS i",
		q.group("team", "channel", "last_agent_id") + " AS g",
		"avg(" + occurred + " - toUnixTimestamp64Milli(first_responded_at)) / 1000",
	}, ",\n  "), table.Transitions, c)
}

func (q reportQuery) statement(name, columns, from string, c *clauses) statement {
	s := selectFrom(name, columns, from, c, "GROUP BY i, g")
	s.rows = maxReportRows
	return s
}

// sizesRow is how long the queue was at its longest.
type sizesRow struct {
	interval uint64
	group    string
	size     int64
	at       int64
}

func (r *sizesRow) fields() []any { return []any{&r.interval, &r.group, &r.size, &r.at} }

// sizes adds up who comes and who leaves. Whoever leaves at an instant makes room for who comes at it, and a stay of no
// length does not count: what happens at one instant is added up first. An interval begins with those who are there.
//
// Stays are known from three sides: those that begin in the range, those that a row from then on has ended, and those of
// conversations that are in the queue now. What two sides know is one stay, and has an end if either knows it. Where teams
// are told apart a team may have a conversation twice from one instant on, for no time at first: then it is there until the
// later end, and for good where it came more often than it left.
func (q reportQuery) sizes() statement {
	c := q.clauses()
	ws := c.where[0]
	open := "toUnixTimestamp64Milli(queued_at)"
	begins, ends := "to_state = 'QUEUED' AND from_state != 'QUEUED'", "stay_ended = 1 AND stay_continues = 0"
	if q.by == byTeam {
		open = "toUnixTimestamp64Milli(parseDateTime64BestEffort(JSONExtractString(conversation, 'teamQueuedAt'), 3, 'UTC'))"
		begins, ends = "to_state = 'QUEUED' AND (from_state != 'QUEUED' OR stay_continues = 1)", "stay_ended = 1"
	}
	stay := "conversation_id, n, began"
	if q.by == byTeam {
		stay += ", whose"
	}
	const never = "9223372036854775807"
	text := `WITH stays AS (
  SELECT argMin(whose, until) AS g, began,
    if(countIf(side = 1) > countIf(side = -1) OR countIf(side = -1) = 0, ` + never + `, maxIf(until, side = -1)) AS ended
  FROM (
    SELECT conversation_id, stay_number AS n, ` + q.group("toString(team)", "toString(channel)", "''") + ` AS whose, ` + occurred + ` AS began, ` + never + ` AS until, 1 AS side
    FROM ` + table.Transitions + `
    WHERE ` + ws + ` AND occurred_at >= ` + instant("from") + ` AND occurred_at < ` + instant("to") + ` AND ` + begins + `
    UNION ALL
    SELECT conversation_id, stay_number AS n, ` + q.group("toString(stay_team)", "toString(stay_channel)", "agent_id") + ` AS whose, ` + q.began() + ` AS began, ` + occurred + ` AS until, -1 AS side
    FROM ` + table.Transitions + `
    WHERE ` + ws + ` AND ` + ends + ` AND occurred_at >= ` + instant("from") + ` AND stay_began < ` + instant("to") + `
    UNION ALL
    SELECT conversation_id, stays AS n, ` + q.group("toString(team)", "toString(channel)", "''") + ` AS whose, ` + open + ` AS began, ` + never + ` AS until, 0 AS side
    FROM ` + table.Conversations + ` FINAL
    WHERE ` + ws + ` AND state = 'QUEUED'
  )
  WHERE began < {to:Int64}
  GROUP BY ` + stay + `
)
SELECT i, g, max(size) AS longest, argMax(at, (size, -at))
FROM (
  SELECT g, at, ` + numbered("at") + ` AS i, sum(delta) OVER (PARTITION BY g ORDER BY at) AS size
  FROM (
    SELECT g, at, sum(delta) AS delta
    FROM (
      SELECT g, greatest(began, {from:Int64}) AS at, toInt64(1) AS delta FROM stays WHERE ended > {from:Int64}
      UNION ALL
      SELECT g, ended AS at, toInt64(-1) AS delta FROM stays WHERE ended > {from:Int64} AND ended < {to:Int64}
      UNION ALL
      SELECT DISTINCT g, arrayJoin({cuts:Array(Int64)}) AS at, toInt64(0) AS delta FROM stays
    )
    GROUP BY g, at
  )
)
GROUP BY i, g
HAVING longest > 0`
	return statement{name: "report_sizes", text: text, args: c.args, rows: maxReportRows}
}

// run reads the report and puts its rows in the order of their intervals and groups.
func (q reportQuery) run(ctx context.Context, b *backend) ([]reportRow, error) {
	if !q.from.Before(q.to) {
		return nil, nil
	}
	counted, err := collect(ctx, b, q.counts(), (*countsRow).fields)
	if err != nil {
		return nil, err
	}
	waited, err := collect(ctx, b, q.waits(), (*waitsRow).fields)
	if err != nil {
		return nil, err
	}
	handled, err := collect(ctx, b, q.handles(), (*handlesRow).fields)
	if err != nil {
		return nil, err
	}
	longest, err := collect(ctx, b, q.sizes(), (*sizesRow).fields)
	if err != nil {
		return nil, err
	}
	t := q.rows()
	for i := range counted {
		t.count(&counted[i])
	}
	for i := range waited {
		t.wait(&waited[i])
	}
	for i := range handled {
		t.row(handled[i].interval, handled[i].group).HandleAvgSeconds = &handled[i].mean
	}
	for _, l := range longest {
		r, at := t.row(l.interval, l.group), event.TimeOf(time.UnixMilli(l.at))
		r.MaxQueueSize, r.MaxQueueAt = l.size, &at
	}
	return t.list()
}

// reportTable gathers rows: each group has one for every interval.
type reportTable struct {
	q      reportQuery
	groups map[string][]reportRow
}

func (q reportQuery) rows() *reportTable {
	t := &reportTable{q: q, groups: map[string][]reportRow{}}
	if q.by == "" {
		t.row(1, "")
	}
	return t
}

// row is that of an interval, whose number counts from 1, and a group.
func (t *reportTable) row(interval uint64, group string) *reportRow {
	rows := t.groups[group]
	if rows == nil {
		rows = make([]reportRow, len(t.q.cuts))
		for i, cut := range t.q.cuts {
			end := t.q.to
			if i+1 < len(t.q.cuts) {
				end = t.q.cuts[i+1]
			}
			rows[i].Start, rows[i].End, rows[i].Group = event.TimeOf(cut), event.TimeOf(end), optional(group)
		}
		t.groups[group] = rows
	}
	return &rows[interval-1]
}

func (t *reportTable) count(c *countsRow) {
	r := t.row(c.interval, c.group)
	r.Conversations, r.IdentifiedCustomers, r.Opened, r.Queued, r.Responded = c.opened, c.customers, c.opened, c.queued, c.responded
	r.Closed, r.Agents, r.Transferred = c.closed, c.agents, c.transferred
	r.FirstResponseAvgSeconds, r.RatingAvg = c.firstResponse, c.rating
}

func (t *reportTable) wait(w *waitsRow) {
	r := t.row(w.interval, w.group)
	r.AbandonedInQueue, r.QueueSeconds = w.abandoned, w.sum
	r.WaitAvgSeconds, r.WaitMaxSeconds, r.WaitP50Seconds, r.WaitP90Seconds = &w.mean, &w.longest, &w.p50, &w.p90
}

func (t *reportTable) list() ([]reportRow, error) {
	if len(t.groups)*len(t.q.cuts) > maxReportRows {
		return nil, tooManyRows()
	}
	names := make([]string, 0, len(t.groups))
	for name := range t.groups {
		names = append(names, name)
	}
	slices.Sort(names)
	rows := make([]reportRow, 0, len(names)*len(t.q.cuts))
	for i := range t.q.cuts {
		for _, name := range names {
			rows = append(rows, t.groups[name][i])
		}
	}
	return rows, nil
}
