package query

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/table"
)

// hostile are values that mean something to a database, to its client or to a template.
func hostile() []string {
	return []string{
		"' OR 1=1 --", `\' OR 1=1 --`, `"; DROP TABLE timeline; --`, "') UNION ALL SELECT * FROM objects --", "{ws:String}",
		"{name:Identifier}", "@name", "$1", "?", "%", "_", "`", "NULL", `\N`, `\`, `\\`, `a\tb`, "a\tb\nc\rd", "\x00", "[]", "['a']",
		"💡", "\u202eabc", "/*", "#", "0x27", "%27", strings.Repeat("'", 200),
	}
}

func TestHostileValuesAreValuesAndNothingElse(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	values := hostile()
	var rows []table.TimelineRow
	var log []table.EventLogRow
	for i, v := range values {
		rows = append(rows, timelineOf(v, func(r *table.TimelineRow) {
			r.Name, r.Source, r.PrimaryID, r.OccurredAt = v, "source "+v, v, noon().Add(time.Duration(i)*time.Second)
			r.Description = "found"
		}))
		log = append(log, logged(v, "LINKED", noon(), func(r *table.EventLogRow) { r.Name, r.ObjectID = v, v }))
	}
	insert(t, f, table.Timeline, rows...)
	insert(t, f, table.EventLog, log...)
	for _, v := range values {
		for _, query := range []url.Values{{"name": {v}}, {"name": {v, "none"}}, {"source": {"source " + v}}} {
			got := column(f.list(t, "ws", c1, query).Data, "id")
			if diff := gocmp.Diff([]string{v}, got); diff != "" {
				t.Errorf("timeline by %q (-want +got):\n%s", query, diff)
			}
		}
		for _, query := range []url.Values{{"name": {v}}, {"objectId": {v}}, {"objectId": {v, "none"}}} {
			got := column(f.list(t, "ws", eventLogPath, query).Data, "id")
			if diff := gocmp.Diff([]string{v}, got); diff != "" {
				t.Errorf("event log by %q (-want +got):\n%s", query, diff)
			}
		}
		if !strings.ContainsAny(v, "\x00\t\n\r") { // ids have no control characters
			if a := f.get(t.Context(), "ws", eventLogPath+"/"+url.PathEscape(v), nil); a.status != http.StatusOK {
				t.Errorf("entry %q: %d %s", v, a.status, a.body)
			}
		}
		// A search finds some words or none; it never fails on its text.
		if a := f.get(t.Context(), "ws", c1, url.Values{"q": {"x " + v}}); a.status != http.StatusOK {
			t.Errorf("search for %q: %d %s", v, a.status, a.body)
		}
		for _, query := range []url.Values{{"name": {v}}, {"name": {v, "none"}}, {"source": {"source " + v}}} {
			query.Set("q", "found")
			got := column(f.list(t, "ws", searchPath, query).Data, "id")
			if diff := gocmp.Diff([]string{v}, got); diff != "" {
				t.Errorf("search by %q (-want +got):\n%s", query, diff)
			}
		}
	}
	// Cursors carry such values as well.
	if got := f.all(t, c1, nil, 1); len(got) != len(values) {
		t.Errorf("paging gave %d rows, want %d", len(got), len(values))
	}
	if got := f.all(t, searchPath, url.Values{"q": {"found"}}, 1); len(got) != len(values) {
		t.Errorf("paging a search gave %d rows, want %d", len(got), len(values))
	}
	if got := f.all(t, eventLogPath, nil, 2); len(got) != len(values) {
		t.Errorf("paging the event log gave %d rows, want %d", len(got), len(values))
	}
	if got := f.all(t, "/v1/event-names", nil, 1); len(got) != len(values) {
		t.Errorf("paging event names gave %d rows, want %d", len(got), len(values))
	}
}

func TestNoRouteShowsAnotherWorkspacesRows(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	insert(t, f, table.Timeline, timelineOf("secret"))
	insert(t, f, table.EventLog, logged("secret", "LINKED", noon()), logged("secret2", "PENDING", noon()))
	insert(t, f, table.Objects, table.ObjectRow{
		Workspace: "ws", ObjectType: "CUSTOMER", ObjectID: "c1", Name: "secret", UpdatedAt: noon(),
	})
	for _, path := range []string{
		c1, eventLogPath, eventLogPath + "/secret", eventLogPath + "/secret2", "/v1/event-names", searchPath + "?q=visited",
	} {
		if a := f.get(t.Context(), "ws", path, nil); !strings.Contains(a.body, "secret") && path != "/v1/event-names" {
			t.Errorf("%s: the workspace itself does not see its rows: %d %s", path, a.status, a.body)
		}
		for _, other := range []string{"w2", "", "ws ", "WS", "w", "ws' OR '1'='1"} {
			if a := f.get(t.Context(), other, path, nil); strings.Contains(a.body, "secret") || strings.Contains(a.body, "Visited") {
				t.Errorf("%s: %q sees %s", path, other, a.body)
			}
		}
	}
}

func TestEveryRouteNeedsAKeyThatMayRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, path := range []string{c1, eventLogPath, eventLogPath + "/e1", "/v1/event-names", searchPath} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if status := serve(f, r); status != http.StatusUnauthorized {
			t.Errorf("GET %s without a key: %d", path, status)
		}
		r.Method = http.MethodPost
		if status := serve(f, r); status != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", path, status)
		}
	}
}

func TestTheUserOfReadsCannotWrite(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	insert(t, f, table.Timeline, timelineOf("1"))
	conn := f.service.open.Load().conn
	for _, s := range []string{
		"INSERT INTO timeline (workspace) VALUES ('x')", "ALTER TABLE timeline DELETE WHERE 1", "TRUNCATE TABLE timeline",
		"DROP TABLE timeline", "CREATE TABLE x (a Int8) ENGINE = Memory", "OPTIMIZE TABLE timeline", "SYSTEM STOP MERGES timeline",
	} {
		if err := conn.Exec(t.Context(), s); err == nil {
			t.Errorf("%s was allowed", s)
		}
	}
	if got := f.list(t, "ws", c1, nil); len(got.Data) != 1 {
		t.Errorf("the timeline has %d rows, want 1", len(got.Data))
	}
}

// fill puts many rows on the timeline of c1, and as many on those of others.
func fill(t *testing.T, f *fixture, rows int) {
	t.Helper()
	for _, s := range []string{
		`INSERT INTO timeline (workspace, object_type, object_id, occurred_at, event_id, primary_type, primary_id, kind, link,
			via, name, description, words, payload, stored_at)
		SELECT 'ws', 'CUSTOMER', 'c1', fromUnixTimestamp64Milli(1700000000000 + 60000 * number, 'UTC'), 'e' || toString(number),
			'CUSTOMER', 'c1', 'event', 'primary', '[]', 'name' || toString(number %% 7), 'word' || toString(number),
			'name' || toString(number %% 7) || ' word' || toString(number) || ' common', '{"a":1}',
			fromUnixTimestamp64Milli(1700000000000, 'UTC') FROM numbers(%d)`,
		`INSERT INTO timeline (workspace, object_type, object_id, occurred_at, event_id, primary_type, primary_id, kind, link, via, name)
		SELECT 'ws', 'CUSTOMER', 'd' || toString(number %% 5000), fromUnixTimestamp64Milli(1700000000000 + number, 'UTC'),
			'e' || toString(number), 'CUSTOMER', 'c1', 'event', 'primary', '[]', 'name' FROM numbers(%d)`,
		`INSERT INTO event_log (workspace, received_at, event_id, status, name, object_type, object_id)
		SELECT 'ws', fromUnixTimestamp64Milli(1700000000000 + number, 'UTC'), 'e' || toString(number), 'LINKED', 'name', 'CUSTOMER', 'c1'
		FROM numbers(%d)`,
	} {
		if err := f.write.Exec(t.Context(), fmt.Sprintf(s, rows)); err != nil {
			t.Fatal(err)
		}
	}
}

// rowsRead sums the rows that the server has read for this fixture so far.
func (f *fixture) rowsRead(tb testing.TB) float64 {
	tb.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	var sum float64
	for _, family := range families {
		if family.GetName() == "throughline_query_read_rows" {
			for _, m := range family.GetMetric() {
				sum += m.GetHistogram().GetSampleSum()
			}
		}
	}
	return sum
}

func TestAPageReadsABoundedNumberOfRows(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const rows = 200_000
	fill(t, f, rows)
	at := func(i int) string { return strconv.Itoa(1_700_000_000_000 + 60_000*i) }
	// In the middle, as if paging had come that far; no other filter helps to find it.
	middle := cursor{Millis: 1_700_000_000_000 + 60_000*rows/2, Texts: []string{"e100000", "CUSTOMER", "c1"}}
	whole := timelineQuery{workspace: "ws", object: object.Ref{Type: object.Customer, ID: "c1"}}
	deep := middle.encode(whole.fingerprint())
	whole.order = ascending
	deepUp := middle.encode(whole.fingerprint())
	first := *f.list(t, "ws", c1, nil).NextCursor
	log := cursor{Millis: 1_700_000_000_000 + rows/2, Texts: []string{"e100000", ""}}.encode(eventLogQuery{workspace: "ws"}.fingerprint())
	// The design measured 2,000 to 16,000 rows for a page, and a scan reads at least all rows of the object.
	const most = 17_000
	for name, c := range map[string]struct {
		path  string
		query url.Values
	}{
		"newest":            {c1, nil},
		"second page":       {c1, url.Values{"cursor": {first}}},
		"deep page":         {c1, url.Values{"cursor": {deep}}},
		"deep page upwards": {c1, url.Values{"cursor": {deepUp}, "order": {"asc"}}},
		"a time range":      {c1, url.Values{"from": {at(1000)}, "to": {at(1010)}}},
		"oldest":            {c1, url.Values{"order": {"asc"}}},
		"by name":           {c1, url.Values{"name": {"name3"}}},
		"rare word":         {c1, url.Values{"q": {"word77777"}}},
		"word not there":    {c1, url.Values{"q": {"nowhere"}}},
		"small object":      {"/v1/timeline/CUSTOMER/d77", nil},
		"event log":         {eventLogPath, nil},
		"event log, deep":   {eventLogPath, url.Values{"cursor": {log}}},
		"event log, entry":  {eventLogPath + "/e100000", nil},
	} {
		before := f.rowsRead(t)
		a := f.get(t.Context(), "ws", c.path, c.query)
		if a.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		read := f.rowsRead(t) - before
		if read > most {
			t.Errorf("%s: read %.0f rows, at most %d are expected", name, read, most)
		}
		t.Logf("%s: %.0f rows", name, read)
	}
}

func TestAReadBeyondItsLimitsSaysSo(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"rows":   func(c *Config) { c.Limits.Rows = 10_000 },
		"bytes":  func(c *Config) { c.Limits.Bytes = 20_000 },
		"result": func(c *Config) { c.Limits.ResultBytes = 1000 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, change)
			fill(t, f, 50_000)
			a := f.get(t.Context(), "ws", c1, url.Values{"source": {"none", "name"}, "name": {"x", "name1"}, "limit": {"500"}})
			if name == "result" {
				a = f.get(t.Context(), "ws", c1, url.Values{"limit": {"500"}})
			}
			if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "urn:throughline:problem:too-broad") {
				t.Errorf("got %d %s, want a 422 that says too broad", a.status, a.body)
			}
			if strings.Contains(a.body, "DB::") || strings.Contains(a.body, "SELECT") {
				t.Errorf("the answer shows internals: %s", a.body)
			}
		})
	}
}

func TestAStatementHasTheSettingsOfTheConfiguration(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Limits.Time = 7 * time.Second })
	s := statement{name: "settings", text: `SELECT name, value FROM system.settings WHERE name IN
		('max_execution_time', 'max_rows_to_read', 'max_bytes_to_read', 'max_memory_usage', 'max_result_rows', 'readonly',
		'use_top_k_dynamic_filtering')`}
	type setting struct{ name, value string }
	got, err := collect(t.Context(), f.service.open.Load(), s, func(s *setting) []any { return []any{&s.name, &s.value} })
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]string)
	for _, s := range got {
		values[s.name] = s.value
	}
	want := map[string]string{
		"max_execution_time": "7", "max_rows_to_read": "100000000", "max_bytes_to_read": "4294967296",
		"max_memory_usage": "536870912", "max_result_rows": "1000", "readonly": "2", "use_top_k_dynamic_filtering": "0",
	}
	if diff := gocmp.Diff(want, values); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

// endless is a statement that would run for minutes.
func endless() statement {
	return statement{name: "endless", text: "SELECT sleepEachRow(0.1) FROM numbers(3000) SETTINGS max_block_size = 1"}
}

func TestAStatementEndsAtItsTimeLimit(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Limits.Time = time.Second })
	start := time.Now()
	_, err := collect(t.Context(), f.service.open.Load(), endless(), func(n *uint8) []any { return []any{n} })
	if p, ok := errors.AsType[*problem.Problem](err); !ok || p.Type != problem.TooBroad {
		t.Errorf("got %v, want too broad", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestAClientThatLeavesStopsItsQuery(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := collect(ctx, f.service.open.Load(), endless(), func(n *uint8) []any { return []any{n} })
		done <- err
	}()
	running := func() uint64 {
		var n uint64
		err := f.write.QueryRow(t.Context(), "SELECT count() FROM system.processes WHERE current_database = ? AND query LIKE '%sleepEachRow(0.1)%' AND query NOT LIKE '%system.processes%'", f.db.Database).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	await(t, "the query runs", func() bool { return running() == 1 })
	leave()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's end", err)
	}
	await(t, "the query is gone", func() bool { return running() == 0 })
}

// await polls until something holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	limit := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-ticker.C:
		case <-limit:
			t.Fatalf("in vain: %s", what)
		}
	}
}

func TestALostServerIsA503(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if err := f.service.open.Load().conn.Close(); err != nil {
		t.Fatal(err)
	}
	a := f.get(t.Context(), "ws", c1, nil)
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("got %d %s, want a 503 with Retry-After", a.status, a.body)
	}
	f.service.open.Store(nil)
	a = f.get(t.Context(), "ws", c1, nil)
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("before it is open: got %d %s, want a 503 with Retry-After", a.status, a.body)
	}
}

func TestLimitCodesAreKnownToTheStore(t *testing.T) {
	t.Parallel()
	for _, code := range tooBroad() {
		if !slices.ContainsFunc(store.Codes(), func(c store.Code) bool { return c.Number == code }) {
			t.Errorf("%d is no code of the store: %v", code, clickhouse.Exception{Code: code})
		}
	}
}
