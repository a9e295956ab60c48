package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// bank stands for a server that has taken a day, and shows a fixed picture.
type bank struct {
	*httptest.Server

	mu sync.Mutex
	// steps are the transitions that came, by conversation.
	steps map[string][]string
	// objects counts those that were written, and positions those that reads named.
	objects   int
	positions map[string]int
}

func newBank(t *testing.T) *bank {
	t.Helper()
	b := &bank{steps: make(map[string][]string), positions: make(map[string]int)}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		b.positions[r.URL.Path] += len(r.URL.Query()["position"])
		if n := len(r.URL.Query()["position"]); n > positionsARead {
			t.Errorf("%s was asked with %d positions", r.URL.Path, n)
		}
		switch r.URL.Path {
		case "/v1/objects/batch":
			n := bytes.Count(body, []byte("\n"))
			b.objects += n
			b.answer(w, n)
		case "/v1/conversations/batch":
			n := 0
			for text := range bytes.Lines(body) {
				var s struct{ ConversationID, Type string }
				if err := json.Unmarshal(text, &s); err != nil {
					t.Error(err)
				}
				b.steps[s.ConversationID] = append(b.steps[s.ConversationID], s.Type)
				n++
			}
			b.answer(w, n)
		case "/v1/timeline/CUSTOMER/58704610":
			_, _ = io.WriteString(w, `{"data":[{"name":"Conversation opened","occurredAt":"1999-02-01T08:00:00Z"}]}`)
		case "/v1/reports/conversations":
			group := "null"
			if r.URL.Query().Get("groupBy") != "" {
				group = `"IN"`
			}
			_, _ = fmt.Fprintf(w, `{"data":[{"group":%s,"conversations":1567,"maxQueueAt":"1999-02-01T09:58:08Z"}]}`, group)
		case "/v1/wallboard":
			_, _ = io.WriteString(w, `{"queueSize":8,"longestWaitSeconds":216,"states":{"ACTIVE":8},"groups":[{"group":"PS","queueSize":5}]}`)
		default:
			t.Errorf("%s was asked for", r.URL.Path)
		}
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *bank) answer(w io.Writer, items int) {
	results := make([]string, items)
	for i := range results {
		results[i] = fmt.Sprintf(`{"index":%d,"status":200,"changed":true}`, i)
	}
	_, _ = fmt.Fprintf(w, `{"position":"p","results":[%s]}`, strings.Join(results, ","))
}

func TestADayIsPostedWholeAndShown(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	var out bytes.Buffer
	if err := Run(t.Context(), Config{URL: b.URL, Key: "k", Day: FirstDay, Workers: 8}, &out); err != nil {
		t.Fatal(err)
	}
	calls, err := Calls(FirstDay)
	if err != nil {
		t.Fatal(err)
	}
	day, live := 0, 0
	for id, steps := range b.steps {
		if steps[0] != "opened" || steps[len(steps)-1] != "closed" {
			t.Errorf("conversation %s is %v", id, steps)
		}
		if strings.HasPrefix(id, "990201-") {
			day++
		} else {
			live++
		}
	}
	if day != len(calls) || live < 100 || live >= day {
		t.Errorf("%d conversations of the day, %d up to its busiest moment", day, live)
	}
	if b.objects != 474 {
		t.Errorf("%d objects", b.objects)
	}
	for _, path := range []string{"/v1/timeline/CUSTOMER/58704610", "/v1/reports/conversations", "/v1/wallboard"} {
		if b.positions[path] == 0 {
			t.Errorf("%s was not asked to show what was posted", path)
		}
	}
	for _, want := range []string{
		"Timeline of CUSTOMER 58704610\n", "  1999-02-01 08:00:00  Conversation opened\n", "Report of 1999-02-01\n",
		"  all                  1,567 ", "  IN internet support  1,567 ", "Wallboard, as if it was 09:58:08 now\n",
		"  all                       8  3 min 36 s        8 ", "  PS regular service        5 ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

func TestARefusalForGoodEndsTheDemoAndSaysWhy(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"title":"Forbidden","detail":"the key lacks objects:write"}`)
	}))
	defer server.Close()
	var out bytes.Buffer
	err := Run(t.Context(), Config{URL: server.URL, Key: "k", Day: FirstDay, Workers: 2}, &out)
	if err == nil || !strings.Contains(err.Error(), "403") || !strings.Contains(err.Error(), "the key lacks objects:write") {
		t.Errorf("got %v", err)
	}
}
