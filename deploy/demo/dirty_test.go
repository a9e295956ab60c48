package demo_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// write makes a request to the edge.
func (b *bank) write(method, path, body string) (status int, answer []byte) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	check(b.t, err)
	req.Header.Set("Authorization", "Bearer "+b.key)
	req.Header.Set("Content-Type", "application/json")
	if strings.HasSuffix(path, "batch") {
		req.Header.Set("Content-Type", "application/x-ndjson")
	}
	resp, err := http.DefaultClient.Do(req)
	check(b.t, err)
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	check(b.t, err)
	return resp.StatusCode, answer
}

// TestDirtyTransitionsAreAnsweredAndNothingElseIsLost posts a batch that has everything wrong that a client may do, among
// steps that are right. Then it reads the conversation, and its customer's timeline with an event of the conversation.
func TestDirtyTransitionsAreAnsweredAndNothingElseIsLost(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	address := serve(t, b.kafka, b.db, time.UTC, nil)
	status, body := b.write(http.MethodPut, "/v1/objects/CUSTOMER/c1", `{"name":"Ann"}`)
	if status != http.StatusOK {
		t.Fatalf("customer: %d %s", status, body)
	}
	long := strings.Repeat("l", 10_000)
	items := []struct {
		body, want string
	}{
		{`"type":"opened","id":"1","customer":"c1","team":"sales","occurredAt":"2026-03-01T12:00:00Z"`, "200 1"},
		{`"type":"labeled","id":"2","labels":["` + long + `"]`, "422 /labels/0"},
		{`"type":"queued","id":"3","agnet":"u1"`, "422 /agnet"},
		{`"type":"broadcasted","id":"4"`, "422 /agents"},
		{`"type":"queued","id":"5","occurredAt":"2026-03-01T11:00:00Z"`, "200 2"}, // before it began
		{`"type":"opened","id":"6","team":"other"`, "409 "},
		{`"type":"assigned","id":"7","agent":"nobody","occurredAt":"2026-03-01T12:01:34Z"`, "200 3"},
		{`"type":"responded","id":"8","agent":{"externalId":"no such"},"occurredAt":"2026-03-01T12:00:30Z"`, "200 4"},
		{`"type":"queued","id":"9","occurredAt":"1899-12-31T23:59:59Z"`, "422 /occurredAt"},
		{`"type":"shouted","id":"10"`, "422 /type"},
		{`"type":"closed","id":"11","reason":"done","occurredAt":"2026-03-01T12:03:34Z"`, "200 5"},
		{`"type":"queued","id":"12"`, "409 "},
	}
	var lines []string
	for _, i := range items {
		lines = append(lines, `{"conversationId":"k1",`+i.body+`}`)
	}
	status, body = b.write(http.MethodPost, "/v1/conversations/batch", strings.Join(lines, "\n"))
	var got struct {
		Position string
		Results  []struct {
			Status, Version int
			Missing         []struct{ ObjectType, ObjectID, ExternalID string }
			Problem         struct{ Errors []struct{ Pointer string } }
		}
	}
	if err := json.Unmarshal(body, &got); err != nil || status != http.StatusOK || len(got.Results) != len(items) {
		t.Fatalf("%d %s", status, body)
	}
	for n, r := range got.Results {
		said := fmt.Sprintf("%d ", r.Status)
		switch {
		case r.Status == http.StatusOK:
			said += strconv.Itoa(r.Version)
		case len(r.Problem.Errors) > 0:
			said += r.Problem.Errors[0].Pointer
		}
		if said != items[n].want {
			t.Errorf("item %d, %.60s: answered %q, want %q", n, items[n].body, said, items[n].want)
		}
	}
	status, body = b.write(http.MethodPost, "/v1/events", `{"id":"e1","objectType":"CONVERSATION","objectId":"k1","name":"Message","occurredAt":"2026-03-01T12:02:00Z"}`)
	var posted struct{ Position string }
	if err := json.Unmarshal(body, &posted); err != nil || status != http.StatusOK {
		t.Fatalf("event: %d %s", status, body)
	}
	after := url.Values{"order": {"asc"}, "position": {got.Position, posted.Position}}.Encode()
	var list struct {
		Data []struct {
			Kind, Name, Description, Link, Type string
			OccurredAt                          time.Time
			Missing                             []json.RawMessage
		}
	}
	read := func(path string) []string {
		t.Helper()
		status, body := get(t, address+path)
		list.Data = nil
		if err := json.NewDecoder(bytes.NewReader(body)).Decode(&list); err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, status, body)
		}
		var rows []string
		for _, r := range list.Data {
			rows = append(rows, strings.Join(strings.Fields(fmt.Sprint(r.OccurredAt.Format(time.TimeOnly), " ", r.Type, " ", r.Name, " ", r.Description, " ", r.Link)), " "))
		}
		return rows
	}
	want := []string{
		"12:00:00 Conversation opened Team sales related",
		"12:00:00 Conversation queued Waiting, team sales related",
		"12:01:34 Conversation assigned To nobody, after 1 min 34 s in the queue related",
		"12:01:34 Conversation answered By somebody unknown related",
		"12:02:00 Message related",
		"12:03:34 Conversation closed 2 min 0 s after the first response, done related",
	}
	if diff := cmp.Diff(want, read("/v1/timeline/CUSTOMER/c1?"+after)); diff != "" {
		t.Errorf("the customer's timeline (-want +got):\n%s", diff)
	}
	want = []string{"12:00:00 opened", "12:00:00 queued", "12:01:34 assigned", "12:01:34 responded", "12:03:34 closed"}
	rows := read("/v1/conversations/k1/transitions?position=" + got.Position)
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("the transitions (-want +got):\n%s", diff)
	}
	for n, r := range list.Data {
		if wants := map[int]int{2: 1, 3: 1}[n]; len(r.Missing) != wants {
			t.Errorf("transition %d lists %d missing, want %d", n+1, len(r.Missing), wants)
		}
	}
}
