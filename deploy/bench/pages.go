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
	for _, rows := range cfg.Size {
		if err := p.size(ctx, rows); err != nil {
			return err
		}
	}
	return nil
}

// size measures pages over a table of so many rows.
func (p *pagesBench) size(ctx context.Context, rows int) (err error) {
	name := fmt.Sprintf("pages_%d", rows)
	to, err := p.tables(ctx, name)
	if err != nil {
		return err
	}
	conn, err := store.Open(ctx, to, store.ReadWrite)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := p.fill(ctx, conn, rows); err != nil {
		return err
	}
	server, err := p.startQuery(ctx, spec{Dir: filepath.Join(p.dir, name), Store: to})
	if err != nil {
		return err
	}
	p.say("pages over %d rows, load %s", rows, loadAverage())
	search := func(word string) func(int) string { return func(int) string { return "/v1/search?q=" + word } }
	for _, kind := range []struct {
		name string
		path func(int) string
		aim  float64
	}{
		{"timeline", func(i int) string { return timelinePath(i * 997 % objects) }, aimPage},
		{"search, a common word", search("common"), 0},
		{"search, a rare word", search("unique"), 0},
	} {
		page, err := p.pages(ctx, server.Addr, kind.path)
		if err != nil {
			return err
		}
		key, err := p.byKey(ctx, conn)
		if err != nil {
			return err
		}
		median := milliseconds(page.quantile(0.5))
		p.sum.add(Measure{
			Part: "query", Name: fmt.Sprintf("%s, %d rows, p50", kind.name, rows), Unit: "ms", Ours: median,
			Limit: milliseconds(key.quantile(0.5)), By: "the client library's read of a page by the key", Aim: kind.aim, AtMost: true,
		})
		if least, ok := p.first[kind.name]; ok {
			p.sum.add(Measure{
				Part: "query", Name: fmt.Sprintf("%s, %d rows, p50", kind.name, rows), Unit: "ms", Ours: median, Limit: least,
				By: fmt.Sprintf("the same at %d rows", p.cfg.Size[0]), Aim: aimLarge, AtMost: true,
			})
		} else {
			p.first[kind.name] = median
		}
	}
	return p.drop(ctx, name)
}

// fill makes a year of events until now, half of the rows those of customers, the others those of accounts. Their texts have
// eight words out of some 20,000, the first of them frequent, as in a language; common is in all, unique in one.
func (p *pagesBench) fill(ctx context.Context, conn store.Conn, rows int) error {
	p.say("making %d rows", rows)
	const year, part = 365 * 24 * time.Hour, 500_000
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

// pages reads pages one after the other, after some that do not count.
func (p *pagesBench) pages(ctx context.Context, addr string, path func(int) string) (l load, err error) {
	const warm = 10
	for i := range warm + p.cfg.Pages {
		began := time.Now()
		body, status, err := p.get(ctx, addr, path(i))
		if err != nil || status != http.StatusOK {
			return l, fmt.Errorf("read page: it answered %d: %s: %w", status, body, err)
		}
		if !strings.Contains(string(body), `"e`) {
			return l, fmt.Errorf("read page %s: it has no event: %s", path(i), body)
		}
		if i >= warm {
			l.latencies = append(l.latencies, time.Since(began))
		}
	}
	slices.Sort(l.latencies)
	return l, nil
}

// byKey reads the newest rows of customers by the client library alone.
func (p *pagesBench) byKey(ctx context.Context, conn store.Conn) (l load, err error) {
	columns := strings.Join(table.Columns(&table.TimelineRow{}), ", ")
	text := "SELECT " + columns + " FROM timeline WHERE workspace = ? AND object_type = 'CUSTOMER' AND object_id = ? ORDER BY workspace DESC, " +
		"object_type DESC, object_id DESC, occurred_at DESC, event_id DESC, primary_type DESC, primary_id DESC LIMIT 51"
	for i := range p.cfg.Pages {
		began := time.Now()
		rows, err := conn.Query(ctx, text, benchWorkspace, objectID(i*991%objects))
		if err != nil {
			return l, fmt.Errorf("read by key: %w", err)
		}
		n := 0
		for ; rows.Next(); n++ {
			var r table.TimelineRow
			if err := rows.Scan(timelineFields(&r)...); err != nil {
				return l, errors.Join(fmt.Errorf("read by key: %w", err), rows.Close())
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil || n == 0 {
			return l, fmt.Errorf("read by key: %d rows: %w", n, err)
		}
		l.latencies = append(l.latencies, time.Since(began))
	}
	slices.Sort(l.latencies)
	return l, nil
}
