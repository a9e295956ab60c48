package query

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/web"
)

// Limits of the parameter q.
const (
	maxSearchLength = 256 // code points
	maxSearchWords  = 32
)

// words is the expression that the text index of timeline is built on. A search must repeat it to the letter, or the
// index is not used.
const words = "lowerUTF8(concat(name, ' ', description))"

const timelineColumns = "event_id, primary_type, primary_id, kind, link, via, name, description, icon, source, " +
	"payload, transition, occurred_at, received_at"

// timelineQuery is a page of one object's timeline.
type timelineQuery struct {
	workspace            string
	object               object.Ref
	names, sources, kind []string
	from, to             time.Time
	search               string
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
	if q.search != "" {
		c.and("hasAllTokens("+words+", lowerUTF8({q:String}))", clickhouse.Named("q", q.search))
	}
	if q.after != nil {
		// The time stands alone as well: a comparison of tuples does not narrow the range that the key is searched in.
		c.and("occurred_at "+q.order.beyond()+"= "+instant("after_time"), millis("after_time", q.after.time()))
		c.and("(occurred_at, event_id, primary_type, primary_id) "+q.order.beyond()+
			" ("+instant("after_time")+", {after_id:String}, {after_type:String}, {after_object:String})",
			clickhouse.Named("after_id", q.after.Texts[0]),
			clickhouse.Named("after_type", q.after.Texts[1]),
			clickhouse.Named("after_object", q.after.Texts[2]))
	}
	return selectFrom("timeline", timelineColumns, table.Timeline, c, "ORDER BY "+
		q.order.orderBy("workspace", "object_type", "object_id", "occurred_at", "event_id", "primary_type", "primary_id")+
		"\n"+limitTo(q.limit+1))
}

// fingerprint binds cursors to the list that the query is a page of.
func (q timelineQuery) fingerprint() []byte {
	return fingerprint("timeline", []string{q.workspace}, []string{string(q.object.Type)}, []string{q.object.ID},
		q.names, q.sources, q.kind, timeText(q.from), timeText(q.to), []string{q.search}, []string{q.order.keyword()})
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

// encode writes the row as clients get it. The payload stays byte for byte what the producer sent.
func (r *timelineRow) encode(html *sanitizer, name *string) ([]byte, error) {
	var descriptionHTML *string
	if r.description != "" {
		safe := html.description(r.description)
		descriptionHTML = &safe
	}
	return encode(struct {
		ID              string          `json:"id"`
		Kind            string          `json:"kind"`
		Name            string          `json:"name"`
		Description     *string         `json:"description"`
		DescriptionHTML *string         `json:"descriptionHtml"`
		Icon            *string         `json:"icon"`
		Source          *string         `json:"source"`
		OccurredAt      event.Time      `json:"occurredAt"`
		ReceivedAt      event.Time      `json:"receivedAt"`
		Primary         primaryObject   `json:"primary"`
		Link            string          `json:"link"`
		Via             json.RawMessage `json:"via"`
	}{
		ID: r.eventID, Kind: r.kind, Name: r.name, Description: optional(r.description), DescriptionHTML: descriptionHTML,
		Icon: optional(r.icon), Source: optional(r.source), OccurredAt: event.TimeOf(r.occurredAt),
		ReceivedAt: event.TimeOf(r.receivedAt), Primary: primaryObject{r.primary(), name}, Link: r.link, Via: list(r.via),
	}, member{"payload", verbatim(r.payload)}, member{"transition", verbatim(r.transition)})
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
	q.search = search(p)
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

// search reads the parameter q: words, all of which a row must have.
func search(p *web.Params) string {
	text := p.String("q")
	if text == "" {
		return ""
	}
	switch n := countWords(text); {
	case utf8.RuneCountInString(text) > maxSearchLength:
		p.Fault("q", "may have 256 code points")
	case n == 0:
		p.Fault("q", "has no word to search for")
	case n > maxSearchWords:
		p.Fault("q", "may have 32 words")
	}
	return text
}

// countWords counts words as the text index takes them: runs of ASCII letters, digits and all that is not ASCII.
func countWords(text string) int {
	return len(strings.FieldsFunc(text, func(r rune) bool {
		digit, letter := '0' <= r && r <= '9', 'a' <= r|0x20 && r|0x20 <= 'z'
		return r < utf8.RuneSelf && !digit && !letter
	}))
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
