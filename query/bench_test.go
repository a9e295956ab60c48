package query

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"
)

// benchmarkRows is how many rows the benchmark's table has: SIZE, or a million. Half of them are those of an event's
// primary object, the others those of an account.
func benchmarkRows(b *testing.B) int {
	b.Helper()
	size := os.Getenv("SIZE")
	if size == "" {
		return 1_000_000
	}
	n, err := strconv.Atoi(size)
	if err != nil || n < 1000 {
		b.Fatalf("SIZE=%s is not a number of rows from 1000", size)
	}
	return n
}

// crowd is how many customers share the events.
const crowd = 5000

// crowded fills the table with a year of events until now. Their texts have eight words out of some 20,000, of which the
// first are frequent, as in a language; common is in all of them, percent in one of a hundred, unique in one.
func crowded(b *testing.B, f *fixture, rows int) {
	b.Helper()
	const year, part = 365 * 24 * time.Hour, 250_000
	events := rows / 2
	each := float64(year.Milliseconds()) / float64(events)
	from := time.Now().Add(-year).UnixMilli()
	for first := 0; first < rows; first += part {
		err := f.write.Exec(b.Context(), fmt.Sprintf(`INSERT INTO timeline (workspace, object_type, object_id, occurred_at, event_id,
			primary_type, primary_id, kind, link, via, name, description, words, icon, source, payload, received_at, stored_at, _offset)
		WITH intDiv(number, 2) AS e, number %% 2 = 0 AS primary, 'c' || toString(cityHash64(e) %% %d) AS customer,
			fromUnixTimestamp64Milli(toInt64(%d + e * %f), 'UTC') AS at,
			arrayStringConcat(arrayMap(i -> 'w' || toString(toUInt32(pow(20000, (cityHash64(e, i) %% 1000000) / 1000000))), range(8)), ' ')
				|| ' common' || if(e %% 100 = 7, ' percent', '') || if(e = %d, ' unique', '') AS text
		SELECT 'ws', if(primary, 'CUSTOMER', 'ACCOUNT'), if(primary, customer, 'a' || toString(cityHash64(customer) %% 100)), at,
			'e' || toString(e), 'CUSTOMER', customer, 'event', if(primary, 'primary', 'related'), '[]', 'Viewed page', text,
			'viewed page ' || text, '📖', 'web', '{"company":"Atlas","n":' || toString(e) || '}', at, at, e
		FROM numbers(%d, %d)`, crowd, from, each, events/3, first, min(part, rows-first)))
		if err != nil {
			b.Fatal(err)
		}
	}
	err := f.write.Exec(b.Context(), fmt.Sprintf(`INSERT INTO objects (workspace, object_type, object_id, name)
		SELECT 'ws', 'CUSTOMER', 'c' || toString(number), 'Customer ' || toString(number) FROM numbers(%d)`, crowd))
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPage measures pages of 50 rows as a client gets them: read, names looked up, sanitised, written. Beside each
// page the client library alone reads as many rows of one object in the order of the key. ms/page is the first, ms/key
// the second, ratio the one divided by the other: what a page costs over the cheapest read that there is.
func BenchmarkPage(b *testing.B) {
	f := newFixture(b)
	rows := benchmarkRows(b)
	crowded(b, f, rows)
	customer := func(i int) string { return "/v1/timeline/CUSTOMER/c" + strconv.Itoa(i*997%crowd) }
	// The account that the one event with the rare word is linked to.
	var id string
	if err := f.write.QueryRow(b.Context(), "SELECT object_id FROM timeline WHERE link = 'related' AND hasToken(words, 'unique')").Scan(&id); err != nil {
		b.Fatal(err)
	}
	account := func(int) string { return "/v1/timeline/ACCOUNT/" + id }
	search := func(int) string { return searchPath }
	months := func(n int) string { return strconv.FormatInt(time.Now().AddDate(0, -n, 0).UnixMilli(), 10) }
	for _, c := range []struct {
		name  string
		path  func(i int) string
		query url.Values
	}{
		{"timeline", customer, nil},
		{"timeline-big", account, nil},
		{"timeline-rare-word", account, url.Values{"q": {"unique"}}},
		{"timeline-common-word", account, url.Values{"q": {"common"}}},
		{"search-no-word", search, url.Values{"q": {"nowhere"}}},
		{"search-rare-word", search, url.Values{"q": {"unique"}}},
		{"search-percent-word", search, url.Values{"q": {"percent"}}},
		{"search-common-word", search, url.Values{"q": {"common"}}},
		{"search-common-word-and-rare", search, url.Values{"q": {"common unique"}}},
		{"search-common-word-deep", search, url.Values{"q": {"common"}, "to": {months(6)}}},
		{"search-customers-only", search, url.Values{"q": {"common"}, "objectType": {"CUSTOMER"}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var page, key time.Duration
			before := f.rowsRead(b)
			i := 0
			for b.Loop() {
				began := time.Now()
				if a := f.get(b.Context(), "ws", c.path(i), c.query); a.status != http.StatusOK {
					b.Fatalf("%s: %d %s", c.path(i), a.status, a.body)
				}
				page += time.Since(began)
				key += f.byKey(b, "c"+strconv.Itoa(i*991%crowd))
				i++
			}
			each := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(i) }
			b.ReportMetric(0, "ns/op") // of both reads together, which is nobody's
			b.ReportMetric(each(page), "ms/page")
			b.ReportMetric(each(key), "ms/key")
			b.ReportMetric(page.Seconds()/key.Seconds(), "ratio")
			b.ReportMetric((f.rowsRead(b)-before)/float64(i), "rows/page")
		})
	}
}

// byKey reads the newest rows of a customer by the client library alone.
func (f *fixture) byKey(b *testing.B, customer string) time.Duration {
	b.Helper()
	began := time.Now()
	const text = "SELECT " + timelineColumns + " FROM timeline WHERE workspace = 'ws' AND object_type = 'CUSTOMER' AND object_id = $1 " +
		"ORDER BY workspace DESC, object_type DESC, object_id DESC, occurred_at DESC, event_id DESC, primary_type DESC, primary_id DESC LIMIT 51"
	s := statement{text: text, args: []any{customer}}
	if _, err := scan(context.WithoutCancel(b.Context()), f.service.open.Load().conn, s, (*timelineRow).fields); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}
