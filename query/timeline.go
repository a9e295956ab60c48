package query

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/sanitize"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/web"
)

const timelineColumns = "event_id, primary_type, primary_id, kind, link, via, name, description, icon, source, " +
	"payload, transition, occurred_at, received_at"

// timelineQuery is a page of one object's timeline.
type timelineQuery struct {
	workspace            string
	object               object.Ref
	names, sources, kind []string
	from, to             time.Time
	searches             [][]string
	order                direction
	limit                int
	// after is the last row of the page before: its time, event id, primary type and primary id.
	after *cursor
}

// statement reads one row more than the page has, which tells whether another page follows.
func (q timelineQuery) statement() statement {
	c := newClauses(q.workspace)
	c.equal("object_type", "type", string(q.object.Type))
	c.equal("object_id", "id", q.object.ID)
	c.in("name", "name", q.names)
	c.in("source", "source", q.sources)
	c.in("kind", "kind", q.kind)
	c.between("occurred_at", q.from, q.to)
	c.words(q.searches)
	c.beyondEvent(q.order, q.after)
	return selectFrom("timeline", timelineColumns, table.Timeline, c, "ORDER BY "+
		q.order.orderBy("workspace", "object_type", "object_id", "occurred_at", "event_id", "primary_type", "primary_id")+
		"\n"+limitTo(q.limit+1))
}

// fingerprint binds cursors to the list that the query is a page of.
func (q timelineQuery) fingerprint() []byte {
	return fingerprint("timeline", []string{q.workspace}, []string{string(q.object.Type)}, []string{q.object.ID},
		q.names, q.sources, q.kind, timeText(q.from), timeText(q.to), searchTexts(q.searches), []string{q.order.keyword()})
}

// timelineRow is one row as it is read.
type timelineRow struct {
	eventID, primaryType, primaryID string
	kind, link, via                 string
	name, description, icon, source string
	payload, transition             string
	occurredAt, receivedAt          time.Time
}

func (r *timelineRow) fields() []any {
	return []any{
		&r.eventID, &r.primaryType, &r.primaryID, &r.kind, &r.link, &r.via, &r.name, &r.description, &r.icon, &r.source,
		&r.payload, &r.transition, &r.occurredAt, &r.receivedAt,
	}
}

func (r *timelineRow) primary() object.Ref {
	return object.Ref{Type: object.Type(r.primaryType), ID: r.primaryID}
}

func (r *timelineRow) cursor() cursor {
	return cursor{Millis: r.occurredAt.UnixMilli(), Texts: []string{r.eventID, r.primaryType, r.primaryID}}
}

// primaryObject is an event's primary object; its name is null where the object has none, or is gone.
type primaryObject struct {
	object.Ref

	Name *string `json:"name"`
}

// shownEvent is what every list of events shows of one.
type shownEvent struct {
	ID              string        `json:"id"`
	Kind            string        `json:"kind"`
	Name            string        `json:"name"`
	Description     *string       `json:"description"`
	DescriptionHTML *string       `json:"descriptionHtml"`
	Icon            *string       `json:"icon"`
	Source          *string       `json:"source"`
	OccurredAt      event.Time    `json:"occurredAt"`
	ReceivedAt      event.Time    `json:"receivedAt"`
	Primary         primaryObject `json:"primary"`
}

func (r *timelineRow) shown(html *sanitize.Sanitizer, name *string) shownEvent {
	var descriptionHTML *string
	if r.description != "" {
		safe := html.Description(r.description)
		descriptionHTML = &safe
	}
	return shownEvent{
		ID: r.eventID, Kind: r.kind, Name: r.name, Description: optional(r.description), DescriptionHTML: descriptionHTML,
		Icon: optional(r.icon), Source: optional(r.source), OccurredAt: event.TimeOf(r.occurredAt),
		ReceivedAt: event.TimeOf(r.receivedAt), Primary: primaryObject{r.primary(), name},
	}
}

// verbatimMembers are the members that stay byte for byte what is stored: the payload is what the producer sent.
func (r *timelineRow) verbatimMembers() []member {
	return []member{{"payload", verbatim(r.payload)}, {"transition", verbatim(r.transition)}}
}

// encode writes the row as clients get it on a timeline.
func (r *timelineRow) encode(html *sanitize.Sanitizer, name *string) ([]byte, error) {
	return encode(struct {
		shownEvent

		Link string          `json:"link"`
		Via  json.RawMessage `json:"via"`
	}{r.shown(html, name), r.link, list(r.via)}, r.verbatimMembers()...)
}

// timeline answers GET /v1/timeline/{objectType}/{objectId}.
func (s *Service) timeline(w http.ResponseWriter, r *http.Request) error {
	at := time.Now()
	q, positions, err := readTimelineQuery(r)
	if err != nil {
		return err
	}
	b, err := s.backend()
	if err != nil {
		return err
	}
	if err := b.await(r.Context(), q.workspace, positions, timelineRoute()); err != nil {
		return err
	}
	rows, err := collect(r.Context(), b, q.statement(), (*timelineRow).fields)
	if err != nil {
		return err
	}
	var next *string
	if len(rows) > q.limit {
		rows = rows[:q.limit]
		text := rows[len(rows)-1].cursor().encode(q.fingerprint())
		next = &text
	}
	names, err := primaryNames(r.Context(), b, q.workspace, rows)
	if err != nil {
		return err
	}
	p := page{rows: make([][]byte, len(rows)), next: next, asOf: at}
	for i := range rows {
		if p.rows[i], err = rows[i].encode(s.html, names[rows[i].primary()]); err != nil {
			return err
		}
	}
	return p.write(w)
}

func readTimelineQuery(r *http.Request) (timelineQuery, []string, error) {
	q := timelineQuery{workspace: access.From(r.Context()).Workspace}
	kind, err := web.PathVar(r, "objectType", func(s string) error { _, err := object.ParseType(s); return err })
	if err != nil {
		return q, nil, err
	}
	if q.object.Type, err = object.ParseType(kind); err != nil {
		return q, nil, err
	}
	if q.object.ID, err = web.PathVar(r, "objectId", object.ValidateID); err != nil {
		return q, nil, err
	}
	p := web.Query(r)
	q.names, q.sources = p.Strings("name"), p.Strings("source")
	q.kind = p.Enums("kind", "event", "transition")
	q.from, q.to = p.Range()
	q.searches = searches(p)
	q.order = direction(p.Enum("order", "desc", "asc") == "asc")
	q.limit = p.Limit()
	text, positions := p.String("cursor"), p.Strings("position")
	if err := p.Err(); err != nil {
		return q, nil, err
	}
	if text != "" {
		if q.after, err = decodeCursor(text, q.fingerprint(), 3); err != nil {
			return q, nil, err
		}
	}
	return q, positions, nil
}

// primaryNames looks up the names of the primary objects of a page, in one statement.
func primaryNames(ctx context.Context, b *backend, workspace string, rows []timelineRow) (map[object.Ref]*string, error) {
	names := make(map[object.Ref]*string)
	var refs []object.Ref
	for i := range rows {
		ref := rows[i].primary()
		if _, seen := names[ref]; !seen {
			names[ref] = nil
			refs = append(refs, ref)
		}
	}
	if len(refs) == 0 {
		return names, nil
	}
	found, err := collect(ctx, b, namesOf(workspace, refs), (*namedObject).fields)
	if err != nil {
		return nil, err
	}
	for _, o := range found {
		names[object.Ref{Type: object.Type(o.objectType), ID: o.objectID}] = optional(o.name)
	}
	return names, nil
}

// namesOf reads the latest names of objects. FINAL is cheap here: the key narrows the read to a few granules.
func namesOf(workspace string, refs []object.Ref) statement {
	types, ids := make([]string, len(refs)), make([]string, len(refs))
	for i, ref := range refs {
		types[i], ids[i] = string(ref.Type), ref.ID
	}
	c := newClauses(workspace)
	c.and("(object_type, object_id) IN arrayZip({types:Array(String)}, {ids:Array(String)})",
		clickhouse.Named("types", types), clickhouse.Named("ids", ids))
	c.and("deleted = 0")
	return selectFrom("object_names", "object_type, object_id, name", table.Objects+" FINAL", c, "")
}

type namedObject struct{ objectType, objectID, name string }

func (o *namedObject) fields() []any { return []any{&o.objectType, &o.objectID, &o.name} }
