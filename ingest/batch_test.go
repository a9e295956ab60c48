package ingest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/position"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/topic"
)

const (
	eventsBatch  = "/v1/events/batch"
	objectsBatch = "/v1/objects/batch"
	ndjson       = "application/x-ndjson"
)

// result is one item's in the answer to a batch.
type result struct {
	Index      int
	Status     int
	ID         string
	ObjectType string
	ObjectID   string
	Problem    *problem.Problem
}

type batchResults struct {
	Accepted, Rejected int
	Position           *string
	Results            []result
}

func (a answer) batch(t *testing.T) batchResults {
	t.Helper()
	var b batchResults
	if err := json.Unmarshal(a.body, &b); err != nil {
		t.Fatalf("answer %d is no batch's: %s", a.status, a.body)
	}
	return b
}

func (b batchResults) statuses() []int {
	var s []int
	for _, r := range b.Results {
		s = append(s, r.Status)
	}
	return s
}

func TestOneBadItemNeverFailsAnother(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kafka(t))
	e := l.edge(t)
	key := e.key("acme")
	e.must(http.StatusOK, http.MethodPut, "/v1/objects/CUSTOMER/c1", key, `{"externalId":"x1"}`)
	big := `{"objectType":"CUSTOMER","objectId":"c1","name":"big","payload":"` + strings.Repeat("a", 33<<10) + `"}`
	items := []string{
		`{"objectType":"CUSTOMER","objectId":"c1","name":"a","id":"e0"}`,
		`{"objectType":"CUSTOMER","objectId":"nobody","name":"b","id":"e1"}`,
		`{"objectType":"CUSTOMER","objectId":"c1","name":"c","nam":"c"}`,
		big,
		`{"objectType":"CUSTOMER","externalId":"x1","name":"d","id":"e4","payload":{"a": 1,"n":1e400}}`,
		`{"objectType":"CUSTOMER","objectId":"c1","name":"e","payload":{"k":1,"k":2}}`,
		`{"objectType":"CUSTOMER","objectId":"c1","name":"` + "\xff" + `"}`,
	}
	want := []int{200, 404, 422, 413, 200, 400, 400}
	for name, c := range map[string]struct{ body, media string }{
		"json":   {`{"events":[` + strings.Join(items, ",\n") + `]}`, "application/json"},
		"ndjson": {"\n" + strings.Join(items, "\r\n\r\n") + "\n", ndjson},
	} {
		got := e.must(http.StatusOK, http.MethodPost, eventsBatch, key, c.body, "Content-Type", c.media).batch(t)
		if diff := cmp.Diff(want, got.statuses()); diff != "" {
			t.Errorf("%s: statuses (-want +got):\n%s", name, diff)
		}
		if got.Accepted != 2 || got.Rejected != 5 {
			t.Errorf("%s: accepted %d, rejected %d, want 2 and 5", name, got.Accepted, got.Rejected)
		}
		if got.Results[0].ID != "e0" || got.Results[4].ID != "e4" || got.Results[4].Index != 4 {
			t.Errorf("%s: results are %+v", name, got.Results)
		}
		if p := got.Results[2].Problem; len(p.Errors) != 1 || p.Errors[0].Pointer != "/nam" {
			t.Errorf("%s: the misspelt member is answered %v", name, p)
		}
	}
	records := l.read(t, topic.Submissions)
	if len(records) != 4 {
		t.Fatalf("submissions has %d records, want 4", len(records))
	}
	kept := slices.ContainsFunc(records, func(r *kgo.Record) bool {
		s, err := event.ParseSubmission(r.Value)
		return err == nil && string(s.Payload) == `{"a": 1,"n":1e400}`
	})
	if !kept {
		t.Error("a payload is not what was sent")
	}
}

func TestABatchInPiecesIsRefusedWhole(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t))
	e := l.edge(t)
	key := e.key("acme")
	item := `{"objectType":"CUSTOMER","objectId":"c1","name":"a"}`
	many := strings.Repeat(item+"\n", event.MaxBatchItems+1)
	for name, c := range map[string]struct {
		body, media string
		status      int
	}{
		"empty":            {"", "application/json", 400},
		"cut":              {`{"events":[` + item, "application/json", 400},
		"something behind": {`{"events":[]} x`, "application/json", 400},
		"a second value":   {`{"events":[]} {}`, "application/json", 400},
		"an array":         {`[` + item + `]`, "application/json", 422},
		"no events":        {`{}`, "application/json", 422},
		"events is null":   {`{"events":null}`, "application/json", 422},
		"twice":            {`{"events":[],"events":[]}`, "application/json", 400},
		"another member":   {`{"events":[],"x":1}`, "application/json", 422},
		"too many lines":   {many, ndjson, 413},
		"too many items":   {`{"events":[` + strings.TrimSuffix(strings.ReplaceAll(many, "\n", ","), ",") + `]}`, "application/json", 413},
		"too large":        {strings.Repeat(" ", event.MaxBatchBytes+1), ndjson, 413},
		"another type":     {item, "text/csv", 415},
	} {
		if a := e.do(http.MethodPost, eventsBatch, key, c.body, "Content-Type", c.media); a.status != c.status {
			t.Errorf("%s: answered %d, want %d: %.300s", name, a.status, c.status, a.body)
		}
	}
	a := e.do(http.MethodPost, eventsBatch, key, item, "Content-Type", ndjson, "Idempotency-Key", "k")
	if a.status != http.StatusBadRequest {
		t.Errorf("with an Idempotency-Key: answered %d, want 400", a.status)
	}
	if got := e.must(http.StatusOK, http.MethodPost, eventsBatch, key, `{"events":[]}`).batch(t); got.Position != nil || got.Accepted != 0 {
		t.Errorf("an empty batch is answered %+v", got)
	}
	if n := len(l.read(t, topic.Submissions)); n != 0 {
		t.Errorf("submissions has %d records, want none", n)
	}
}

func TestABatchMayBeCompressedAndShowRefusalsOnly(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t))
	e := l.edge(t)
	key := e.key("acme")
	e.must(http.StatusOK, http.MethodPut, "/v1/objects/CUSTOMER/c1", key, `{}`)
	var lines strings.Builder
	for i := range event.MaxBatchItems {
		if i == 1234 {
			lines.WriteString("{oops\n")
			continue
		}
		fmt.Fprintf(&lines, `{"objectType":"CUSTOMER","objectId":"c1","name":"n","id":"e%d"}`+"\n", i)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write([]byte(lines.String()))
	check(t, err)
	check(t, z.Close())
	zs, err := zstd.NewWriter(nil)
	check(t, err)
	for encoding, body := range map[string]string{"gzip": zipped.String(), "zstd": string(zs.EncodeAll([]byte(lines.String()), nil))} {
		got := e.must(http.StatusOK, http.MethodPost, eventsBatch+"?results=rejected", key, body,
			"Content-Type", ndjson, "Content-Encoding", encoding).batch(t)
		if got.Accepted != event.MaxBatchItems-1 || len(got.Results) != 1 || got.Results[0].Index != 1234 || got.Results[0].Status != 400 {
			t.Errorf("%s: accepted %d, results %+v", encoding, got.Accepted, got.Results)
		}
		p, err := position.Parse(*got.Position, "acme")
		check(t, err)
		if len(p.Entries()) != 1 || p.Entries()[0].Topic != topic.Submissions {
			t.Errorf("%s: position covers %v", encoding, p.Entries())
		}
	}
	// A bomb: 8 MiB and a byte of blanks in a few kilobytes.
	bomb := zs.EncodeAll(bytes.Repeat([]byte{' '}, event.MaxBatchBytes+1), nil)
	if a := e.do(http.MethodPost, eventsBatch, key, string(bomb), "Content-Type", ndjson, "Content-Encoding", "zstd"); a.status != 413 {
		t.Errorf("a bomb is answered %d, want 413", a.status)
	}
}

func TestABatchOfEventsToBeResolvedLaterIsPending(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t))
	e := l.edge(t)
	key := e.key("acme")
	got := e.must(http.StatusOK, http.MethodPost, eventsBatch, key, `{"objectType":"CUSTOMER","objectId":"later","name":"n"}`,
		"Content-Type", ndjson, "Prefer", "respond-async").batch(t)
	if diff := cmp.Diff([]int{202}, got.statuses()); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	p, err := position.Parse(*got.Position, "acme")
	check(t, err)
	if !p.Entries()[0].Pending {
		t.Error("the position does not say that the event is pending")
	}
}

func TestABatchOfObjectsIsInOrderAndKeepsExternalIDsUnique(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kafka(t))
	e := l.edge(t)
	key := e.key("acme")
	e.must(http.StatusOK, http.MethodPut, "/v1/objects/CUSTOMER/old", key, `{"externalId":"x"}`)
	got := e.must(http.StatusOK, http.MethodPost, objectsBatch, key, strings.Join([]string{
		`{"objectType":"CUSTOMER","objectId":"new","externalId":"x"}`, // held
		`{"objectType":"CUSTOMER","objectId":"old","name":"Old"}`,     // gives x up
		`{"objectType":"CUSTOMER","objectId":"new","externalId":"x"}`, // free now
		`{"objectType":"CUSTOMER","objectId":"late","externalId":"x"}`,
		`{"objectType":"customer","objectId":"new","externalId":"x","name":"New"}`,
		`{"objectId":"typeless"}`,
		`{"objectType":"CUSTOMER"}`,
	}, "\n"), "Content-Type", ndjson).batch(t)
	if diff := cmp.Diff([]int{409, 200, 200, 409, 200, 422, 422}, got.statuses()); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	if r := got.Results[4]; r.ObjectType != "CUSTOMER" || r.ObjectID != "new" {
		t.Errorf("the result of an object is %+v", r)
	}
	a := e.must(http.StatusOK, http.MethodGet, "/v1/objects/CUSTOMER/new", key, "")
	if a.member(t, "name") != "New" || a.member(t, "externalId") != "x" {
		t.Errorf("the object is %s", a.body)
	}
	e.must(http.StatusOK, http.MethodPost, "/v1/events", key, `{"objectType":"CUSTOMER","externalId":"x","name":"n"}`)
}
