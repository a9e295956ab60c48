package query

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/table"
)

const searchPath = "/v1/search"

// ago is a time that a search from now on finds in one window or another.
func ago(d time.Duration) time.Time { return time.Now().UTC().Truncate(time.Millisecond).Add(-d) }

func TestSearchShowsAnEventOnceAndWithoutItsLinks(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	about := func(r *table.TimelineRow) { r.Description, r.Icon, r.Payload = "<b>Hel</b>lo", "📖", `{ "a" : 1.0 }` }
	insert(
		t, f, table.Timeline,
		timelineOf("e1", about),
		timelineOf("e1", about, func(r *table.TimelineRow) {
			r.ObjectType, r.ObjectID, r.Link, r.Via = "ACCOUNT", "a1", "related", `[{"objectType":"CUSTOMER","objectId":"c1"}]`
		}),
		timelineOf("e1", about, func(r *table.TimelineRow) { r.ObjectType, r.ObjectID, r.Link = "USER", "u1", "related" }),
		timelineOf("conv:2", func(r *table.TimelineRow) {
			r.ObjectType, r.ObjectID, r.PrimaryType, r.PrimaryID = "CONVERSATION", "conv", "CONVERSATION", "conv"
			r.Kind, r.Name, r.Transition, r.OccurredAt = "transition", "hello", `{"type":"queued"}`, noon().Add(-time.Hour)
		}),
	)
	insert(t, f, table.Objects, table.ObjectRow{
		Workspace: "ws", ObjectType: "CUSTOMER", ObjectID: "c1", Name: "Ann", UpdatedAt: noon(), Relations: "[]",
	})
	got, _, _ := strings.Cut(f.get(t.Context(), "ws", searchPath, url.Values{"q": {"“Hello!”"}}).body, `"asOf":`)
	want := `{"data":[` +
		`{"id":"e1","kind":"event","name":"Visited","description":"<b>Hel</b>lo","descriptionHtml":"<b>Hel</b>lo","icon":"📖",` +
		`"source":null,"occurredAt":"2026-03-01T12:00:00.000Z","receivedAt":"2026-03-01T12:00:00.000Z",` +
		`"primary":{"objectType":"CUSTOMER","objectId":"c1","name":"Ann"},"payload":{ "a" : 1.0 },"transition":null},` +
		`{"id":"conv:2","kind":"transition","name":"hello","description":null,"descriptionHtml":null,"icon":null,` +
		`"source":null,"occurredAt":"2026-03-01T11:00:00.000Z","receivedAt":"2026-03-01T12:00:00.000Z",` +
		`"primary":{"objectType":"CONVERSATION","objectId":"conv","name":null},"payload":null,"transition":{"type":"queued"}}],` +
		`"nextCursor":null,`
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestSearchFilters(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	set := func(name, description, source, primary string, day int) func(*table.TimelineRow) {
		return func(r *table.TimelineRow) {
			r.Name, r.Description, r.Source, r.OccurredAt = name, description, source, noon().AddDate(0, 0, day)
			r.ObjectType, r.PrimaryType = primary, primary
		}
	}
	insert(
		t, f, table.Timeline,
		timelineOf("1", set("Visited", "the first page", "web", "CUSTOMER", 1)),
		timelineOf("2", set("Called", "about page four — „Ärger“", "phone", "ACCOUNT", 2)),
		timelineOf("3", set("visited", "the page שלום، 😀", "web", "SESSION_RECORDING", 3)),
		timelineOf("4", set("Visited", "nothing", "web", "CUSTOMER", 4)),
		timelineOf("other", set("Visited", "the page", "web", "CUSTOMER", 5), func(r *table.TimelineRow) { r.Workspace = "w2" }),
	)
	at := func(day int) string { return noon().AddDate(0, 0, day).Format(time.RFC3339) }
	for name, c := range map[string]struct {
		query string
		want  []string
	}{
		"a word":                    {"q=PAGE", []string{"3", "2", "1"}},
		"all words":                 {"q=page+the", []string{"3", "1"}},
		"words that are not beside": {"q=page+nothing", []string{}},
		"searches are alternatives": {"q=nothing&q=%C3%A4rger", []string{"4", "2"}},
		"right to left":             {"q=%D7%A9%D7%9C%D7%95%D7%9D", []string{"3"}},
		"emoji":                     {"q=%F0%9F%98%80", []string{"3"}},
		"object type":               {"q=page&objectType=customer", []string{"1"}},
		"object types":              {"q=page&objectType=CUSTOMER&objectType=SESSION%20RECORDING", []string{"3", "1"}},
		"another object type":       {"q=page&objectType=USER", []string{}},
		"name is exact":             {"q=page&name=Visited", []string{"1"}},
		"names are alternatives":    {"q=page&name=Visited&name=Called", []string{"2", "1"}},
		"source":                    {"q=page&source=web", []string{"3", "1"}},
		"from is inclusive":         {"q=page&from=" + at(2), []string{"3", "2"}},
		"to is exclusive":           {"q=page&to=" + at(2), []string{"1"}},
		"an empty range":            {"q=page&from=" + at(2) + "&to=" + at(2), []string{}},
		"a range to come":           {"q=page&from=2200-01-01T00:00:00Z", []string{}},
		"all at once":               {"q=page&objectType=CUSTOMER&name=Visited&source=web&from=" + at(1) + "&to=" + at(3), []string{"1"}},
	} {
		query, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		got := column(f.list(t, "ws", searchPath, query).Data, "id")
		if diff := gocmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestSearchGoesThroughTiesAndWindowsWithoutLossOrRepeat(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	random := rand.New(rand.NewPCG(3, 4))
	ids, primaries, types := []string{"a", "b", "é", "💡", "'"}, []string{"c1", "c'3"}, []string{"CUSTOMER", "ACCOUNT"}
	const day = 24 * time.Hour
	// Around the edges of the windows, in times to come, and before 1970.
	times := []time.Time{
		ago(-20 * time.Hour), ago(0), ago(30*day - time.Second), ago(30 * day), ago(31 * day), ago(365 * day), ago(366 * day),
		ago(3000 * day), time.UnixMilli(-2_000_000_000_001).UTC(),
	}
	seen := make(map[string]bool)
	var rows, stored []table.TimelineRow
	for range 150 {
		r := timelineOf(ids[random.IntN(len(ids))], func(r *table.TimelineRow) {
			r.PrimaryType, r.PrimaryID = types[random.IntN(len(types))], primaries[random.IntN(len(primaries))]
			r.ObjectType, r.ObjectID = r.PrimaryType, r.PrimaryID
			r.OccurredAt = times[random.IntN(len(times))]
			r.StoredAt = noon().AddDate(0, random.IntN(2), 0)
			r.Name = fmt.Sprint(r.OccurredAt.UnixMilli(), r.EventID, r.PrimaryType, r.PrimaryID)
			r.Description = "common"
		})
		if !seen[r.Name] {
			seen[r.Name] = true
			related := r
			related.ObjectType, related.ObjectID, related.Link = "USER", "u1", "related"
			rows, stored = append(rows, r), append(stored, r, related)
		}
	}
	insert(t, f, table.Timeline, stored[:len(stored)/2]...)
	insert(t, f, table.Timeline, stored[len(stored)/2:]...)
	slices.SortFunc(rows, func(a, b table.TimelineRow) int {
		return -cmp.Or(a.OccurredAt.Compare(b.OccurredAt), cmp.Compare(a.EventID, b.EventID),
			cmp.Compare(a.PrimaryType, b.PrimaryType), cmp.Compare(a.PrimaryID, b.PrimaryID))
	})
	want := make([]string, len(rows))
	for i, r := range rows {
		want[i] = r.Name
	}
	for _, limit := range []int{1, 7, len(rows), 500} {
		got := column(f.all(t, searchPath, url.Values{"q": {"common"}}, limit), "name")
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("by %d (-want +got):\n%s", limit, diff)
		}
	}
}

func TestSearchParametersAreStrict(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	insert(t, f, table.Timeline, timelineOf("1"), timelineOf("2"))
	cursor := *f.list(t, "ws", searchPath, url.Values{"q": {"Visited"}, "limit": {"1"}}).NextCursor
	onTimeline := *f.list(t, "ws", c1, url.Values{"limit": {"1"}}).NextCursor
	for name, c := range map[string]struct {
		query   url.Values
		problem string
		status  int
	}{
		"no words":               {nil, "bad-parameter", 400},
		"an empty text":          {url.Values{"q": {""}}, "bad-parameter", 400},
		"a text without a word":  {url.Values{"q": {"?! —"}}, "bad-parameter", 400},
		"one of two without":     {url.Values{"q": {"a", "—"}}, "bad-parameter", 400},
		"many words":             {url.Values{"q": {numbers(20), "x" + numbers(12)}}, "bad-parameter", 400},
		"many searches":          {url.Values{"q": strings.Fields(numbers(9))}, "bad-parameter", 400},
		"a long word":            {url.Values{"q": {strings.Repeat("ä", 257)}}, "bad-parameter", 400},
		"what only timelines do": {url.Values{"q": {"a"}, "kind": {"event"}}, "bad-parameter", 400},
		"an order":               {url.Values{"q": {"a"}, "order": {"asc"}}, "bad-parameter", 400},
		"an unknown type":        {url.Values{"q": {"a"}, "objectType": {"x"}}, "invalid", 422},
		"a cursor of other words": {
			url.Values{"q": {"other"}, "cursor": {cursor}}, "bad-cursor", 400,
		},
		"a cursor of a timeline": {url.Values{"q": {"visited"}, "cursor": {onTimeline}}, "bad-cursor", 400},
		"a position that is none": {
			url.Values{"q": {"visited"}, "position": {"x"}}, "bad-position", 400,
		},
	} {
		a := f.get(t.Context(), "ws", searchPath, c.query)
		if a.status != c.status || !strings.Contains(a.body, "urn:throughline:problem:"+c.problem) {
			t.Errorf("%s: got %d %s, want %d %s", name, a.status, a.body, c.status, c.problem)
		}
	}
	// The same words in other letters are the same list.
	if got := f.list(t, "ws", searchPath, url.Values{"q": {"VISITED!"}, "cursor": {cursor}}); len(got.Data) != 1 {
		t.Errorf("going on with the same words gave %d rows, want 1", len(got.Data))
	}
}

func TestASearchReadsNoMoreWindowsThanItNeeds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	// A row every two hours and a half for two years, under its month; word is in all of them, rare in one.
	const rows, each = 7000, 150 * time.Minute
	newest := ago(time.Hour)
	if err := f.write.Exec(t.Context(), fmt.Sprintf(`INSERT INTO timeline
		(workspace, object_type, object_id, occurred_at, event_id, primary_type, primary_id, kind, link, via, name, words, stored_at)
		SELECT 'ws', 'CUSTOMER', 'c' || toString(number %% 10), fromUnixTimestamp64Milli(%d - %d * number, 'UTC') AS at,
			'e' || toString(number), 'CUSTOMER', 'c' || toString(number %% 10), 'event', 'primary', '[]', 'name',
			'word' || if(number = 6000, ' rare', ''), at FROM numbers(%d)`, newest.UnixMilli(), each.Milliseconds(), rows)); err != nil {
		t.Fatal(err)
	}
	before := f.rowsRead(t)
	if got := f.list(t, "ws", searchPath, url.Values{"q": {"word"}}); got.Data[49]["id"] != "e49" {
		t.Fatalf("the last of the page is %v", got.Data[49]["id"])
	}
	if read := f.rowsRead(t) - before; read > rows/4 {
		t.Errorf("a page of a common word read %.0f rows of %d", read, rows)
	}
	before = f.rowsRead(t)
	if got := column(f.list(t, "ws", searchPath, url.Values{"q": {"rare"}}).Data, "id"); !slices.Equal(got, []string{"e6000"}) {
		t.Fatalf("the rare word is in %q", got)
	}
	if read := f.rowsRead(t) - before; read > rows/4 {
		t.Errorf("a rare word read %.0f rows of %d", read, rows)
	}
}

func TestASearchThatIsTooMuchForOneReadGoesOnWithItsCursor(t *testing.T) {
	t.Parallel()
	// The newest window is within the limit, and all the rows before it are not.
	f := newFixture(t, func(c *Config) { c.Limits.Rows = 5000 })
	const day = 24 * time.Hour
	recent := timelineOf("new", func(r *table.TimelineRow) { r.OccurredAt, r.StoredAt = ago(day), ago(day) })
	insert(t, f, table.Timeline, recent)
	if err := f.write.Exec(t.Context(), fmt.Sprintf(`INSERT INTO timeline
		(workspace, object_type, object_id, occurred_at, event_id, primary_type, primary_id, kind, link, via, name, words, stored_at)
		SELECT 'ws', 'CUSTOMER', 'c1', fromUnixTimestamp64Milli(%d - 60000 * number, 'UTC') AS at, 'e' || toString(number), 'CUSTOMER',
			'c1', 'event', 'primary', '[]', 'name', 'visited', at FROM numbers(60000)`, ago(45*day).UnixMilli())); err != nil {
		t.Fatal(err)
	}
	page := f.list(t, "ws", searchPath, url.Values{"q": {"visited"}})
	if got := column(page.Data, "id"); !slices.Equal(got, []string{"new"}) || page.NextCursor == nil {
		t.Fatalf("the first page has %d rows and the cursor %v, want the newest event and a cursor", len(got), page.NextCursor)
	}
	// A month from there is too much as well, and that is said.
	a := f.get(t.Context(), "ws", searchPath, url.Values{"q": {"visited"}, "cursor": {*page.NextCursor}})
	if a.status != 422 || !strings.Contains(a.body, "too-broad") {
		t.Errorf("got %d %s, want a 422 that says too broad", a.status, a.body)
	}
	// A narrower range is not.
	at := ago(46 * day)
	narrow := url.Values{"q": {"visited"}, "from": {at.Format(time.RFC3339Nano)}, "to": {at.Add(30 * time.Minute).Format(time.RFC3339Nano)}}
	if got := f.list(t, "ws", searchPath, narrow); len(got.Data) != 30 {
		t.Errorf("half an hour has %d rows, want 30", len(got.Data))
	}
}

func TestWindowsOfASearchMeetWithoutGapOrOverlap(t *testing.T) {
	t.Parallel()
	now := noon()
	const day = 24 * time.Hour
	none := time.Time{}
	for name, c := range map[string]struct {
		q    searchQuery
		want []window
	}{
		"all":            {searchQuery{}, []window{{now.Add(-30 * day), none}, {now.Add(-365 * day), now.Add(-30 * day)}, {none, now.Add(-365 * day)}}},
		"a short range":  {searchQuery{from: now.Add(-day), to: now}, []window{{now.Add(-day), now}}},
		"from last year": {searchQuery{from: now.Add(-90 * day)}, []window{{now.Add(-30 * day), none}, {now.Add(-90 * day), now.Add(-30 * day)}}},
		"up to a time": {
			searchQuery{to: now.Add(-100 * day), from: now.Add(-131 * day)},
			[]window{{now.Add(-130 * day), now.Add(-100 * day)}, {now.Add(-131 * day), now.Add(-130 * day)}},
		},
		"in times to come": {searchQuery{from: now.Add(day), to: now.Add(2 * day)}, []window{{now.Add(day), now.Add(2 * day)}}},
		"after a cursor": {
			searchQuery{from: now.Add(-80 * day), after: &cursor{Millis: now.Add(-45 * day).UnixMilli()}},
			[]window{{now.Add(-75 * day), none}, {now.Add(-80 * day), now.Add(-75 * day)}},
		},
	} {
		if diff := gocmp.Diff(c.want, c.q.windows(now), gocmp.AllowUnexported(window{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
