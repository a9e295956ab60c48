package query

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/web"
)

const eventLogColumns = "received_at, event_id, status, reason, name, object_type, object_id, external_id, links, missing, " +
	"submission, stored_at, _topic, _partition, _offset"

// eventLogQuery is a page of a workspace's event log, newest first.
type eventLogQuery struct {
	workspace                   string
	statuses, types, ids, names []string
	from, to                    time.Time
	limit                       int
	// after is the last row that the page before looked at: its time, event id and place in the log.
	after *cursor
}

// statement reads up to some rows of the log as they are stored; which of them are shown is settled afterwards.
func (q eventLogQuery) statement(rows int) statement {
	c := newClauses(q.workspace)
	c.in("status", "status", q.statuses)
	c.in("object_type", "type", q.types)
	c.in("object_id", "id", q.ids)
	c.in("name", "name", q.names)
	c.between("received_at", q.from, q.to)
	if q.after != nil {
		c.and("received_at <= "+instant("after_time"), millis("after_time", q.after.time()))
		c.and("(received_at, event_id, _topic, _partition, _offset) < ("+instant("after_time")+
			", {after_id:String}, {after_topic:String}, {after_partition:Int32}, {after_offset:Int64})",
			clickhouse.Named("after_id", q.after.Texts[0]),
			clickhouse.Named("after_topic", q.after.Texts[1]),
			clickhouse.Named("after_partition", q.after.Partition),
			clickhouse.Named("after_offset", q.after.Offset))
	}
	return selectFrom("event_log", eventLogColumns, table.EventLog, c, "ORDER BY "+
		descending.orderBy("workspace", "received_at", "event_id", "_topic", "_partition", "_offset")+"\n"+limitTo(rows))
}

func (q eventLogQuery) fingerprint() []byte {
	return fingerprint("event-log", []string{q.workspace}, q.statuses, q.types, q.ids, q.names, timeText(q.from), timeText(q.to))
}

// onlyPending says that the query asks for rows most of which are settled by now.
func (q eventLogQuery) onlyPending() bool {
	return len(q.statuses) == 1 && q.statuses[0] == string(event.StatusPending)
}

// eventLogRow is one row as it is read.
type eventLogRow struct {
	receivedAt                       time.Time
	eventID, status, reason, name    string
	objectType, objectID, externalID string
	links, missing, submission       string
	storedAt                         time.Time
	topic                            string
	partition                        int32
	offset                           int64
}

func (r *eventLogRow) fields() []any {
	return []any{
		&r.receivedAt, &r.eventID, &r.status, &r.reason, &r.name, &r.objectType, &r.objectID, &r.externalID, &r.links,
		&r.missing, &r.submission, &r.storedAt, &r.topic, &r.partition, &r.offset,
	}
}

func (r *eventLogRow) pending() bool { return r.status == string(event.StatusPending) }

func (r *eventLogRow) cursor() cursor {
	return cursor{
		Millis: r.receivedAt.UnixMilli(), Partition: r.partition, Offset: r.offset, Texts: []string{r.eventID, r.topic},
	}
}

// encode writes the row as clients get it, with more members at its end. The submission stays as it was sent: JSON where
// it is JSON, and otherwise a string.
func (r *eventLogRow) encode(more ...member) ([]byte, error) {
	return encode(struct {
		ID         string          `json:"id"`
		Name       *string         `json:"name"`
		ObjectType *string         `json:"objectType"`
		ObjectID   *string         `json:"objectId"`
		ExternalID *string         `json:"externalId"`
		Status     string          `json:"processingStatus"`
		Reason     *string         `json:"reason"`
		Links      json.RawMessage `json:"links"`
		Missing    json.RawMessage `json:"missing"`
		ReceivedAt event.Time      `json:"receivedAt"`
		StoredAt   event.Time      `json:"storedAt"`
	}{
		ID: r.eventID, Name: optional(r.name), ObjectType: optional(r.objectType), ObjectID: optional(r.objectID),
		ExternalID: optional(r.externalID), Status: r.status, Reason: optional(r.reason), Links: list(r.links),
		Missing: list(r.missing), ReceivedAt: event.TimeOf(r.receivedAt), StoredAt: event.TimeOf(r.storedAt),
	}, slices.Concat([]member{{"submission", verbatim(r.submission)}}, more)...)
}

// eventLog answers GET /v1/event-log.
func (s *Service) eventLog(w http.ResponseWriter, r *http.Request) error {
	at := time.Now()
	q, positions, err := readEventLogQuery(r)
	if err != nil {
		return err
	}
	b, err := s.backend()
	if err != nil {
		return err
	}
	if err := b.await(r.Context(), q.workspace, positions, eventLogRoute()); err != nil {
		return err
	}
	rows, next, err := visibleRows(r.Context(), b, q)
	if err != nil {
		return err
	}
	p := page{rows: make([][]byte, len(rows)), asOf: at}
	for i := range rows {
		if p.rows[i], err = rows[i].encode(); err != nil {
			return err
		}
	}
	if next != nil {
		text := next.encode(q.fingerprint())
		p.next = &text
	}
	return p.write(w)
}

func readEventLogQuery(r *http.Request) (eventLogQuery, []string, error) {
	q := eventLogQuery{workspace: access.From(r.Context()).Workspace}
	p := web.Query(r)
	var statuses []string
	for _, s := range event.Statuses() {
		statuses = append(statuses, string(s))
	}
	q.statuses = p.Enums("processingStatus", statuses...)
	types, invalid := objectTypes(p)
	q.types = types
	q.ids, q.names = p.Strings("objectId"), p.Strings("name")
	q.from, q.to = p.Range()
	q.limit = p.Limit()
	text, positions := p.String("cursor"), p.Strings("position")
	if err := p.Err(); err != nil {
		return q, nil, err
	}
	if invalid != nil {
		return q, nil, invalid
	}
	if text != "" {
		var err error
		if q.after, err = decodeCursor(text, q.fingerprint(), 2); err != nil {
			return q, nil, err
		}
	}
	return q, positions, nil
}

// objectTypes reads the parameter objectType. A word that is no type is a 422, as it is in bodies and paths.
func objectTypes(p *web.Params) ([]string, error) {
	var types []string
	for _, v := range p.Strings("objectType") {
		t, err := object.ParseType(v)
		if err != nil {
			return nil, problem.Invalid(problem.Fault{Parameter: "objectType", Detail: err.Error()})
		}
		if !slices.Contains(types, string(t)) {
			types = append(types, string(t))
		}
	}
	return types, nil
}

// maxSubmissions bounds how many submissions of one event are listed.
const maxSubmissions = 500

// eventLogEntry answers GET /v1/event-log/{id}: the row that tells how it ended, and all submissions of that id.
func (s *Service) eventLogEntry(w http.ResponseWriter, r *http.Request) error {
	ws := access.From(r.Context()).Workspace
	id, err := web.PathVar(r, "id", object.ValidateID)
	if err != nil {
		return err
	}
	p := web.Query(r)
	positions := p.Strings("position")
	if err := p.Err(); err != nil {
		return err
	}
	b, err := s.backend()
	if err != nil {
		return err
	}
	if err := b.await(r.Context(), ws, positions, eventLogRoute()); err != nil {
		return err
	}
	rows, err := collect(r.Context(), b, submissionsOf(ws, id), (*eventLogRow).fields)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return problem.New(problem.NotFound, "The event log has no event of this id.")
	}
	best := rows[0]
	all := make([][]byte, len(rows))
	slices.SortStableFunc(rows, func(a, b eventLogRow) int { return b.receivedAt.Compare(a.receivedAt) })
	for i := range rows {
		if all[i], err = rows[i].encode(); err != nil {
			return err
		}
	}
	body, err := best.encode(member{"submissions", joinArray(all)})
	if err != nil {
		return err
	}
	writeRaw(w, body)
	return nil
}

// submissionsOf reads what became of every submission of an event, the linked ones first, then the newest.
func submissionsOf(workspace, id string) statement {
	c := newClauses(workspace)
	c.equal("event_id", "id", id)
	return selectFrom("event_log_entry", eventLogColumns, table.EventLog, c,
		"ORDER BY status = 'LINKED' DESC, "+
			descending.orderBy("received_at", "stored_at", "_topic", "_partition", "_offset")+"\n"+limitTo(maxSubmissions))
}
