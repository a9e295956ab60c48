package query

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/throughline/throughline/query/calendar"
	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/web"
)

// Bounds of a report.
const (
	// maxIntervals is that of a week in five minutes, and of 27 years in days.
	maxIntervals = 10_000
	// maxReportRows bounds the intervals of all groups together, at some 400 bytes each.
	maxReportRows = 50_000
)

// reportQuery is a report over a range of time, cut into intervals, for the whole or for groups.
type reportQuery struct {
	workspace string
	from, to  time.Time
	// cuts are the beginnings of the intervals; the first is from.
	cuts []time.Time
	by   string
}

// Groupings of a report.
const (
	byTeam    = "team"
	byChannel = "channel"
	byAgent   = "agent"
)

// reportRow is a row as clients get it. Its definitions stand with the statements that compute it.
type reportRow struct {
	Start event.Time `json:"start"`
	End   event.Time `json:"end"`
	// Group is null where the report is not grouped, and for what has no team, channel or agent.
	Group                   *string     `json:"group"`
	Conversations           uint64      `json:"conversations"`
	IdentifiedCustomers     uint64      `json:"identifiedCustomers"`
	Opened                  uint64      `json:"opened"`
	Queued                  uint64      `json:"queued"`
	Responded               uint64      `json:"responded"`
	Closed                  uint64      `json:"closed"`
	AbandonedInQueue        uint64      `json:"abandonedInQueue"`
	MaxQueueSize            int64       `json:"maxQueueSize"`
	MaxQueueAt              *event.Time `json:"maxQueueAt"`
	QueueSeconds            float64     `json:"queueSeconds"`
	WaitAvgSeconds          *float64    `json:"waitAvgSeconds"`
	WaitP50Seconds          *float64    `json:"waitP50Seconds"`
	WaitP90Seconds          *float64    `json:"waitP90Seconds"`
	WaitMaxSeconds          *float64    `json:"waitMaxSeconds"`
	HandleAvgSeconds        *float64    `json:"handleAvgSeconds"`
	Agents                  uint64      `json:"agents"`
	FirstResponseAvgSeconds *float64    `json:"firstResponseAvgSeconds"`
	RatingAvg               *float64    `json:"ratingAvg"`
	Transferred             uint64      `json:"transferred"`
}

// reportConversations answers GET /v1/reports/conversations.
func (s *Service) reportConversations(w http.ResponseWriter, r *http.Request) error {
	now := time.Now()
	q, positions, err := s.readReportQuery(r, now)
	if err != nil {
		return err
	}
	b, err := s.backend()
	if err != nil {
		return err
	}
	for _, route := range []route{transitionsRoute(), conversationsRoute()} {
		if err := b.await(r.Context(), q.workspace, positions, route); err != nil {
			return err
		}
	}
	rows, err := q.run(r.Context(), b)
	if err != nil {
		return err
	}
	p := page{asOf: now, rows: make([][]byte, len(rows))}
	for i := range rows {
		if p.rows[i], err = json.Marshal(&rows[i]); err != nil {
			return err
		}
	}
	return p.write(w)
}

func (s *Service) readReportQuery(r *http.Request, now time.Time) (reportQuery, []string, error) {
	q := reportQuery{workspace: access.From(r.Context()).Workspace}
	zone, err := s.deps.TimeZone(q.workspace)
	if err != nil {
		return q, nil, err
	}
	p := web.Query(r)
	q.from, q.to = p.Range()
	names := []string{""}
	for _, i := range calendar.Intervals() {
		names = append(names, string(i))
	}
	interval := calendar.Interval(p.Enum("interval", names...))
	q.by = p.Enum("groupBy", "", byTeam, byChannel, byAgent)
	positions := p.Strings("position")
	// What has not happened yet is not reported, and today is what most want to see.
	if q.to.IsZero() || q.to.After(now) {
		q.to = now.UTC().Truncate(time.Millisecond)
	}
	if q.from.IsZero() {
		q.from = calendar.StartOfDay(q.to, zone)
	}
	q.cuts = []time.Time{q.from}
	if interval != "" && q.from.Before(q.to) {
		q.cuts, err = calendar.Cut(q.from, q.to, interval, zone, maxIntervals)
		if errors.Is(err, calendar.ErrTooMany) {
			p.Fault("interval", "cuts the range into more than 10,000 intervals; ask for longer ones, or for a shorter range")
		}
	}
	return q, positions, p.Err()
}

// tooManyRows is the answer to a report whose groups and intervals are too many together.
func tooManyRows() error {
	return problem.New(problem.TooBroad, "The report has more than 50,000 rows: ask for longer intervals, or for a shorter range.")
}
