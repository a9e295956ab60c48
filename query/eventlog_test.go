package query

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/table"
)

const eventLogPath = "/v1/event-log"

func minute(n int) time.Time { return noon().Add(time.Duration(n) * time.Minute) }

func TestEventLogRowHasTheShapeOfTheAPI(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	submission := "{\"name\" : \"Visited\",\n\"payload\":{\"a\": 1.50}}"
	insert(
		t, f, table.EventLog,
		logged("e1", "LINKED", minute(2), func(r *table.EventLogRow) {
			r.ExternalID, r.Submission = "77", submission
			r.Links, r.Missing = `[{"objectType":"CUSTOMER","objectId":"c1","link":"primary"}]`, `[{"objectType":"ACCOUNT","externalId":"9"}]`
		}),
		logged("e2", "INVALID", minute(1), func(r *table.EventLogRow) {
			r.Name, r.ObjectType, r.ObjectID, r.Reason, r.Submission = "", "", "", "name is required", `{"nam`
			r.Links, r.Missing = "", ""
		}),
	)
	got := f.get(t.Context(), "ws", eventLogPath, nil)
	body, _, _ := strings.Cut(got.body, `"asOf":`)
	linked := `{"id":"e1","name":"Visited","objectType":"CUSTOMER","objectId":"c1","externalId":"77","processingStatus":"LINKED",` +
		`"reason":null,"links":[{"objectType":"CUSTOMER","objectId":"c1","link":"primary"}],` +
		`"missing":[{"objectType":"ACCOUNT","externalId":"9"}],"receivedAt":"2026-03-01T12:02:00.000Z",` +
		`"storedAt":"2026-03-01T12:02:00.000Z","submission":` + submission
	want := `{"data":[` + linked + `},` +
		`{"id":"e2","name":null,"objectType":null,"objectId":null,"externalId":null,"processingStatus":"INVALID",` +
		`"reason":"name is required","links":[],"missing":[],"receivedAt":"2026-03-01T12:01:00.000Z",` +
		`"storedAt":"2026-03-01T12:01:00.000Z","submission":"{\"nam"}],"nextCursor":null,`
	if diff := gocmp.Diff(want, body); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	got = f.get(t.Context(), "ws", eventLogPath+"/e1", nil)
	if diff := gocmp.Diff(linked+`,"submissions":[`+linked+`}]}`, got.body); diff != "" {
		t.Errorf("entry (-want +got):\n%s", diff)
	}
}

func TestPendingRowIsShownOnlyWhileNothingNewerOfTheEventIsThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other := func(r *table.EventLogRow) { r.Workspace = "w2" }
	insert(
		t, f, table.EventLog,
		// Settled by its own job, whichever way it ended.
		logged("linked", "PENDING", minute(1)), logged("linked", "LINKED", minute(1)),
		logged("refused", "PENDING", minute(2)), logged("refused", "OBJECT_NOT_FOUND", minute(2)),
		logged("failed", "PENDING", minute(3)), logged("failed", "FAILED", minute(3)),
		// Still waiting.
		logged("waits", "PENDING", minute(4)),
		// Linked before: the repeat that waits is newer.
		logged("repeat", "LINKED", minute(0)), logged("repeat", "PENDING", minute(5)),
		// Submitted again later: the older one says nothing any more.
		logged("again", "PENDING", minute(6)), logged("again", "PENDING", minute(8)),
		logged("resent", "PENDING", minute(7)), logged("resent", "LINKED", minute(9)),
		// Another workspace's event of the same id is another event.
		logged("waits", "LINKED", minute(4), other), logged("waits", "LINKED", minute(10), other),
	)
	show := func(rows []map[string]any) []string {
		var out []string
		for _, r := range rows {
			out = append(out, fmt.Sprint(r["id"], " ", r["processingStatus"], " ", r["receivedAt"].(string)[14:16]))
		}
		return out
	}
	want := []string{
		"resent LINKED 09", "again PENDING 08", "repeat PENDING 05", "waits PENDING 04", "failed FAILED 03",
		"refused OBJECT_NOT_FOUND 02", "linked LINKED 01", "repeat LINKED 00",
	}
	for limit := 1; limit < 10; limit++ {
		if diff := gocmp.Diff(want, show(f.all(t, eventLogPath, nil, limit))); diff != "" {
			t.Errorf("by %d (-want +got):\n%s", limit, diff)
		}
	}
	waiting := []string{"again PENDING 08", "repeat PENDING 05", "waits PENDING 04"}
	for limit := 1; limit < 5; limit++ {
		got := show(f.all(t, eventLogPath, url.Values{"processingStatus": {"PENDING"}}, limit))
		if diff := gocmp.Diff(waiting, got); diff != "" {
			t.Errorf("pending by %d (-want +got):\n%s", limit, diff)
		}
	}
}

func TestPageOfSettledRowsAloneComesShortWithACursor(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	// More than the rounds of a page can look at, and behind them one that waits.
	const settled = maxRounds*501 + 700
	rows := []table.EventLogRow{logged("waits", "PENDING", noon().Add(-time.Hour))}
	for i := range settled {
		id := fmt.Sprint("e", i)
		at := noon().Add(time.Duration(i) * time.Millisecond)
		rows = append(rows, logged(id, "PENDING", at), logged(id, "LINKED", at))
	}
	insert(t, f, table.EventLog, rows...)
	query := url.Values{"processingStatus": {"PENDING"}, "limit": {"10"}}
	first := f.list(t, "ws", eventLogPath, query)
	if len(first.Data) != 0 || first.NextCursor == nil {
		t.Fatalf("the first page has %d rows, cursor %v; want none and a cursor", len(first.Data), first.NextCursor)
	}
	query.Set("cursor", *first.NextCursor)
	if got := column(f.list(t, "ws", eventLogPath, query).Data, "id"); !slices.Equal(got, []string{"waits"}) {
		t.Errorf("the second page has %v", got)
	}
}

func TestEventLogFilters(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	set := func(name, objectType, id string) func(*table.EventLogRow) {
		return func(r *table.EventLogRow) { r.Name, r.ObjectType, r.ObjectID = name, objectType, id }
	}
	insert(
		t, f, table.EventLog,
		logged("1", "LINKED", minute(1), set("Visited", "CUSTOMER", "c1")),
		logged("2", "DUPLICATE", minute(2), set("Called", "CUSTOMER", "c2")),
		logged("3", "FAILED", minute(3), set("Visited", "USER", "c1")),
		logged("4", "INVALID", minute(4), set("", "", "")),
	)
	at := func(n int) string { return minute(n).Format(time.RFC3339) }
	for name, c := range map[string]struct {
		query string
		want  []string
	}{
		"none":             {"", []string{"4", "3", "2", "1"}},
		"status":           {"processingStatus=FAILED", []string{"3"}},
		"statuses":         {"processingStatus=FAILED&processingStatus=LINKED", []string{"3", "1"}},
		"type":             {"objectType=CUSTOMER", []string{"2", "1"}},
		"type's alias":     {"objectType=agent", []string{"3"}},
		"types":            {"objectType=agent&objectType=customer", []string{"3", "2", "1"}},
		"object":           {"objectType=CUSTOMER&objectId=c1", []string{"1"}},
		"name":             {"name=Visited", []string{"3", "1"}},
		"from":             {"from=" + at(3), []string{"4", "3"}},
		"to":               {"to=" + at(3), []string{"2", "1"}},
		"nothing fits all": {"name=Called&processingStatus=LINKED", []string{}},
	} {
		query, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(c.want, column(f.list(t, "ws", eventLogPath, query).Data, "id")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for query, status := range map[string]int{
		"processingStatus=linked": 400, "objectType=THING": 422, "kind=event": 400, "order=asc": 400,
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if a := f.get(t.Context(), "ws", eventLogPath, values); a.status != status {
			t.Errorf("%s: got %d, want %d", query, a.status, status)
		}
	}
}

func TestEventLogEntryIsTheLinkedRowElseTheNewest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	insert(
		t, f, table.EventLog,
		logged("a b/c", "PENDING", minute(1)), logged("a b/c", "LINKED", minute(1)), logged("a b/c", "DUPLICATE", minute(2)),
		logged("no", "OBJECT_NOT_FOUND", minute(1)), logged("no", "INVALID", minute(2)),
	)
	for id, want := range map[string]struct {
		status string
		all    []string
	}{
		"a b/c": {"LINKED", []string{"DUPLICATE", "LINKED", "PENDING"}},
		"no":    {"INVALID", []string{"INVALID", "OBJECT_NOT_FOUND"}},
	} {
		var got struct {
			Status      string           `json:"processingStatus"`
			Submissions []map[string]any `json:"submissions"`
		}
		a := f.get(t.Context(), "ws", eventLogPath+"/"+url.PathEscape(id), nil)
		decode(t, a, &got)
		if got.Status != want.status {
			t.Errorf("%s: got %s, want %s", id, got.Status, want.status)
		}
		if diff := gocmp.Diff(want.all, column(got.Submissions, "processingStatus")); diff != "" {
			t.Errorf("%s: submissions (-want +got):\n%s", id, diff)
		}
	}
	for _, c := range []struct{ workspace, id string }{{"ws", "unknown"}, {"w2", "no"}} {
		if a := f.get(t.Context(), c.workspace, eventLogPath+"/"+c.id, nil); a.status != http.StatusNotFound {
			t.Errorf("%s in %s: got %d, want 404", c.id, c.workspace, a.status)
		}
	}
}

func TestEventNamesAreThoseOfLinkedEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	set := func(name, objectType, icon string) func(*table.EventLogRow) {
		return func(r *table.EventLogRow) { r.Name, r.ObjectType, r.Icon = name, objectType, icon }
	}
	insert(
		t, f, table.EventLog,
		logged("1", "LINKED", minute(1), set("Visited", "CUSTOMER", "📖")),
		logged("2", "LINKED", minute(5), set("Visited", "CUSTOMER", "📗")),
		logged("3", "LINKED", minute(3), set("Visited", "CUSTOMER", "")),
		logged("4", "LINKED", minute(2), set("Visited", "USER", "")),
		logged("5", "LINKED", minute(2), set("called", "CUSTOMER", "")),
		logged("6", "INVALID", minute(2), set("Wrong", "CUSTOMER", "")),
		logged("7", "LINKED", minute(2), func(r *table.EventLogRow) { r.Workspace, r.Name = "w2", "Other" }),
	)
	visited := map[string]any{
		"name": "Visited", "objectType": "CUSTOMER", "icon": "📗", "count": 3.0,
		"firstOccurredAt": "2026-03-01T12:01:00.000Z", "lastOccurredAt": "2026-03-01T12:05:00.000Z",
	}
	for limit := 1; limit < 5; limit++ {
		rows := f.all(t, "/v1/event-names", nil, limit)
		if diff := gocmp.Diff([]string{"Visited", "Visited", "called"}, column(rows, "name")); diff != "" {
			t.Errorf("by %d (-want +got):\n%s", limit, diff)
		}
		if diff := gocmp.Diff(visited, rows[0]); diff != "" {
			t.Errorf("by %d (-want +got):\n%s", limit, diff)
		}
	}
	rows := f.all(t, "/v1/event-names", url.Values{"objectType": {"agent"}}, 5)
	if diff := gocmp.Diff([]string{"USER"}, column(rows, "objectType")); diff != "" {
		t.Errorf("of users (-want +got):\n%s", diff)
	}
}
