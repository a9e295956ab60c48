package ingest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/schematest/abuse"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

func TestNoBadRequestHarms(t *testing.T) {
	clock := newMovable()
	e := newLog(t, schematest.Kfake(t)).edge(t, func(o *options) { o.now = clock.now }).bare(t)
	key := e.key("acme", workspace.Scopes()...)
	end := clock.now().Add(time.Minute)
	expired, _ := e.once(t, access.NewKey{ExpiresAt: &end})
	revoked, id := e.once(t, access.NewKey{})
	e.must(http.StatusOK, http.MethodDelete, "/v1/workspaces/acme/api-keys/"+id, key, "")
	e.must(http.StatusUnauthorized, http.MethodGet, c1, revoked, "")
	clock.advance(2 * time.Minute)
	refused := map[string]string{
		"no key": "", "another scheme": "Basic " + key, "no scheme": key, "an empty key": "Bearer ", "an unknown key": "Bearer tlk_unknown",
		"a long key": "Bearer " + strings.Repeat("k", 2000), "a revoked key": "Bearer " + revoked,
		"an expired key": "Bearer " + expired,
	}
	// Every route has objects of its own, because all are attacked at once.
	e.must(http.StatusOK, http.MethodPut, "/v1/objects/CUSTOMER/c1", key, `{"externalId":"x1"}`)
	made := e.postKey(key, `{"scopes":["read"]}`)
	table := make([]abuse.Route, 0, len(routes()))
	for _, r := range routes() {
		row := r.Route
		row.Key = key
		switch {
		case r.scope == "":
			row.Key = adminKey
		case row.Method == http.MethodPut:
			row.Path, row.Body = "/v1/objects/CUSTOMER/c2", strings.Replace(row.Body, "x1", "x2", 1)
		case row.Method == http.MethodDelete && row.Path == c1:
			row.Path = "/v1/objects/CUSTOMER/c3"
		case row.Method == http.MethodGet:
			row.Path = strings.Replace(row.Path, "api-keys/k", "api-keys/"+made.ID, 1)
		}
		table = append(table, row)
	}
	all, err := e.service.Handler().(*web.Router).Routes()
	check(t, err)
	abuse.Attack(t, abuse.Service{URL: e.url, Routes: all, Table: table, Refused: refused})
}

// bare is asked without the check against the API's document: by tests of all routes, of which some may not stand in it yet.
func (e *edge) bare(t *testing.T) *edge {
	t.Helper()
	server := httptest.NewServer(e.service.Handler())
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

// once is a key that was good once, and still is while the clock stands before its end.
func (e *edge) once(t *testing.T, change access.NewKey) (secret, id string) {
	t.Helper()
	change.Workspace, change.Scopes = "acme", workspace.Scopes()
	created, err := e.access.CreateKey(t.Context(), change)
	check(t, err)
	e.must(http.StatusOK, http.MethodGet, "/v1/workspaces/acme", created.Secret, "")
	return created.Secret, created.Key.ID
}

// odd are texts that software likes to change: written from right to left, composed of several code points, or full of
// characters that mean something somewhere.
func odd() []string {
	return []string{
		"שלום עולם", "\u202eevil\u202c", "👩‍👩‍👧‍👦 family 🏳️‍🌈", "e\u0301 and é", "<script>alert('x')</script>&amp;", `"quoted" \ and / more`,
		"tab\tand\nline", "\u2028\u2029\ufeff", "ﬁ ß İ ı", "%s %d {{.}} ${x} %00", "null", strings.Repeat("💡", object.MaxNameLength-1),
	}
}

func TestOddTextsComeThroughByteForByte(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t))
	e := l.edge(t)
	key := e.key("acme")
	e.must(http.StatusOK, http.MethodPut, c1, key, `{}`)
	payloads := []string{
		`1e400`, strings.Repeat("9", 40), `-0.0`, `{"n":1E+02,"m":123456789012345678901234567890.10}`, `{"a": [1 , 2],"\u0061b":"\u00e9é"}`,
		`"\u0000"`, `{"html":"<b>&</b>"}`, `{"z":1,"a":2}`,
		strings.Repeat("[", object.MaxPayloadDepth) + strings.Repeat("]", object.MaxPayloadDepth),
	}
	want := map[string]string{}
	var lines strings.Builder
	for i, text := range odd() {
		id := fmt.Sprintf("e%d", i)
		payload := payloads[i%len(payloads)]
		name := quoted(t, text)
		fmt.Fprintf(&lines, `{"objectType":"CUSTOMER","objectId":"c1","id":"%s","name":%s,"description":%s,"payload":%s}`+"\n", id, name, name, payload)
		want[id] = text + " " + text + " " + payload

		// The same as an id: in a path, in a body, and back.
		text = strings.Map(func(r rune) rune {
			if r < ' ' || r == '\u2028' || r == '\u2029' {
				return 'x'
			}
			return r
		}, text)
		path := "/v1/objects/CUSTOMER/" + url.PathEscape(text)
		e.must(http.StatusOK, http.MethodPut, path, key, `{"name":`+name+`,"externalId":`+quoted(t, "x"+text)+`}`)
		shown := e.must(http.StatusOK, http.MethodGet, path, key, "")
		if shown.member(t, "objectId") != text || shown.member(t, "externalId") != "x"+text || shown.member(t, "name") != odd()[i] {
			t.Errorf("%q is shown as %s", text, shown.body)
		}
		found := e.must(http.StatusOK, http.MethodGet, "/v1/objects?objectType=CUSTOMER&externalId="+url.QueryEscape("x"+text), key, "")
		if data, _ := found.member(t, "data").([]any); len(data) != 1 {
			t.Errorf("%q is not found by its external id: %s", text, found.body)
		}
	}
	e.must(http.StatusOK, http.MethodPost, eventsBatch, key, lines.String(), "Content-Type", ndjson)
	got := map[string]string{}
	for _, r := range l.read(t, topic.Submissions) {
		s, err := event.ParseSubmission(r.Value)
		check(t, err)
		got[s.ID] = s.Name + " " + s.Description + " " + string(s.Payload)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("submissions (-want +got):\n%s", diff)
	}
}

// quoted is a text as JSON.
func quoted(t *testing.T, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	check(t, err)
	return string(b)
}

func TestABadLineAmong2500FailsAlone(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t))
	e := l.edge(t)
	key := e.key("acme")
	e.must(http.StatusOK, http.MethodPut, c1, key, `{}`)
	good := `{"objectType":"CUSTOMER","objectId":"c1","name":"n"`
	deep := strings.Repeat("[", object.MaxPayloadDepth+1) + strings.Repeat("]", object.MaxPayloadDepth+1)
	bad := map[int]struct {
		line   string
		status int
	}{
		0:    {`{"objectType":`, http.StatusBadRequest},
		7:    {"\xff\xfe", http.StatusBadRequest},
		99:   {good + `,"payload":"` + strings.Repeat("p", 33<<10) + `"}`, http.StatusRequestEntityTooLarge},
		512:  {good + `,"payload":` + deep + `}`, http.StatusUnprocessableEntity},
		1000: {good + `,"occurredAt":"0001-01-01T00:00:00Z"}`, http.StatusUnprocessableEntity},
		1001: {good + `,"occurredAt":"9999-12-31T23:59:59Z"}`, http.StatusUnprocessableEntity},
		1500: {good + `,"name":"m"}`, http.StatusBadRequest},
		2000: {"\x00", http.StatusBadRequest},
		2498: {good + `,"payload":1e}`, http.StatusBadRequest},
		2499: {`null`, http.StatusUnprocessableEntity},
	}
	var lines strings.Builder
	for i := range event.MaxBatchItems {
		if b, ok := bad[i]; ok {
			lines.WriteString(b.line + "\n")
			continue
		}
		lines.WriteString(good + "}\n")
	}
	got := e.must(http.StatusOK, http.MethodPost, eventsBatch+"?results=rejected", key, lines.String(), "Content-Type", ndjson).batch(t)
	var refused []int
	for _, r := range got.Results {
		refused = append(refused, r.Index)
		if b := bad[r.Index]; r.Status != b.status || r.Problem == nil || r.Problem.Title == "" {
			t.Errorf("line %d is answered %d, want %d: %+v", r.Index, r.Status, b.status, r.Problem)
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(bad)), refused); diff != "" {
		t.Errorf("refused lines (-want +got):\n%s", diff)
	}
	if got.Accepted != event.MaxBatchItems-len(bad) || got.Rejected != len(bad) {
		t.Errorf("accepted %d, rejected %d", got.Accepted, got.Rejected)
	}
}
