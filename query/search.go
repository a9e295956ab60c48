package query

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/words"
)

// Limits of the parameter q. It may be repeated, and a row has to have all words of one of them.
const (
	maxSearches     = 8
	maxSearchLength = 256 // code points of each
	maxSearchWords  = 32  // of all together
)

// searchQuery is a page of a workspace's events that have some words, newest first.
type searchQuery struct {
	workspace             string
	types, names, sources []string
	from, to              time.Time
	searches              [][]string
	limit                 int
	// after is the last row of the page before, or the time that the page before had come to.
	after *cursor
}

// statement reads the newest rows of a window of time. An event has a row for every object that it is linked to, of
// which exactly one is that of its primary object.
func (q searchQuery) statement(w window, rows int) statement {
	c := newClauses(q.workspace)
	c.and("link = 'primary'")
	// In the row of the primary object both types are the same, and this one leads the table's key.
	c.in("object_type", "type", q.types)
	c.in("name", "name", q.names)
	c.in("source", "source", q.sources)
	c.between("occurred_at", w.from, w.to)
	c.words(q.searches)
	c.beyondEvent(descending, q.after)
	return selectFrom("search", timelineColumns, table.Timeline, c,
		"ORDER BY "+descending.orderBy("occurred_at", "event_id", "primary_type", "primary_id")+"\n"+limitTo(rows))
}

func (q searchQuery) fingerprint() []byte {
	return fingerprint("search", []string{q.workspace}, q.types, q.names, q.sources, timeText(q.from), timeText(q.to),
		searchTexts(q.searches))
}

// window is a range of times; a bound that is zero is none.
type window struct{ from, to time.Time }

// reaches are how far back the windows of a search reach from where it begins; a last window has all before.
func reaches() []time.Duration {
	const day = 24 * time.Hour
	// The table keeps a month's rows together, so a shorter window would read as much.
	return []time.Duration{30 * day, 365 * day}
}

// windows cuts the time that the query asks for into windows, newest first. The key of the table leads with the object,
// so the newest rows of a whole workspace do not stand together: the time and one bit of every row that has the words
// must be read to find them. Of a rare word that is little, and of a common one the first window has a page.
func (q searchQuery) windows(now time.Time) []window {
	begin := now
	if !q.to.IsZero() && q.to.Before(begin) {
		begin = q.to
	}
	if q.after != nil && q.after.time().Before(begin) {
		begin = q.after.time()
	}
	var all []window
	to := q.to
	for _, reach := range reaches() {
		from := begin.Add(-reach).Truncate(time.Millisecond)
		if !from.After(q.from) {
			break
		}
		all = append(all, window{from, to})
		to = from
	}
	return append(all, window{q.from, to})
}

// find reads a page, and the cursor of the next one if there may be one. It goes back through the windows until the page
// is full. Where the first windows have taken half the time that a read may take, or a later one is too much to read, the
// page is a short one and its cursor goes on where it ended: who asks on comes to the end, however much there is.
func (q searchQuery) find(ctx context.Context, b *backend, now time.Time) ([]timelineRow, *cursor, error) {
	var rows []timelineRow
	windows := q.windows(now)
	for i, w := range windows {
		took := time.Since(now)
		if i > 0 && took > b.limits.Time/2 {
			return rows, endOf(windows[i-1]), nil
		}
		left := *b
		left.limits.Time -= took
		more, err := collect(ctx, &left, q.statement(w, q.limit+1-len(rows)), (*timelineRow).fields)
		if i > 0 && isTooBroad(err) {
			return rows, endOf(windows[i-1]), nil
		}
		if err != nil {
			return nil, nil, err
		}
		rows = append(rows, more...)
		if len(rows) > q.limit {
			rows = rows[:q.limit]
			next := rows[len(rows)-1].cursor()
			return rows, &next, nil
		}
	}
	return rows, nil, nil
}

// endOf is the place between a window and what came before it: no event has an empty id.
func endOf(w window) *cursor {
	return &cursor{Millis: w.from.UnixMilli(), Texts: []string{"", "", ""}}
}

func isTooBroad(err error) bool {
	p, ok := errors.AsType[*problem.Problem](err)
	return ok && p.Type == problem.TooBroad
}

// search answers GET /v1/search.
func (s *Service) search(w http.ResponseWriter, r *http.Request) error {
	at := time.Now()
	q, positions, err := readSearchQuery(r)
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
	rows, next, err := q.find(r.Context(), b, time.Now())
	if err != nil {
		return err
	}
	names, err := primaryNames(r.Context(), b, q.workspace, rows)
	if err != nil {
		return err
	}
	p := page{rows: make([][]byte, len(rows)), asOf: at}
	for i := range rows {
		if p.rows[i], err = encode(rows[i].shown(s.html, names[rows[i].primary()]), rows[i].verbatimMembers()...); err != nil {
			return err
		}
	}
	if next != nil {
		text := next.encode(q.fingerprint())
		p.next = &text
	}
	return p.write(w)
}

func readSearchQuery(r *http.Request) (searchQuery, []string, error) {
	q := searchQuery{workspace: access.From(r.Context()).Workspace}
	p := web.Query(r)
	q.searches = searches(p)
	if len(p.Strings("q")) == 0 {
		p.Fault("q", "is required: the words to search for")
	}
	types, invalid := objectTypes(p)
	q.types = types
	q.names, q.sources = p.Strings("name"), p.Strings("source")
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
		if q.after, err = decodeCursor(text, q.fingerprint(), 3); err != nil {
			return q, nil, err
		}
	}
	return q, positions, nil
}

// searches reads the parameter q: the words of each of its values.
func searches(p *web.Params) [][]string {
	var all [][]string
	total := 0
	texts := p.Strings("q")
	if len(texts) > maxSearches {
		p.Fault("q", "may be given 8 times")
		return nil
	}
	for _, text := range texts {
		if utf8.RuneCountInString(text) > maxSearchLength {
			p.Fault("q", "may have 256 code points")
			return nil
		}
		found := words.Of(text)
		if len(found) == 0 {
			p.Fault("q", "has no word to search for")
			return nil
		}
		all = append(all, found)
		total += len(found)
	}
	if total > maxSearchWords {
		p.Fault("q", "may have 32 words")
		return nil
	}
	return all
}

// searchTexts are searches as a part of a fingerprint: the words, in whatever order and spelling they were asked for.
func searchTexts(searches [][]string) []string {
	texts := make([]string, len(searches))
	for i, found := range searches {
		texts[i] = strings.Join(slices.Sorted(slices.Values(found)), words.Separator)
	}
	return texts
}
