package query

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/table"
)

const c1 = "/v1/timeline/CUSTOMER/c1"

func TestTimelineRowHasTheShapeOfTheAPI(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	payload := "{ \"b\" : 1.0,\n\t\"a\":\"\\u00e9\\/<\", \"a\":1e400 }"
	insert(t, f, table.Objects, table.ObjectRow{
		Workspace: "ws", ObjectType: "CUSTOMER", ObjectID: "c2", Name: "Ann", UpdatedAt: noon(), Relations: "[]",
	})
	insert(
		t, f, table.Timeline,
		timelineOf("full", func(r *table.TimelineRow) {
			r.OccurredAt, r.PrimaryID, r.Link, r.Via = noon().Add(time.Millisecond), "c2", "related", `[{"objectType":"CUSTOMER","objectId":"c2"}]`
			r.Description, r.Icon, r.Source, r.Payload = "one\ntwo", "📖", "web", payload
		}),
		timelineOf("bare"),
		timelineOf("conv:2", func(r *table.TimelineRow) {
			r.OccurredAt, r.Kind, r.Transition = noon().Add(-time.Second), "transition", `{"type":"queued","version":2}`
		}),
	)
	got := f.get(t.Context(), "ws", "/v1/timeline/customer/c1", nil)
	body, asOf, _ := strings.Cut(got.body, `"asOf":`)
	want := `{"data":[` +
		`{"id":"full","kind":"event","name":"Visited","description":"one\ntwo","descriptionHtml":"one<br>two","icon":"📖",` +
		`"source":"web","occurredAt":"2026-03-01T12:00:00.001Z","receivedAt":"2026-03-01T12:00:00.000Z",` +
		`"primary":{"objectType":"CUSTOMER","objectId":"c2","name":"Ann"},"link":"related",` +
		`"via":[{"objectType":"CUSTOMER","objectId":"c2"}],"payload":` + payload + `,"transition":null},` +
		`{"id":"bare","kind":"event","name":"Visited","description":null,"descriptionHtml":null,"icon":null,"source":null,` +
		`"occurredAt":"2026-03-01T12:00:00.000Z","receivedAt":"2026-03-01T12:00:00.000Z",` +
		`"primary":{"objectType":"CUSTOMER","objectId":"c1","name":null},"link":"primary","via":[],"payload":null,"transition":null},` +
		`{"id":"conv:2","kind":"transition","name":"Visited","description":null,"descriptionHtml":null,"icon":null,"source":null,` +
		`"occurredAt":"2026-03-01T11:59:59.000Z","receivedAt":"2026-03-01T12:00:00.000Z",` +
		`"primary":{"objectType":"CUSTOMER","objectId":"c1","name":null},"link":"primary","via":[],"payload":null,` +
		`"transition":{"type":"queued","version":2}}],"nextCursor":null,`
	if diff := gocmp.Diff(want, body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if at, err := time.Parse(`"`+time.RFC3339+`"}`, asOf); err != nil || time.Since(at) > time.Minute {
		t.Errorf("asOf %s is not the time of the read", asOf)
	}
	if got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers: %v", got.header)
	}
}

func TestNamesOfPrimaryObjectsAreTheLatestAndGoWithTheObject(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	state := func(workspace, id, name string, offset int64, deleted bool) table.ObjectRow {
		return table.ObjectRow{
			Workspace: workspace, ObjectType: "CUSTOMER", ObjectID: id, Name: name, UpdatedAt: noon(), Deleted: deleted,
			From: table.Source{Offset: offset},
		}
	}
	// Of several inserts, so that only reading can tell which state is the latest.
	insert(t, f, table.Objects, state("ws", "c1", "new", 7, false), state("ws", "gone", "was", 1, false), state("w2", "c3", "other's", 1, false))
	insert(t, f, table.Objects, state("ws", "c1", "old", 3, false), state("ws", "gone", "", 2, true))
	of := func(id string) func(*table.TimelineRow) {
		return func(r *table.TimelineRow) { r.PrimaryID = id }
	}
	insert(t, f, table.Timeline, timelineOf("1", of("c1")), timelineOf("2", of("gone")), timelineOf("3", of("c3")))
	names := make(map[string]any)
	for _, r := range f.list(t, "ws", c1, nil).Data {
		primary, _ := r["primary"].(map[string]any)
		names[fmt.Sprint(primary["objectId"])] = primary["name"]
	}
	if diff := gocmp.Diff(map[string]any{"c1": "new", "gone": nil, "c3": nil}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestPagesGoThroughTiesWithoutLossOrRepeat(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	random := rand.New(rand.NewPCG(1, 2))
	ids := []string{"a", "b", "é", "💡", "'", `\`, "a b", "Z", "zz", "שלום"}
	primaries := []string{"c1", "c2", "c'3"}
	types := []string{"CUSTOMER", "ACCOUNT"}
	seen := make(map[string]bool)
	var rows []table.TimelineRow
	for range 160 {
		r := timelineOf(ids[random.IntN(len(ids))])
		r.PrimaryID, r.PrimaryType = primaries[random.IntN(len(primaries))], types[random.IntN(len(types))]
		r.OccurredAt = time.UnixMilli([]int64{-1, 0, 1, 1_700_000_000_000, -2_000_000_000_001}[random.IntN(5)]).UTC()
		// Two months of storing are two partitions of the table, which a page must merge.
		r.StoredAt = noon().AddDate(0, random.IntN(2), 0)
		r.Name = fmt.Sprint(r.OccurredAt.UnixMilli(), r.EventID, r.PrimaryType, r.PrimaryID)
		if !seen[r.Name] {
			seen[r.Name] = true
			rows = append(rows, r)
		}
	}
	insert(t, f, table.Timeline, rows[:len(rows)/2]...)
	insert(t, f, table.Timeline, rows[len(rows)/2:]...)
	slices.SortFunc(rows, func(a, b table.TimelineRow) int {
		return cmp.Or(a.OccurredAt.Compare(b.OccurredAt), cmp.Compare(a.EventID, b.EventID),
			cmp.Compare(a.PrimaryType, b.PrimaryType), cmp.Compare(a.PrimaryID, b.PrimaryID))
	})
	want := make([]string, len(rows))
	for i, r := range rows {
		want[i] = r.Name
	}
	for _, limit := range []int{1, 3, 7, 50, 500} {
		got := column(f.all(t, c1, url.Values{"order": {"asc"}}, limit), "name")
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("ascending by %d (-want +got):\n%s", limit, diff)
		}
	}
	slices.Reverse(want)
	for _, limit := range []int{1, 2, 5, len(rows)} {
		got := column(f.all(t, c1, nil, limit), "name")
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("descending by %d (-want +got):\n%s", limit, diff)
		}
	}
}

func TestTimelineFilters(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	set := func(name, description, source, kind string, minute int) func(*table.TimelineRow) {
		return func(r *table.TimelineRow) {
			r.Name, r.Description, r.Source, r.Kind = name, description, source, kind
			r.OccurredAt = noon().Add(time.Duration(minute) * time.Minute)
		}
	}
	insert(
		t, f, table.Timeline,
		timelineOf("1", set("Visited", "Viewed HelpCenter Article - How does it work?", "web", "event", 1)),
		timelineOf("2", set("Called", "Ärger mit der RECHNUNG 4711", "phone", "event", 2)),
		timelineOf("3", set("visited", "שלום עולם 😀 smile", "web", "event", 3)),
		timelineOf("4", set("queued", "", "", "transition", 4)),
		timelineOf("5", set("Noted", "<p>“Hel<b>lo</b>”—she said…</p><p>caf&eacute;, „שָׁלוֹם،”👍🏽</p>", "", "event", 5)),
		timelineOf("6", set("Noted", "Straße; don’t <x> cafe\u0301 मेंः हिन्दी, 你好世界 Ｈｉ", "", "event", 6)),
	)
	at := func(minute int) string { return noon().Add(time.Duration(minute) * time.Minute).Format(time.RFC3339) }
	for name, c := range map[string]struct {
		query string
		want  []string
	}{
		"none":                              {"", []string{"6", "5", "4", "3", "2", "1"}},
		"empty ones":                        {"name=&q=&from=&cursor=", []string{"6", "5", "4", "3", "2", "1"}},
		"name is exact":                     {"name=Visited", []string{"1"}},
		"names are alternatives":            {"name=Visited&name=Called", []string{"2", "1"}},
		"filters are conditions":            {"name=Visited&source=phone", []string{}},
		"source":                            {"source=web", []string{"3", "1"}},
		"kind":                              {"kind=transition", []string{"4"}},
		"both kinds":                        {"kind=transition&kind=event", []string{"6", "5", "4", "3", "2", "1"}},
		"sources are alternatives":          {"source=web&source=phone&source=none", []string{"3", "2", "1"}},
		"from is inclusive":                 {"from=" + at(5), []string{"6", "5"}},
		"to is exclusive":                   {"to=" + at(3), []string{"2", "1"}},
		"an empty range":                    {"from=" + at(3) + "&to=" + at(3), []string{}},
		"epoch milliseconds":                {fmt.Sprint("from=", noon().UnixMilli()+360_000), []string{"6"}},
		"eight digits are milliseconds":     {"to=20260301", []string{}},
		"before 1970":                       {"from=1900-01-01T00:00:00Z&to=1969-12-31T00:00:00Z", []string{}},
		"a word":                            {"q=article", []string{"1"}},
		"all words in any order":            {"q=work+viewed", []string{"1"}},
		"one word missing":                  {"q=work+nothing", []string{}},
		"words beside marks":                {"q=%3F%3Fhelpcenter...", []string{"1"}},
		"part of a word":                    {"q=artic", []string{}},
		"words of the name":                 {"q=VISITED", []string{"3", "1"}},
		"words of name and description":     {"q=called+rechnung", []string{"2"}},
		"case beyond ASCII":                 {"q=%C3%A4RGER", []string{"2"}},
		"a number":                          {"q=4711", []string{"2"}},
		"right to left":                     {"q=%D7%A2%D7%95%D7%9C%D7%9D", []string{"3"}},
		"emoji":                             {"q=%F0%9F%98%80", []string{"3"}},
		"marks are no part of a word":       {"q=%E2%80%9CHELLO%E2%80%9D", []string{"5"}},
		"words beside a dash":               {"q=she+hello", []string{"5"}},
		"a word that has a tag in it":       {"q=hello", []string{"5"}},
		"the name of a tag":                 {"q=p", []string{}},
		"a tag that is text":                {"q=x", []string{"6"}},
		"a searched tag":                    {"q=%3Cb%3Ehello", []string{}},
		"an entity":                         {"q=eacute", []string{}},
		"composed and decomposed":           {"q=CAF%C3%89", []string{"6", "5"}},
		"accents count":                     {"q=cafe", []string{}},
		"Hebrew points":                     {"q=%D7%A9%D6%B8%D7%81%D7%9C%D7%95%D6%B9%D7%9D%D8%8C", []string{"5"}},
		"without its points":                {"q=%D7%A9%D7%9C%D7%95%D7%9D", []string{"3"}},
		"an emoji beside a word":            {"q=%F0%9F%91%8D", []string{"5"}},
		"sharp s":                           {"q=STRASSE", []string{"6"}},
		"an apostrophe of another kind":     {"q=don%27t", []string{"6"}},
		"combining vowels":                  {"q=%E0%A4%B9%E0%A4%BF%E0%A4%A8%E0%A5%8D%E0%A4%A6%E0%A5%80", []string{"6"}},
		"a word among ideographs":           {"q=%E4%B8%96%E7%95%8C", []string{"6"}},
		"full-width letters":                {"q=hi", []string{"6"}},
		"searches are alternatives":         {"q=strasse&q=called+rechnung&q=called+nothing", []string{"6", "2"}},
		"all filters at once":               {"q=viewed&q=smile&name=visited&name=Visited&source=web&kind=event&from=" + at(1) + "&to=" + at(3), []string{"1"}},
		"words of another row's neighbours": {"q=called+queued", []string{}},
		"ascending":                         {"order=asc&source=web", []string{"1", "3"}},
	} {
		query, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		got := column(f.list(t, "ws", c1, query).Data, "id")
		if diff := gocmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTimelineParametersAreStrict(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	insert(t, f, table.Timeline, timelineOf("1"), timelineOf("2"), timelineOf("3"))
	cursorOf := func(query url.Values) string {
		q := url.Values{"limit": {"1"}}
		maps.Copy(q, query)
		return *f.list(t, "ws", c1, q).NextCursor
	}
	plain, filtered, up := cursorOf(nil), cursorOf(url.Values{"name": {"Visited"}}), cursorOf(url.Values{"order": {"asc"}})
	for name, c := range map[string]struct {
		path, problem string
		query         url.Values
		status        int
	}{
		"unknown parameter":       {c1, "bad-parameter", url.Values{"nam": {"x"}}, 400},
		"unknown order":           {c1, "bad-parameter", url.Values{"order": {"up"}}, 400},
		"unknown kind":            {c1, "bad-parameter", url.Values{"kind": {"x"}}, 400},
		"order twice":             {c1, "bad-parameter", url.Values{"order": {"asc", "desc"}}, 400},
		"limit of none":           {c1, "bad-parameter", url.Values{"limit": {"0"}}, 400},
		"limit of too many":       {c1, "bad-parameter", url.Values{"limit": {"501"}}, 400},
		"from is no time":         {c1, "bad-parameter", url.Values{"from": {"yesterday"}}, 400},
		"from outside the years":  {c1, "bad-parameter", url.Values{"from": {"1899-12-31T23:59:59Z"}}, 400},
		"search for no word":      {c1, "bad-parameter", url.Values{"q": {"?! -"}}, 400},
		"search for many words":   {c1, "bad-parameter", url.Values{"q": {numbers(33)}}, 400},
		"search for a long word":  {c1, "bad-parameter", url.Values{"q": {strings.Repeat("ä", 257)}}, 400},
		"cursor that is none":     {c1, "bad-cursor", url.Values{"cursor": {"x"}}, 400},
		"cursor cut":              {c1, "bad-cursor", url.Values{"cursor": {plain[:len(plain)-4]}}, 400},
		"cursor of other filters": {c1, "bad-cursor", url.Values{"cursor": {filtered}}, 400},
		"cursor of other order":   {c1, "bad-cursor", url.Values{"cursor": {up}}, 400},
		"cursor without filters":  {c1, "bad-cursor", url.Values{"cursor": {plain}, "name": {"Visited"}}, 400},
		"cursor of other object":  {"/v1/timeline/CUSTOMER/c2", "bad-cursor", url.Values{"cursor": {plain}}, 400},
		"cursor of other list":    {"/v1/event-log", "bad-cursor", url.Values{"cursor": {plain}}, 400},
		"position that is none":   {c1, "bad-position", url.Values{"position": {"x"}}, 400},
		"unknown type":            {"/v1/timeline/CUSTOMERS/c1", "invalid-path", nil, 422},
		"id of a control":         {"/v1/timeline/CUSTOMER/a%00b", "invalid-path", nil, 422},
		"no id":                   {"/v1/timeline/CUSTOMER/", "not-found", nil, 404},
	} {
		a := f.get(t.Context(), "ws", c.path, c.query)
		if a.status != c.status || !strings.Contains(a.body, "urn:throughline:problem:"+c.problem+`"`) {
			t.Errorf("%s: got %d %s, want %d %s", name, a.status, a.body, c.status, c.problem)
		}
	}
	// A page of another size, and an empty parameter, are the same list.
	if got := f.list(t, "ws", c1, url.Values{"cursor": {plain}, "limit": {"9"}, "name": {""}}); len(got.Data) != 2 {
		t.Errorf("going on with another limit gave %d rows, want 2", len(got.Data))
	}
	if got := f.list(t, "w2", c1, nil); got.Data == nil || len(got.Data) != 0 || got.NextCursor != nil {
		t.Errorf("an unknown timeline is %v, want an empty list", got)
	}
	// A cursor of one workspace is none of another.
	if a := f.get(t.Context(), "w2", c1, url.Values{"cursor": {plain}}); a.status != http.StatusBadRequest {
		t.Errorf("cursor of another workspace: %d", a.status)
	}
}

func TestObjectIDsArePathSegmentsDecodedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ids := []string{"a/b", "a%2Fb", "a//b", "c'1", `back\slash`, "tab?#&", "💡", "שלום", "日本 語", "...", "{ws:String}"}
	var rows []table.TimelineRow
	for _, id := range ids {
		rows = append(rows, timelineOf("of "+id, func(r *table.TimelineRow) { r.ObjectID = id }))
	}
	insert(t, f, table.Timeline, rows...)
	for _, id := range ids {
		got := column(f.list(t, "ws", "/v1/timeline/SESSION%20RECORDING/"+url.PathEscape(id), nil).Data, "id")
		if len(got) != 0 {
			t.Errorf("%s: found on another type: %q", id, got)
		}
		got = column(f.list(t, "ws", "/v1/timeline/Customer/"+url.PathEscape(id), nil).Data, "id")
		if diff := gocmp.Diff([]string{"of " + id}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
}

func TestWhatIsStoredBrokenBreaksNoPage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	insert(t, f, table.Timeline, timelineOf("1", func(r *table.TimelineRow) {
		r.Name, r.Description, r.Payload, r.Via = "a\xffb", "x\xff<b>y", `{"a":`, "oops"
	}))
	a := f.get(t.Context(), "ws", c1, nil)
	if a.status != http.StatusOK || !json.Valid([]byte(a.body)) {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	var got listed
	if err := json.NewDecoder(bytes.NewReader([]byte(a.body))).Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"name": "a\uFFFDb", "payload": `{"a":`, "via": []any{}}
	for k, v := range want {
		if diff := gocmp.Diff(v, got.Data[0][k]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", k, diff)
		}
	}
}
