package demo_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/deploy/demo"
	"github.com/throughline/throughline/deploy/replay"
	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/query"
	"github.com/throughline/throughline/query/wallboard"
	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

func TestMain(m *testing.M) { os.Exit(schematest.Main(m)) }

// days are those of the trace.
func days(t *testing.T) []string {
	t.Helper()
	first, err := time.Parse(time.DateOnly, demo.FirstDay)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for d := first; d.Format(time.DateOnly) <= demo.LastDay; d = d.AddDate(0, 0, 1) {
		all = append(all, d.Format(time.DateOnly))
	}
	return all
}

// transitions are those of a call's conversation, decided by the rules of the product.
func transitions(t *testing.T, c replay.Call) []*conversation.Transition {
	t.Helper()
	var state conversation.Conversation
	var all []*conversation.Transition
	step := func(typ conversation.Type, at time.Time, who conversation.Parties) {
		if at.IsZero() {
			return
		}
		command := &conversation.Command{
			Workspace: "bank", ConversationID: c.ID, ID: string(typ), Type: typ, OccurredAt: event.TimeOf(at), ReceivedAt: event.TimeOf(at),
		}
		if typ == conversation.Opened {
			command.Team = c.Service
		}
		d := conversation.Decide(&conversation.Snapshot{Conversation: state}, command, who)
		if len(d.Transitions) != 1 {
			t.Fatalf("%s: %s gave %d transitions", c.ID, typ, len(d.Transitions))
		}
		tr := d.Transitions[0]
		tr.Links = []event.Link{{Type: object.Conversation, ID: c.ID, Kind: event.LinkPrimary}}
		if err := tr.Complete(state); err != nil {
			t.Fatal(err)
		}
		state = tr.After
		all = append(all, tr)
	}
	var opener, answerer conversation.Parties
	if c.Customer != "" {
		opener.Customer = &conversation.Party{Type: object.Customer, ID: c.Customer}
	}
	if c.Agent != "" {
		answerer.Agent = &conversation.Party{Type: object.User, ID: c.Agent}
	}
	step(conversation.Opened, c.Opened, opener)
	step(conversation.Queued, c.Queued, conversation.Parties{})
	step(conversation.Responded, c.Responded, answerer)
	step(conversation.Closed, c.Closed, conversation.Parties{})
	return all
}

// unopened opens nothing: nothing in the trace is sealed.
type unopened struct{}

func (unopened) Open(context.Context, projections.Sealed) ([]byte, bool, error) {
	return nil, false, nil
}

// fill projects transitions into tables of a database.
func fill(t *testing.T, db schematest.DB, all []*conversation.Transition) {
	t.Helper()
	conn, err := store.Open(t.Context(), store.Config{Addr: db.Addr, Database: db.Database, User: db.User, Password: db.Password}, store.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := store.Migrate(t.Context(), conn, table.Migrations(), nil); err != nil {
		t.Fatal(err)
	}
	for _, p := range []projections.Projection{projections.Transitions(), projections.Conversations()} {
		var block table.Block
		for i, tr := range all {
			value, err := tr.Encode()
			if err != nil {
				t.Fatal(err)
			}
			rec := projections.Record{Name: topic.Conversations, Record: &stream.Record{
				Topic: "t.conversations.v1", Offset: int64(i), Timestamp: tr.ReceivedAt.Time, Value: value,
			}}
			if err := p.Transform(t.Context(), rec, unopened{}, &block); err != nil {
				t.Fatal(err)
			}
		}
		batch, err := conn.PrepareBatch(t.Context(), block.Insert(p.Table))
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
}

// reports serves a database whose workspaces are in a time zone.
func reports(t *testing.T, db schematest.DB, zone *time.Location) string {
	t.Helper()
	return serve(t, stream.Config{Brokers: schematest.Kfake(t), ClientID: "reports", Prefix: "t", Embedded: true}, db, zone, nil)
}

// serve serves a log and a database, whose workspaces are in a time zone. Its wallboard goes by a clock.
func serve(t *testing.T, kafka stream.Config, db schematest.DB, zone *time.Location, now func() time.Time) string {
	t.Helper()
	cfg := query.DefaultConfig()
	cfg.Listen, cfg.Kafka, cfg.PositionTimeout = "", kafka, time.Minute
	cfg.ClickHouse = store.Config{Addr: db.Addr, Database: db.Database, User: db.ReadUser, Password: db.ReadPassword}
	service, err := query.New(cfg, query.Deps{
		Log: quiet(), Reg: prometheus.NewRegistry(), Now: now,
		TimeZone: func(string) (*time.Location, error) { return zone, nil },
		Require: func(_ []workspace.Scope, next web.Handler) web.Handler {
			return func(w http.ResponseWriter, r *http.Request) error {
				return next(w, r.WithContext(access.WithPrincipal(r.Context(), access.Principal{Workspace: "bank"})))
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	server := httptest.NewServer(service.Handler())
	t.Cleanup(func() {
		server.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); service.Ready(t.Context()) != nil; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("the reports are not ready")
		}
	}
	return server.URL
}

// get makes a request.
func get(t *testing.T, address string) (status int, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	check(t, err)
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	check(t, err)
	return resp.StatusCode, body
}

// report reads the rows of a report.
func report(t *testing.T, url, params string) []map[string]any {
	t.Helper()
	var status int
	var body []byte
	within(t, "the report shows its position", func() bool {
		status, body = get(t, url+"/v1/reports/conversations?"+params)
		return status != http.StatusServiceUnavailable
	})
	var got struct {
		Data []map[string]any `json:"data"`
	}
	if err := json.Unmarshal(body, &got); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %s", params, status, body)
	}
	return got.Data
}

// answers are what a correct report says of each day.
func answers(t *testing.T) map[string]map[string]any {
	t.Helper()
	text, err := os.ReadFile("testdata/answers.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for _, day := range all {
		// The answers have the clock's time, which is taken for UTC.
		if at, ok := day["maxQueueAt"].(string); ok {
			day["maxQueueAt"] = at + ".000Z"
		}
	}
	return all
}

// wantAnswers compares every figure of days, which are those of a report over all of them. more are further parameters.
func wantAnswers(t *testing.T, url string, shown []string, more string) {
	t.Helper()
	end, err := time.Parse(time.DateOnly, shown[len(shown)-1])
	check(t, err)
	rows := report(t, url, "interval=1d&from="+shown[0]+"T00:00:00Z&to="+end.AddDate(0, 0, 1).Format(time.RFC3339)+more)
	want := answers(t)
	if len(rows) != len(shown) || len(want) != 14 {
		t.Fatalf("%d rows for %d days, %d answers", len(rows), len(shown), len(want))
	}
	for i, day := range shown {
		for figure, value := range want[day] {
			// The answers are rounded to the millisecond.
			if diff := cmp.Diff(value, rows[i][figure], cmpopts.EquateApprox(0, 0.0006)); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", day, figure, diff)
			}
		}
	}
}

// TestReportsOfTheTraceAreTheKnownAnswers compares every figure of every day, and the days' rows with one report over all.
func TestReportsOfTheTraceAreTheKnownAnswers(t *testing.T) {
	t.Parallel()
	db := schematest.ClickHouse(t)
	calls, err := demo.Trace()
	check(t, err)
	var all []*conversation.Transition
	for _, c := range calls {
		all = append(all, transitions(t, c)...)
	}
	fill(t, db, all)
	url := reports(t, db, time.UTC)
	wantAnswers(t, url, days(t), "")
	want := answers(t)
	hours := report(t, url, "from=1999-02-03T00:00:00Z&to=1999-02-04T00:00:00Z&interval=1h")
	var queued, most float64
	for _, h := range hours {
		queued += number(t, h, "queued")
		most = max(most, number(t, h, "maxQueueSize"))
	}
	if len(hours) != 24 || queued != want["1999-02-03"]["queued"] || most != want["1999-02-03"]["maxQueueSize"] {
		t.Errorf("%d hours with %v queued, %v at once", len(hours), queued, most)
	}
	teams := report(t, url, "from=1999-02-03T00:00:00Z&to=1999-02-04T00:00:00Z&groupBy=team")
	closed := 0.0
	for _, row := range teams {
		closed += number(t, row, "closed")
	}
	if len(teams) < 5 || closed != want["1999-02-03"]["closed"] {
		t.Errorf("%d teams with %v closed", len(teams), closed)
	}
}

func number(t *testing.T, row map[string]any, figure string) float64 {
	t.Helper()
	n, ok := row[figure].(float64)
	if !ok {
		t.Fatalf("%s is %v of type %v", figure, row[figure], reflect.TypeOf(row[figure]))
	}
	return n
}

// TestWallboardOfTheTraceHasTheKnownMaximum folds each day on its own board and looks at its end.
func TestWallboardOfTheTraceHasTheKnownMaximum(t *testing.T) {
	t.Parallel()
	want := answers(t)
	for _, day := range days(t) {
		calls, err := demo.Calls(day)
		if err != nil {
			t.Fatal(err)
		}
		b := wallboard.NewBoard(calls[0].Opened)
		for _, c := range calls {
			for _, tr := range transitions(t, c) {
				b.Apply(tr)
			}
		}
		midnight, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		v := b.View(midnight.Add(24*time.Hour-time.Millisecond), time.UTC, wallboard.None)
		if got := float64(v.MaxQueueSizeToday); got != want[day]["maxQueueSize"] {
			t.Errorf("%s: %v at once, want %v", day, got, want[day]["maxQueueSize"])
		}
		if diff := cmp.Diff(want[day]["waitAvgSeconds"], *v.WaitAvgSecondsToday, cmpopts.EquateApprox(0, 0.0006)); diff != "" {
			t.Errorf("%s: mean wait (-want +got):\n%s", day, diff)
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// within polls until it holds, on a machine that may be busy.
func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(8 * time.Minute); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited for: %s", what)
		}
	}
}
