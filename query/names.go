package query

import (
	"net/http"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/web"
)

// The icon is the newest that an event of the name had: names keep theirs, and where one changed, the new one counts.
const eventNamesColumns = "name, object_type, argMaxIf(icon, received_at, icon != ''), count(), min(occurred_at), max(occurred_at)"

// eventNamesQuery is a page of the names of a workspace's linked events, by name.
type eventNamesQuery struct {
	workspace string
	types     []string
	limit     int
	// after is the last name of the page before, and its object type.
	after *cursor
}

func (q eventNamesQuery) statement() statement {
	c := newClauses(q.workspace)
	c.and("status = 'LINKED'")
	c.in("object_type", "type", q.types)
	if q.after != nil {
		c.and("(name, object_type) > ({after_name:String}, {after_type:String})",
			clickhouse.Named("after_name", q.after.Texts[0]), clickhouse.Named("after_type", q.after.Texts[1]))
	}
	return selectFrom("event_names", eventNamesColumns, table.EventLog, c,
		"GROUP BY name, object_type\nORDER BY "+ascending.orderBy("name", "object_type")+"\n"+limitTo(q.limit+1))
}

func (q eventNamesQuery) fingerprint() []byte {
	return fingerprint("event-names", []string{q.workspace}, q.types)
}

// eventNameRow is one row as it is read.
type eventNameRow struct {
	name, objectType, icon string
	count                  uint64
	first, last            time.Time
}

func (r *eventNameRow) fields() []any {
	return []any{&r.name, &r.objectType, &r.icon, &r.count, &r.first, &r.last}
}

func (r *eventNameRow) cursor() cursor { return cursor{Texts: []string{r.name, r.objectType}} }

func (r *eventNameRow) encode() ([]byte, error) {
	return encode(struct {
		Name       string     `json:"name"`
		ObjectType string     `json:"objectType"`
		Icon       *string    `json:"icon"`
		Count      uint64     `json:"count"`
		First      event.Time `json:"firstOccurredAt"`
		Last       event.Time `json:"lastOccurredAt"`
	}{r.name, r.objectType, optional(r.icon), r.count, event.TimeOf(r.first), event.TimeOf(r.last)})
}

// eventNames answers GET /v1/event-names.
func (s *Service) eventNames(w http.ResponseWriter, r *http.Request) error {
	at := time.Now()
	q := eventNamesQuery{workspace: access.From(r.Context()).Workspace}
	p := web.Query(r)
	types, invalid := objectTypes(p)
	q.types, q.limit = types, p.Limit()
	text, positions := p.String("cursor"), p.Strings("position")
	if err := p.Err(); err != nil {
		return err
	}
	if invalid != nil {
		return invalid
	}
	var err error
	if text != "" {
		if q.after, err = decodeCursor(text, q.fingerprint(), 2); err != nil {
			return err
		}
	}
	b, err := s.backend()
	if err != nil {
		return err
	}
	if err := b.await(r.Context(), q.workspace, positions, eventNamesRoute()); err != nil {
		return err
	}
	rows, err := collect(r.Context(), b, q.statement(), (*eventNameRow).fields)
	if err != nil {
		return err
	}
	out := page{asOf: at}
	if len(rows) > q.limit {
		rows = rows[:q.limit]
		next := rows[len(rows)-1].cursor().encode(q.fingerprint())
		out.next = &next
	}
	out.rows = make([][]byte, len(rows))
	for i := range rows {
		if out.rows[i], err = rows[i].encode(); err != nil {
			return err
		}
	}
	return out.write(w)
}
