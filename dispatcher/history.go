package dispatcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/webhook"
)

// historyTime bounds a statement, and connectEvery is how often a start looks again for ClickHouse and its tables.
const (
	historyTime  = 10 * time.Second
	connectEvery = 500 * time.Millisecond
)

// history reads what became of deliveries. The tables are the projector's; the dispatcher reads them as the query service
// reads others, because who may see deliveries is a matter of webhooks.
type history struct{ conn store.Conn }

// openHistory opens ClickHouse, waiting for a server and tables that are not there yet, and closes it when the context
// ends. Deliveries are made without it.
func (s *Service) openHistory(ctx context.Context) error {
	tick := time.NewTicker(connectEvery)
	defer tick.Stop()
	for waiting := false; ; waiting = true {
		conn, err := s.connect(ctx)
		if err == nil {
			s.history.Store(&history{conn: conn})
			<-ctx.Done()
			s.history.Store(nil)
			return conn.Close()
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case !errors.Is(err, store.ErrPending) && store.Classify(err) != problem.Retry:
			return err
		case !waiting:
			s.log.WarnContext(ctx, "waiting for clickhouse", slog.String("error", err.Error()))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Service) connect(ctx context.Context) (store.Conn, error) {
	conn, err := store.Open(ctx, s.deps.ClickHouse, store.ReadOnly)
	if err != nil {
		return nil, err
	}
	if err := store.Migrated(ctx, conn, table.Migrations()); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// past is the history, or a 503 where it is not open yet.
func (s *Service) past() (*history, error) {
	h := s.history.Load()
	if h == nil {
		return nil, problem.Busy("The tables of deliveries are not open yet.", comeBack)
	}
	return h, nil
}

// historyAt is the history once it has the deliveries of an endpoint that positions cover.
func (s *Service) historyAt(r *http.Request, endpoint string, positions []string) (*history, error) {
	if _, err := s.endpoints(); err != nil {
		return nil, err
	}
	h, err := s.past()
	if err != nil {
		return nil, err
	}
	workspace := access.From(r.Context()).Workspace
	return h, s.await(r.Context(), workspace, positions, s.planned(workspace, endpoint))
}

// read runs a statement with limits and calls row for each of its rows.
func (h *history) read(ctx context.Context, text string, row func(scan func(...any) error) error, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, historyTime)
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"max_execution_time": int(historyTime / time.Second), "max_memory_usage": 512 << 20, "max_result_rows": web.MaxLimit + 1,
		"max_bytes_to_read": uint64(4 << 30), "max_threads": 2,
	}))
	rows, err := h.conn.Query(ctx, text, args...)
	if err != nil {
		return readError(err)
	}
	defer func() { _ = rows.Close() }() // Err below has said what there is to say
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return fmt.Errorf("read deliveries: %w", err)
		}
	}
	return readError(rows.Err())
}

func readError(err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("read deliveries: %w", err)
	if store.Classify(err) == problem.Retry {
		return problem.Busy("The tables cannot be read now; ask again.", comeBack).WithCause(err)
	}
	return err
}

// place is a row that the page before ended with: its time and an id.
type place struct {
	millis int64
	id     string
}

func readPlace(route, what, cursor string) (place, error) {
	text, err := web.ReadCursor(route, what, cursor)
	if err != nil || text == "" {
		return place{millis: 1<<62 - 1}, err
	}
	millis, id, ok := strings.Cut(text, "/")
	n, err := strconv.ParseInt(millis, 10, 64)
	if !ok || err != nil {
		return place{}, problem.New(problem.BadCursor, "")
	}
	return place{n, id}, nil
}

func (p place) cursor(route, what string) *string {
	return web.WriteCursor(route, what, strconv.FormatInt(p.millis, 10)+"/"+p.id)
}

// statusOf is the status of a delivery of which a group has the rows: that of its last attempt, unless one succeeded.
const statusOf = "if(countIf(status = 'SUCCEEDED') > 0, 'SUCCEEDED', argMax(status, (attempt, at)))"

// deliveryRow is a delivery as a list shows it.
type deliveryRow struct {
	ID          string     `json:"id"`
	Type        string     `json:"type"`
	Subject     subject    `json:"subject"`
	Event       string     `json:"event"`
	Status      string     `json:"status"`
	Outcome     *string    `json:"outcome"`
	Attempts    int32      `json:"attempts"`
	PlannedAt   event.Time `json:"plannedAt"`
	LastAt      event.Time `json:"lastAttemptAt"`
	NextAt      event.Time `json:"nextAttemptAt"`
	StatusCode  *int32     `json:"statusCode"`
	LastFailure *string    `json:"error"`
}

type subject struct {
	Type string `json:"objectType"`
	ID   string `json:"objectId"`
}

// listDeliveries answers GET /v1/webhook-endpoints/{id}/deliveries, the newest first.
func (s *Service) listDeliveries(w http.ResponseWriter, r *http.Request) error {
	const route = "webhook-deliveries"
	id, err := endpointID(r)
	if err != nil {
		return err
	}
	q := web.Query(r)
	var names []string
	for _, st := range webhook.Statuses() {
		names = append(names, string(st))
	}
	statuses, limit, cursor, positions := q.Enums("status", names...), q.Limit(), q.String("cursor"), q.Strings("position")
	if err := q.Err(); err != nil {
		return err
	}
	what := strings.Join(append([]string{id}, statuses...), "/")
	after, err := readPlace(route, what, cursor)
	if err != nil {
		return err
	}
	if len(statuses) == 0 {
		statuses = names
	}
	h, err := s.historyAt(r, id, positions)
	if err != nil {
		return err
	}
	page := web.Page[deliveryRow]{Data: []deliveryRow{}, AsOf: event.TimeOf(s.now())}
	// The rows of a delivery stand together in the order of the key, so that groups are made as they are read.
	err = h.read(r.Context(), `SELECT toUnixTimestamp64Milli(planned_at) AS planned, delivery_id, any(type), any(subject_type), any(subject_id),
		any(event_id), `+statusOf+` AS state, argMax(outcome, (attempt, at)), max(attempt), maxIf(at, outcome != ''),
		argMax(next_at, (attempt, at)), argMax(status_code, (attempt, at)), argMax(error, (attempt, at))
		FROM `+table.WebhookAttempts+`
		WHERE workspace = {ws:String} AND endpoint_id = {id:String} AND planned_at <= fromUnixTimestamp64Milli({at:Int64}, 'UTC')
			AND (toUnixTimestamp64Milli(planned_at), delivery_id) < ({millis:Int64}, {after:String})
		GROUP BY planned_at, delivery_id HAVING state IN {statuses:Array(String)}
		ORDER BY planned_at DESC, delivery_id DESC LIMIT {rows:UInt32} SETTINGS optimize_aggregation_in_order = 1`,
		func(scan func(...any) error) error {
			var d deliveryRow
			var millis int64
			var outcome, failure string
			var last, next time.Time
			var code int32
			if err := scan(&millis, &d.ID, &d.Type, &d.Subject.Type, &d.Subject.ID, &d.Event, &d.Status, &outcome, &d.Attempts,
				&last, &next, &code, &failure); err != nil {
				return err
			}
			if len(page.Data) == limit {
				end := page.Data[limit-1]
				page.NextCursor = place{end.PlannedAt.UnixMilli(), end.ID}.cursor(route, what)
				return nil
			}
			d.PlannedAt, d.Outcome, d.LastFailure = event.TimeOf(time.UnixMilli(millis)), optional(outcome), optional(failure)
			d.LastAt, d.NextAt, d.StatusCode = known(last), known(next), code32(code)
			if d.Status != string(webhook.Retrying) {
				d.NextAt = event.Time{}
			}
			page.Data = append(page.Data, d)
			return nil
		},
		clickhouse.Named("ws", access.From(r.Context()).Workspace), clickhouse.Named("id", id),
		clickhouse.Named("at", min(after.millis, maxMillis)), clickhouse.Named("millis", after.millis), clickhouse.Named("after", after.id),
		clickhouse.Named("statuses", statuses), clickhouse.Named("rows", uint32(limit+1)))
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, page)
}

// maxMillis is the last time that the table's columns hold, with room.
const maxMillis = 9_183_110_400_000

// known is absent for the epoch, which the table has where there is no time.
func known(t time.Time) event.Time {
	if t.UnixMilli() <= 0 {
		return event.Time{}
	}
	return event.TimeOf(t)
}

func code32(n int32) *int32 {
	if n == 0 {
		return nil
	}
	return &n
}

// attemptRow is an attempt as a list shows it.
type attemptRow struct {
	DeliveryID      string          `json:"deliveryId"`
	Attempt         int32           `json:"attempt"`
	Type            string          `json:"type"`
	At              event.Time      `json:"at"`
	Status          string          `json:"status"`
	Outcome         string          `json:"outcome"`
	StatusCode      *int32          `json:"statusCode"`
	Error           *string         `json:"error"`
	NextAt          event.Time      `json:"nextAttemptAt"`
	Timing          json.RawMessage `json:"timingMicroseconds"`
	Protocol        *string         `json:"protocol"`
	Reused          bool            `json:"connectionReused"`
	RequestHeaders  json.RawMessage `json:"requestHeaders"`
	ResponseHeaders json.RawMessage `json:"responseHeaders"`
	Response        *string         `json:"response"`
	Truncated       bool            `json:"responseTruncated"`
}

// listAttempts answers GET /v1/webhook-endpoints/{id}/attempts, by delivery, the newest delivery first.
func (s *Service) listAttempts(w http.ResponseWriter, r *http.Request) error {
	const route = "webhook-attempts"
	id, err := endpointID(r)
	if err != nil {
		return err
	}
	q := web.Query(r)
	delivery, limit, cursor, positions := q.String("deliveryId"), q.Limit(), q.String("cursor"), q.Strings("position")
	if err := q.Err(); err != nil {
		return err
	}
	what := id + "/" + delivery
	after, err := readPlace(route, what, cursor)
	if err != nil {
		return err
	}
	h, err := s.historyAt(r, id, positions)
	if err != nil {
		return err
	}
	page := web.Page[attemptRow]{Data: []attemptRow{}, AsOf: event.TimeOf(s.now())}
	var last place
	err = h.read(r.Context(), `SELECT toUnixTimestamp64Milli(planned_at), concat(delivery_id, '/', toString(_partition), '/', toString(_offset)) AS place,
		delivery_id, attempt, type, at, status, outcome, status_code, error, next_at, timing, protocol, reused, request_headers,
		response_headers, content, truncated
		FROM `+table.WebhookAttempts+`
		WHERE workspace = {ws:String} AND endpoint_id = {id:String} AND outcome != ''
			AND ({delivery:String} = '' OR delivery_id = {delivery:String})
			AND planned_at <= fromUnixTimestamp64Milli({at:Int64}, 'UTC')
			AND (toUnixTimestamp64Milli(planned_at), place) < ({millis:Int64}, {after:String})
		ORDER BY planned_at DESC, place DESC LIMIT {rows:UInt32}`,
		func(scan func(...any) error) error {
			var a attemptRow
			var here place
			var failure, timing, protocol, request, response, content string
			var at, next time.Time
			var code int32
			var reused, truncated uint8
			if err := scan(&here.millis, &here.id, &a.DeliveryID, &a.Attempt, &a.Type, &at, &a.Status, &a.Outcome, &code, &failure, &next,
				&timing, &protocol, &reused, &request, &response, &content, &truncated); err != nil {
				return err
			}
			if len(page.Data) == limit {
				page.NextCursor = last.cursor(route, what)
				return nil
			}
			last = here
			a.At, a.NextAt, a.StatusCode, a.Error = event.TimeOf(at), known(next), code32(code), optional(failure)
			a.Timing, a.Protocol, a.Reused = json.RawMessage(timing), optional(protocol), reused != 0
			a.RequestHeaders, a.ResponseHeaders = json.RawMessage(request), json.RawMessage(response)
			a.Response, a.Truncated = optional(content), truncated != 0
			page.Data = append(page.Data, a)
			return nil
		},
		clickhouse.Named("ws", access.From(r.Context()).Workspace), clickhouse.Named("id", id), clickhouse.Named("delivery", delivery),
		clickhouse.Named("at", min(after.millis, maxMillis)), clickhouse.Named("millis", after.millis), clickhouse.Named("after", after.id),
		clickhouse.Named("rows", uint32(limit+1)))
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, page)
}

// planned is where the record of a delivery stands, and how many attempts were made.
type planned struct {
	at       stream.Offset
	attempts int
}

// delivery finds a delivery of a workspace, or nil. Of the rows that it has, those from the topic of deliveries say where it
// can be read again.
func (h *history) delivery(ctx context.Context, workspace, id, plannedIn string) (*planned, error) {
	var found *planned
	err := h.read(ctx, `SELECT anyIf(_topic, _topic = {planned:String}) AS of, anyIf(_partition, _topic = {planned:String}),
		anyIf(_offset, _topic = {planned:String}), max(attempt)
		FROM `+table.WebhookAttempts+` WHERE workspace = {ws:String} AND delivery_id = {id:String} HAVING of != ''`,
		func(scan func(...any) error) error {
			found = &planned{}
			var attempts int32
			err := scan(&found.at.Topic, &found.at.Partition, &found.at.Offset, &attempts)
			found.attempts = int(attempts)
			return err
		}, clickhouse.Named("ws", workspace), clickhouse.Named("id", id), clickhouse.Named("planned", plannedIn))
	return found, err
}

// reread reads the record of a delivery from the log.
func (s *Service) reread(ctx context.Context, p *planned) (*webhook.Delivery, error) {
	if p.at.Topic != s.deps.Kafka.Topic(topic.WebhookDeliveries) {
		return nil, problem.New(problem.NotFound, "There is no such delivery.")
	}
	ctx, cancel := context.WithTimeout(ctx, historyTime)
	defer cancel()
	r, err := stream.ReadRecord(ctx, s.deps.Kafka, stream.Deps{Log: s.log}, p.at)
	lost, isLost := errors.AsType[*stream.OffsetLostError](err)
	switch {
	case isLost && lost != nil, err == nil && r == nil:
		return nil, problem.New(problem.NotFound, "The delivery is older than what is kept, and cannot be made again.")
	case err != nil:
		return nil, fmt.Errorf("read delivery: %w", err)
	}
	return webhook.ParseDelivery(r.Value)
}
