package query

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/schematest/contract"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/words"
	"github.com/throughline/throughline/schema/workspace"
)

// fixture is a service over a real ClickHouse, whose tables the test fills itself. The bearer of a request is taken for
// the name of its workspace.
type fixture struct {
	db      schematest.DB
	write   store.Conn
	service *Service
	// handler is the service's, held to the API's document.
	handler http.Handler
	reg     *prometheus.Registry
}

func newFixture(tb testing.TB, change ...func(*Config)) *fixture {
	tb.Helper()
	f := &fixture{db: schematest.ClickHouse(tb), reg: prometheus.NewRegistry()}
	f.migrate(tb)
	cfg := f.config()
	for _, c := range change {
		c(&cfg)
	}
	service, err := New(cfg, Deps{Log: slog.New(slog.DiscardHandler), Reg: f.reg, Require: bearerIsWorkspace, TimeZone: universal})
	if err != nil {
		tb.Fatal(err)
	}
	f.service, f.handler = service, contract.Handler(tb, service.Handler())
	service.open.Store(&backend{
		conn: open(tb, f.db, store.ReadOnly), limits: cfg.Limits,
		waiter: waiter{metrics: service.metrics, kafka: cfg.Kafka, positionTimeout: cfg.PositionTimeout},
	})
	return f
}

func (f *fixture) migrate(tb testing.TB) {
	tb.Helper()
	f.write = open(tb, f.db, store.ReadWrite)
	if _, err := store.Migrate(tb.Context(), f.write, table.Migrations(), nil); err != nil {
		tb.Fatal(err)
	}
}

func (f *fixture) config() Config {
	cfg := DefaultConfig()
	cfg.Listen = ""
	cfg.Kafka = stream.Config{Brokers: []string{"127.0.0.1:1"}, ClientID: "query-test", Prefix: "t"}
	cfg.ClickHouse = store.Config{
		Addr: f.db.Addr, Database: f.db.Database, User: f.db.ReadUser, Password: f.db.ReadPassword,
	}
	return cfg
}

func open(tb testing.TB, db schematest.DB, how store.Access) store.Conn {
	tb.Helper()
	cfg := store.Config{Addr: db.Addr, Database: db.Database, User: db.User, Password: db.Password}
	if how == store.ReadOnly {
		cfg.User, cfg.Password = db.ReadUser, db.ReadPassword
	}
	conn, err := store.Open(tb.Context(), cfg, how)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

func universal(string) (*time.Location, error) { return time.UTC, nil }

func bearerIsWorkspace(scopes []workspace.Scope, next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		ws, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || !slices.Contains(scopes, workspace.Read) {
			return problem.NoKey("")
		}
		return next(w, r.WithContext(access.WithPrincipal(r.Context(), access.Principal{Workspace: ws})))
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (f *fixture) get(ctx context.Context, workspace, path string, query url.Values) answer {
	target := path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	r.Header.Set("Authorization", "Bearer "+workspace)
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	body, _ := io.ReadAll(w.Result().Body)
	return answer{w.Code, w.Header(), string(body)}
}

func serve(f *fixture, r *http.Request) int {
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w.Code
}

// listed is a page as a client reads it.
type listed struct {
	Data       []map[string]any `json:"data"`
	NextCursor *string          `json:"nextCursor"`
	AsOf       time.Time        `json:"asOf"`
}

func (f *fixture) list(t *testing.T, workspace, path string, query url.Values) listed {
	t.Helper()
	var l listed
	decode(t, f.get(t.Context(), workspace, path, query), &l)
	return l
}

func decode(t *testing.T, a answer, v any) {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
}

// all reads every page of a list of workspace ws.
func (f *fixture) all(t *testing.T, path string, query url.Values, limit int) []map[string]any {
	t.Helper()
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	maps.Copy(q, query)
	var rows []map[string]any
	for {
		l := f.list(t, "ws", path, q)
		if len(l.Data) > limit {
			t.Fatalf("page has %d rows, limit is %d", len(l.Data), limit)
		}
		rows = append(rows, l.Data...)
		if l.NextCursor == nil {
			return rows
		}
		q.Set("cursor", *l.NextCursor)
	}
}

func column(rows []map[string]any, name string) []string {
	values := make([]string, len(rows))
	for i, r := range rows {
		values[i], _ = r[name].(string)
	}
	return values
}

// insert writes rows as the projector does.
func insert[R any, P interface {
	*R
	table.Row
}](t *testing.T, f *fixture, name string, rows ...R) {
	t.Helper()
	var block table.Block
	for i := range rows {
		block.Add(P(&rows[i]))
	}
	batch, err := f.write.PrepareBatch(t.Context(), block.Insert(name))
	if err != nil {
		t.Fatal(err)
	}
	if err := block.AppendTo(batch); err != nil {
		t.Fatal(err)
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
}

// noon is the time of rows that say nothing else.
func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// timelineOf is a plain row on the timeline of customer c1 of workspace ws.
func timelineOf(id string, change ...func(*table.TimelineRow)) table.TimelineRow {
	r := table.TimelineRow{
		Workspace: "ws", ObjectType: "CUSTOMER", ObjectID: "c1", OccurredAt: noon(), EventID: id, PrimaryType: "CUSTOMER",
		PrimaryID: "c1", Kind: "event", Link: "primary", Via: "[]", Name: "Visited", ReceivedAt: noon(), StoredAt: noon(),
		From: table.Source{Topic: "t.events.v1"},
	}
	for _, c := range change {
		c(&r)
	}
	r.Words = words.Column(r.Name, r.Description)
	return r
}

// logged is a row of the event log of workspace ws.
func logged(id, status string, at time.Time, change ...func(*table.EventLogRow)) table.EventLogRow {
	r := table.EventLogRow{
		Workspace: "ws", ReceivedAt: at, EventID: id, Status: status, Name: "Visited", ObjectType: "CUSTOMER", ObjectID: "c1",
		OccurredAt: at, Links: "[]", Missing: "[]", Submission: `{"name":"Visited"}`, StoredAt: at,
		From: table.Source{Topic: "t." + status},
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

// numbers is a text of n words.
func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" " + strconv.Itoa(i))
	}
	return b.String()
}
