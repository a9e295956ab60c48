package demo_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/deploy/demo"
	"github.com/throughline/throughline/dispatcher"
	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/schematest/golden"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

// boxes are the eight events that somebody may tick, as the settings of an endpoint name them.
func boxes() []string {
	return []string{"responded", "closed", "queued", "assigned", "broadcasted", "labeled", "transferred", "surveyed"}
}

// conversationEvents are the types of event that boxes stand for.
func conversationEvents(boxes []string) []string {
	var all []string
	for _, box := range boxes {
		all = append(all, "conversation."+box)
	}
	return all
}

// receiver counts what is posted to it by day and type, each delivery once.
type receiver struct {
	*httptest.Server

	mu     sync.Mutex
	counts map[string]map[string]int
	posts  map[string]int
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{counts: map[string]map[string]int{}, posts: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var body struct {
			Type      string
			Timestamp time.Time
			Data      struct {
				Transition struct{ Type string }
			}
		}
		if err := json.NewDecoder(req.Body).Decode(&body); err != nil || body.Type != "conversation."+body.Data.Transition.Type {
			w.WriteHeader(http.StatusBadRequest)
			t.Errorf("posted: %+v, %v", body, err)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.posts[req.Header.Get("Webhook-Id")]++; r.posts[req.Header.Get("Webhook-Id")] > 1 {
			return
		}
		day := body.Timestamp.Format(time.DateOnly)
		if r.counts[day] == nil {
			r.counts[day] = map[string]int{}
		}
		r.counts[day][body.Data.Transition.Type]++
	}))
	t.Cleanup(r.Close)
	return r
}

// has says how many of a type came on a day.
func (r *receiver) has(day, typ string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[day][typ]
}

// hooksConfig lets a dispatcher reach the receivers of tests, many of its attempts at once.
func hooksConfig() dispatcher.Config {
	cfg := dispatcher.DefaultConfig()
	cfg.Instance, cfg.PlainHTTP, cfg.EndpointConcurrency = "hooks", true, 64
	cfg.Allow = []dispatcher.Allowed{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}
	return cfg
}

// hooks runs a dispatcher on a log of its own and returns what answers its API, and what appends to its log.
func hooks(t *testing.T) (http.Handler, stream.Config, *stream.Producer) {
	t.Helper()
	kafka := stream.Config{Brokers: schematest.Kfake(t), ClientID: "hooks", Prefix: strings.TrimSuffix(schematest.Prefix(t), "."), Embedded: true}
	deps := stream.Deps{Log: slog.New(slog.DiscardHandler)}
	if _, err := stream.EnsureTopics(t.Context(), kafka, deps, topic.Layout(3), 1); err != nil {
		t.Fatal(err)
	}
	for _, g := range dispatcher.Groups() {
		if err := stream.CommitInitialOffsets(t.Context(), kafka, deps, g.Name, g.Topics); err != nil {
			t.Fatal(err)
		}
	}
	producer, err := stream.NewProducer(kafka, stream.ProducerConfig{}, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = producer.Close(context.WithoutCancel(t.Context())) })
	master, err := seal.ParseMaster(golden.MasterKey)
	if err != nil {
		t.Fatal(err)
	}
	cfg := hooksConfig()
	cfg.Dir = t.TempDir()
	service, err := dispatcher.New(cfg, dispatcher.Deps{
		Kafka: kafka, Producer: producer, Master: master, Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry(),
		// Nobody listens there: deliveries are made without the tables.
		ClickHouse: store.Config{Addr: "127.0.0.1:1", Database: "none"},
		Require: func(_ workspace.Scope, next web.Handler) web.Handler {
			return func(w http.ResponseWriter, r *http.Request) error {
				return next(w, r.WithContext(access.WithPrincipal(r.Context(), access.Principal{Workspace: "bank"})))
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return service.Handler(), kafka, producer
}

// register puts an endpoint, again as long as the dispatcher is starting.
func register(t *testing.T, api http.Handler, id, url string, events []string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"url": url, "events": events})
	if err != nil {
		t.Fatal(err)
	}
	within(t, "the endpoint "+id+" is registered", func() bool {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v1/webhook-endpoints/"+id, strings.NewReader(string(body)))
		req.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		api.ServeHTTP(answer, req)
		return answer.Code == http.StatusOK
	})
}

// knownOf are the counts that the known answers have of each box and day. The trace has no transition of the other boxes.
func knownOf(t *testing.T, shown []string) map[string]map[string]int {
	t.Helper()
	known, of := answers(t), map[string]map[string]int{}
	for _, day := range shown {
		of[day] = map[string]int{}
		for _, box := range boxes() {
			if n, ok := known[day][box].(float64); ok {
				of[day][box] = int(n)
			}
		}
		if len(of[day]) != 3 || of[day]["queued"] == 0 {
			t.Fatalf("known of %s: %v", day, of[day])
		}
	}
	return of
}

// TestTheEightBoxesTellWhatTheTraceIsKnownToHave has an endpoint with every box ticked, and one with each of them alone.
// What they are posted of two days is counted by a server of its own, and compared with the known answers. All fourteen days
// of the first one are part of TestTheTracePostedThroughTheAPIGivesTheKnownAnswers.
func TestTheEightBoxesTellWhatTheTraceIsKnownToHave(t *testing.T) {
	t.Parallel()
	api, kafka, producer := hooks(t)
	all := newReceiver(t)
	alone := map[string]*receiver{}
	for _, box := range boxes() {
		alone[box] = newReceiver(t)
		register(t, api, box, alone[box].URL, conversationEvents([]string{box}))
	}
	register(t, api, "all", all.URL, conversationEvents(boxes()))

	played := []string{"1999-02-05", "1999-02-06"}
	want := knownOf(t, played)
	var records []*stream.Record
	say := func(tr *conversation.Transition) {
		// The day is replayed: it is received now.
		tr.ReceivedAt = event.TimeOf(time.Now())
		value, err := tr.Encode()
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, &stream.Record{
			Topic: kafka.Topic(topic.Conversations), Key: conversation.Key(tr.Workspace, tr.ConversationID), Value: value,
		})
	}
	for _, day := range played {
		calls, err := demo.Calls(day)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range calls {
			for _, tr := range transitions(t, c) {
				say(tr)
			}
		}
	}
	if _, err := producer.Produce(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
	wantTold(t, "all", all, want)
	for who, r := range alone {
		single := map[string]map[string]int{}
		for _, day := range played {
			if n, ok := want[day][who]; ok {
				single[day] = map[string]int{who: n}
			}
		}
		wantTold(t, who, r, single)
	}
	exactly(t, "all", all, want)
}

// wantTold waits until a receiver has as many of each day and box as is known, and then it has no more and none twice.
func wantTold(t *testing.T, who string, r *receiver, want map[string]map[string]int) {
	t.Helper()
	for day, boxes := range want {
		for box, n := range boxes {
			within(t, fmt.Sprintf("%s has %d %s of %s", who, n, box, day), func() bool { return r.has(day, box) >= n })
		}
	}
	exactly(t, who, r, want)
}

// exactly compares what came with what is known, and finds what was posted twice.
func exactly(t *testing.T, who string, r *receiver, want map[string]map[string]int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if diff := cmp.Diff(want, r.counts); diff != "" {
		t.Errorf("%s (-want +got):\n%s", who, diff)
	}
	for id, n := range maps.Clone(r.posts) {
		if n > 1 {
			t.Errorf("%s: %s was posted %d times", who, id, n)
		}
	}
}
