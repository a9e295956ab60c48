package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/table"
)

// The aims of a page: how much longer it takes than the bare read, and over ten times the rows.
const (
	aimPage  = 2.0
	aimLarge = 1.5
)

// pagesBench is one measurement of pages.
type pagesBench struct {
	*bench
	database

	cfg PagesConfig
	sum *Summary
	// first are the medians over the least table, by the kind of page.
	first map[string]float64
}

// Pages measures pages of the query API beside bare reads of the same rows.
func Pages(ctx context.Context, cfg PagesConfig, out, progress io.Writer, log *slog.Logger) error {
	sum := newSummary()
	if err := measurePages(ctx, cfg, sum, progress, log); err != nil {
		return err
	}
	return sum.finish(cfg.JSON, out)
}

func measurePages(ctx context.Context, cfg PagesConfig, sum *Summary, progress io.Writer, log *slog.Logger) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	b, err := newBench(Config{Kafka: cfg.Kafka, Brokers: cfg.Brokers}, progress, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.opened.Close()) }()
	if err := b.openEdge(ctx); err != nil {
		return err
	}
	p := &pagesBench{bench: b, cfg: cfg, sum: sum, first: map[string]float64{}}
	if p.database, err = b.startDatabase(ctx); err != nil {
		return err
	}
	kinds := pageKinds()
	var all []*sized
	for _, rows := range cfg.Size {
		of, err := p.size(ctx, rows, len(kinds))
		if err != nil {
			return err
		}
		b.opened.Add(of.conn.Close)
		all = append(all, of)
	}
	if err := p.measure(ctx, all, kinds); err != nil {
		return err
	}
	for _, of := range all {
		p.report(of, kinds)
	}
	return nil
}

// pageKind is a page that is measured.
type pageKind struct {
	name string
	path func(int) string
	aim  float64
}

func pageKinds() []pageKind {
	search := func(word string) func(int) string { return func(int) string { return "/v1/search?q=" + word } }
	return []pageKind{
		{"timeline", func(i int) string { return timelinePath(i * 997 % objects) }, aimPage},
		{"search, a common word", search("common"), 0},
		{"search, a rare word", search("unique"), 0},
	}
}

// sized is a database of some rows with a read side of its own, and how long reads of it took.
type sized struct {
	rows   int
	conn   store.Conn
	server *child
	// pages are by kind; keys are the bare reads.
	pages []load
	keys  load
}

// size makes a database of so many rows.
func (p *pagesBench) size(ctx context.Context, rows, kinds int) (*sized, error) {
	name := fmt.Sprintf("pages_%d", rows)
	to, err := p.tables(ctx, name)
	if err != nil {
		return nil, err
	}
	conn, err := store.Open(ctx, to, store.ReadWrite)
	if err != nil {
		return nil, err
	}
	of := &sized{rows: rows, conn: conn, pages: make([]load, kinds)}
	if err := p.fill(ctx, conn, rows); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if of.server, err = p.startQuery(ctx, spec{Dir: filepath.Join(p.dir, name), Store: to}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return of, nil
}

// measure reads pages of all kinds and sizes, and by the client library alone, in turn, so that whatever else the machine does
// is done to all of them. The first rounds do not count.
func (p *pagesBench) measure(ctx context.Context, all []*sized, kinds []pageKind) error {
	const warm = 10
	p.say("pages, load %s", loadAverage())
	for i := range warm + p.cfg.Pages {
		for _, of := range all {
			took, err := p.byKey(ctx, of.conn, i*991%objects)
			if err != nil {
				return err
			}
			of.keys.count(took, i >= warm)
			for k, kind := range kinds {
				if took, err = p.page(ctx, of.server.Addr, kind.path(i)); err != nil {
					return err
				}
				of.pages[k].count(took, i >= warm)
			}
		}
	}
	p.say("measured, load %s", loadAverage())
	return nil
}

// count notes a latency, if it counts.
func (l *load) count(took time.Duration, counts bool) {
	if counts {
		l.latencies = append(l.latencies, took)
	}
}

// median is the one in the middle, in milliseconds.
func (l *load) median() float64 {
	slices.Sort(l.latencies)
	return milliseconds(l.quantile(0.5))
}

func (p *pagesBench) report(of *sized, kinds []pageKind) {
	for k, kind := range kinds {
		median := of.pages[k].median()
		name := fmt.Sprintf("%s, %d rows, p50", kind.name, of.rows)
		p.sum.add(Measure{
			Part: "query", Name: name, Unit: "ms", Ours: median,
			Limit: of.keys.median(), By: "the client library's read of a page by the key", Aim: kind.aim, AtMost: true,
		})
		if least, ok := p.first[kind.name]; ok {
			p.sum.add(Measure{
				Part: "query", Name: name, Unit: "ms", Ours: median, Limit: least,
				By: fmt.Sprintf("the same at %d rows", p.cfg.Size[0]), Aim: aimLarge, AtMost: true,
			})
		} else {
			p.first[kind.name] = median
		}
	}
}

// fill makes a year of events until now, half of the rows those of customers, the others those of accounts. Their texts have
// eight words out of some 20,000, the first of them frequent, as in a language; common is in all, unique in one.
func (p *pagesBench) fill(ctx context.Context, conn store.Conn, rows int) error {
	p.say("making %d rows", rows)
	const year, part = 365 * 24 * time.Hour, 100_000
	each := float64(year.Milliseconds()) / float64(rows/2)
	from := time.Now().Add(-year).UnixMilli()
	for first := 0; first < rows; first += part {
		err := conn.Exec(ctx, fmt.Sprintf(`INSERT INTO timeline (workspace, object_type, object_id, occurred_at, event_id, primary_type,
			primary_id, kind, link, via, name, description, words, icon, source, payload, received_at, stored_at, _offset)
		WITH intDiv(number, 2) AS event, 'c' || toString(100000 + cityHash64(event) %% %d) AS customer,
			fromUnixTimestamp64Milli(toInt64(%d + event * %f), 'UTC') AS at,
			arrayStringConcat(arrayMap(i -> 'w' || toString(toUInt32(pow(20000, cityHash64(event, i) %% 1000000 / 1000000))), range(8)), ' ')
				|| ' common' || if(event = %d, ' unique', '') AS text
		SELECT '%s', if(number %% 2 = 0, 'CUSTOMER', 'ACCOUNT'), if(number %% 2 = 0, customer, 'a' || toString(cityHash64(customer) %% 100)), at,
			'e' || toString(event), 'CUSTOMER', customer, 'event', if(number %% 2 = 0, 'primary', 'related'), '[]', 'Viewed page', text,
			'viewed page ' || text, '📖', 'web', '{"company":"Atlas","n":' || toString(event) || '}', at, at, event
		FROM numbers(%d, %d)`, objects, from, each, rows/6, benchWorkspace, first, min(part, rows-first)))
		if err != nil {
			return fmt.Errorf("make rows: %w", err)
		}
	}
	return nil
}

// page reads one page.
func (p *pagesBench) page(ctx context.Context, addr, path string) (time.Duration, error) {
	began := time.Now()
	body, status, err := p.get(ctx, addr, path)
	if err != nil || status != http.StatusOK {
		return 0, fmt.Errorf("read page: it answered %d: %s: %w", status, body, err)
	}
	took := time.Since(began)
	if !strings.Contains(string(body), `"e`) {
		return 0, fmt.Errorf("read page %s: it has no event: %s", path, body)
	}
	return took, nil
}

// byKey reads the newest rows of a customer by the client library alone.
func (p *pagesBench) byKey(ctx context.Context, conn store.Conn, customer int) (time.Duration, error) {
	columns := strings.Join(table.Columns(&table.TimelineRow{}), ", ")
	text := "SELECT " + columns + " FROM timeline WHERE workspace = ? AND object_type = 'CUSTOMER' AND object_id = ? ORDER BY workspace DESC, " +
		"object_type DESC, object_id DESC, occurred_at DESC, event_id DESC, primary_type DESC, primary_id DESC LIMIT 51"
	began := time.Now()
	rows, err := conn.Query(ctx, text, benchWorkspace, objectID(customer))
	if err != nil {
		return 0, fmt.Errorf("read by key: %w", err)
	}
	n := 0
	for ; rows.Next(); n++ {
		var r table.TimelineRow
		if err := rows.Scan(timelineFields(&r)...); err != nil {
			return 0, errors.Join(fmt.Errorf("read by key: %w", err), rows.Close())
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || n == 0 {
		return 0, fmt.Errorf("read by key: %d rows: %w", n, err)
	}
	return time.Since(began), nil
}
