package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestRefusalsThatMayPassAreRepeated(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), `"id":"c1"`) || r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("attempt lost its body or its key: %s", body)
		}
		switch calls.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			panic(http.ErrAbortHandler) // the connection breaks
		default:
			_, _ = io.WriteString(w, `{"position":"p1"}`)
		}
	}))
	defer server.Close()
	client, err := newClient(server.URL, "secret", 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.post(t.Context(), post{ID: "c1"})
	if err != nil || got != "p1" || calls.Load() != 3 {
		t.Errorf("got %q, %v after %d attempts", got, err, calls.Load())
	}
}

func TestARefusalForGoodEndsTheLoadAndSaysWhy(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"title":"Forbidden","detail":"the key lacks objects:write"}`)
	}))
	defer server.Close()
	var out bytes.Buffer
	err := Run(t.Context(), Config{URL: server.URL, Key: "k", Day: FirstDay, Workers: 2}, &out)
	if err == nil || !strings.Contains(err.Error(), "403") || !strings.Contains(err.Error(), "the key lacks objects:write") {
		t.Errorf("got %v", err)
	}
	if n := calls.Load(); n > 3 {
		t.Errorf("%d requests were sent after the first refusal", n)
	}
}

func TestADayIsPostedWholeAndShown(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	events, puts := make(map[string]bool), 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch r.Method {
		case http.MethodPut:
			puts++
		case http.MethodPost:
			var e struct{ ID string }
			_ = json.NewDecoder(r.Body).Decode(&e)
			events[e.ID] = true
		default:
			if n := len(r.URL.Query()["position"]); n != 12 {
				t.Errorf("the timeline was asked with %d positions, want 12", n)
			}
			_, _ = io.WriteString(w, `{"data":[{"name":"Call answered","occurredAt":"1999-02-01T08:00:00Z"}]}`)
			return
		}
		_, _ = io.WriteString(w, `{"position":"p"}`)
	}))
	defer server.Close()
	var out bytes.Buffer
	if err := Run(t.Context(), Config{URL: server.URL, Key: "k", Day: FirstDay, Workers: 8}, &out); err != nil {
		t.Fatal(err)
	}
	calls, err := Calls(FirstDay)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != len(calls) || puts != len(objects(calls)) {
		t.Errorf("posted %d events and %d objects, want %d and %d", len(events), puts, len(calls), len(objects(calls)))
	}
	if !strings.Contains(out.String(), "Timeline of CUSTOMER 58704610") {
		t.Errorf("no timeline in:\n%s", out.String())
	}
}

func TestNoMoreThanTheWorkersAreUnderWay(t *testing.T) {
	t.Parallel()
	var under, most atomic.Int32
	items := make([]int, 200)
	p := &progress{}
	err := each(t.Context(), items, 4, p, func(context.Context, int) error {
		most.Store(max(most.Load(), under.Add(1)))
		under.Add(-1)
		return nil
	})
	if err != nil || p.done.Load() != 200 || most.Load() > 4 {
		t.Errorf("%v: %d done, %d at once", err, p.done.Load(), most.Load())
	}
}
