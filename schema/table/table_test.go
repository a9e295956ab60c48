package table_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/table"
)

func TestMain(m *testing.M) { os.Exit(schematest.Main(m)) }

func at() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 123e6, time.UTC) }

func source() table.Source {
	return table.Source{Topic: "events.v1", Partition: 2, Offset: 1 << 40, Row: 3}
}

func rows() map[string]table.Row {
	return map[string]table.Row{
		table.Timeline: &table.TimelineRow{
			Workspace: "acme", ObjectType: "CUSTOMER", ObjectID: "c1", OccurredAt: at().AddDate(-126, 0, 0), EventID: "e1",
			PrimaryType: "CUSTOMER", PrimaryID: "c0", Kind: "event", Link: "related", Via: `[{"objectType":"CUSTOMER","objectId":"c0"}]`,
			Name: "Viewed", Description: "<b>x</b>", Words: "viewed x", Icon: "📖", Source: "web", Payload: `{ "n": 1.0 }`, Transition: "null",
			ReceivedAt: at(), StoredAt: at().Add(time.Second), From: source(),
		},
		table.EventLog: &table.EventLogRow{
			Workspace: "acme", ReceivedAt: at(), EventID: "e1", Status: "LINKED", Reason: "because", Name: "Viewed", Icon: "📖",
			ObjectType: "CUSTOMER", ObjectID: "c1", ExternalID: "195959", OccurredAt: at().Add(-time.Hour), Links: "[]", Missing: "[1]",
			Submission: `{"a":"\u0000"}`, StoredAt: at().Add(time.Second), From: source(),
		},
		table.Objects: &table.ObjectRow{
			Workspace: "acme", ObjectType: "CUSTOMER", ObjectID: "c1", ExternalID: "195959", Name: "Ann", Attributes: `{"a":1}`,
			Relations: "[]", UpdatedAt: at(), Deleted: true, From: source(),
		},
		table.Transitions: &table.TransitionRow{
			Workspace: "acme", OccurredAt: at(), ConversationID: "k1", Version: 3, Type: "responded", From: "QUEUED", To: "ACTIVE",
			First: true, AgentType: "USER", AgentID: "u1", Rating: 4, StayEnded: true, StayContinues: true, StayNumber: 1,
			StayFrom: at().Add(-time.Second), StayBegan: at().Add(-time.Minute), StayTeam: "sales", StayChannel: "web", CustomerID: "c1",
			Team: "help", Channel: "mail", LastAgentType: "USER", LastAgentID: "u2", OpenedAt: at().Add(-time.Hour), Responded: true,
			FirstRespondedAt: at(), Transition: `{"version":3}`, ReceivedAt: at(), StoredAt: at().Add(time.Second), Source: source(),
		},
		table.Conversations: &table.ConversationRow{
			Workspace: "acme", ConversationID: "k1", Version: 3, State: "ACTIVE", CustomerID: "c1", AgentID: "u1", Team: "sales",
			Channel: "web", OpenedAt: at(), QueuedAt: at(), LastTransitionAt: at(), Stays: 2, Conversation: "{}", From: source(),
		},
		table.WebhookAttempts: &table.WebhookAttemptRow{
			// The table forgets: a row of another day would be gone before it is read.
			Workspace: "acme", EndpointID: "crm", PlannedAt: at(), DeliveryID: "msg_1", Attempt: 2, Type: "event.linked",
			SubjectType: "CUSTOMER", SubjectID: "c1", Event: "e1", Status: "RETRYING", Outcome: "server_error", At: at(),
			NextAt: at().Add(time.Minute), StatusCode: 503, Error: "the endpoint answered 503", Timing: `{"total":5}`,
			Protocol: "HTTP/2.0", Reused: true, RequestHeaders: `{"A":"***"}`, ResponseHeaders: "{}", Content: "no",
			Truncated: true, StoredAt: time.Now().UTC().Truncate(time.Millisecond), From: source(),
		},
	}
}

func TestEveryRowIsReadBackAsItWasWritten(t *testing.T) {
	t.Parallel()
	db := schematest.ClickHouse(t)
	conn, err := store.Open(t.Context(), store.Config{Addr: db.Addr, Database: db.Database, User: db.User, Password: db.Password}, store.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := store.Migrate(t.Context(), conn, table.Migrations(), nil); err != nil {
		t.Fatal(err)
	}
	for name, want := range rows() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			columns := table.Columns(want)
			inTable := column(t, conn, "SELECT name FROM system.columns WHERE database = $1 AND table = $2", db.Database, name)
			slices.Sort(inTable)
			sorted := slices.Sorted(slices.Values(columns))
			if diff := cmp.Diff(inTable, sorted); diff != "" {
				t.Fatalf("columns (-table +row):\n%s", diff)
			}
			// Three of one kind, of which one is sent: what is picked is what was there, in all its columns.
			var block table.Block
			block.Add(want)
			block.Reset()
			for range 3 {
				block.Add(want)
			}
			one := block.Pick([]int{1})
			batch, err := conn.PrepareBatch(t.Context(), one.Insert(name))
			if err != nil {
				t.Fatal(err)
			}
			if err := one.AppendTo(batch); err != nil {
				t.Fatal(err)
			}
			if err := batch.Send(); err != nil {
				t.Fatal(err)
			}
			read := column(t, conn, "SELECT arrayJoin([toString("+strings.Join(columns, "), toString(")+")]) FROM "+name)
			if diff := cmp.Diff(texts(one), read); diff != "" {
				t.Errorf("row (-written +read):\n%s", diff)
			}
		})
	}
}

// column is the one column of a query's rows.
func column(t *testing.T, conn store.Conn, query string, args ...any) []string {
	t.Helper()
	found, err := conn.Query(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for found.Next() {
		var value string
		if err := found.Scan(&value); err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}

// texts writes the values of a row as ClickHouse does.
func texts(b *table.Block) []string {
	out := make([]string, len(b.Columns()))
	for i, name := range b.Columns() {
		v := b.Value(0, name)
		if at, ok := v.(time.Time); ok {
			out[i] = at.UTC().Format("2006-01-02 15:04:05.000")
			continue
		}
		out[i] = fmt.Sprint(v)
	}
	return out
}
