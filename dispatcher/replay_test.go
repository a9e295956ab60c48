package dispatcher

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// linkedIDs are the ids of the deliveries of the events e<from> … to the endpoint crm.
func linkedIDs(from, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = webhook.DeliveryID("ws", webhook.EventLinked, object.Ref{Type: object.Customer, ID: fmt.Sprintf("c%d", from+i)},
			fmt.Sprintf("e%d", from+i), "crm")
	}
	return ids
}

// replay asks for a replay of the last hour.
func replay(t *testing.T, base, only string) replayAnswer {
	t.Helper()
	body := fmt.Sprintf(`{"from":%d,"only":%q}`, time.Now().Add(-time.Hour).UnixMilli(), only)
	status, text := request(t, base, "ws", http.MethodPost, "/v1/webhook-endpoints/crm/replay", body)
	var a replayAnswer
	if err := json.Unmarshal([]byte(text), &a); err != nil || status != http.StatusAccepted {
		t.Fatalf("replay %s: %d %s", only, status, text)
	}
	return a
}

func replayNow(t *testing.T, base, id string) replayAnswer {
	t.Helper()
	status, text := request(t, base, "ws", http.MethodGet, "/v1/webhook-replays/"+id, "")
	var a replayAnswer
	if err := json.Unmarshal([]byte(text), &a); err != nil || status != http.StatusOK {
		t.Fatalf("replay %s: %d %s", id, status, text)
	}
	return a
}

// TestAReplaySendsExactlyWhatWasAskedFor has an endpoint with ten events that came while it was disabled, three of which
// were given up later, and five that it got.
func TestAReplaySendsExactlyWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.Kfake(t), true, 2)
	w.fill()
	hooks := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	w.endpoint("crm", hooks.URL, func(e *webhook.Endpoint) { e.Enabled = false })
	log := w.follow()
	s := w.start()
	api := httptest.NewServer(s.Handler())
	t.Cleanup(api.Close)
	w.events(0, 10)
	w.known(t, s, webhook.Skipped, 10)
	status, text := request(t, api.URL, "ws", http.MethodPost, "/v1/webhook-endpoints/crm/replay", `{"from":"2026-01-01T00:00:00Z","only":"all"}`)
	if status != http.StatusConflict || !strings.Contains(text, "disabled") {
		t.Errorf("a replay to a disabled endpoint: %d %s", status, text)
	}
	w.endpoint("crm", hooks.URL, func(e *webhook.Endpoint) { e.Revision = 2 })
	w.events(10, 5)
	w.known(t, s, webhook.Succeeded, 5)
	if got := len(hooks.counts()); got != 5 {
		t.Fatalf("%d deliveries came before any replay, want 5", got)
	}
	for _, id := range linkedIDs(0, 3) {
		skip := log.last(id)
		skip.Number, skip.Status, skip.Outcome, skip.At = 10, webhook.Exhausted, webhook.OutcomeServerError, event.TimeOf(time.Now())
		r, err := records{kafka: w.kafka, deliveries: 2}.attempt(skip)
		if err != nil {
			t.Fatal(err)
		}
		w.put(r)
	}
	w.known(t, s, webhook.Exhausted, 3)

	expect := func(only string, sent int, want map[string]int) {
		t.Helper()
		job := replay(t, api.URL, only)
		w.eventually(only+" is done", func() bool { return replayNow(t, api.URL, job.ID).Status == string(webhook.ReplayDone) })
		w.eventually(only+" is sent", func() bool { return maps.Equal(hooks.counts(), want) || len(hooks.counts()) > len(want) })
		if diff := cmp.Diff(want, hooks.counts()); diff != "" {
			t.Errorf("posts after a replay of %s (-want +got):\n%s", only, diff)
		}
		got := replayNow(t, api.URL, job.ID).Progress
		if got.Sent != int64(sent) || got.Matched != 15 || got.Read != got.Total || got.Total < 15 {
			t.Errorf("progress of %s: %+v", only, got)
		}
		w.known(t, s, webhook.Succeeded, len(want))
	}
	want := map[string]int{}
	for _, id := range linkedIDs(3, 12) {
		want[id] = 1
	}
	expect("missing", 7, want)
	for _, id := range linkedIDs(0, 3) {
		want[id] = 1
	}
	expect("failed", 3, want)
	if got := log.last(linkedIDs(0, 1)[0]).Number; got != 11 {
		t.Errorf("the attempt after the tenth has number %d", got)
	}
	expect("missing", 0, want)
	for id := range want {
		want[id]++
	}
	expect("all", 15, want)

	_, listed := request(t, api.URL, "ws", http.MethodGet, "/v1/webhook-endpoints/crm/replays?limit=2", "")
	if strings.Count(listed, `"endpointId":"crm"`) != 2 || strings.Contains(listed, `"nextCursor":null`) {
		t.Errorf("listed: %s", listed)
	}
}

// TestAReplayIsOneOfItsEndpointAndCanBeCancelled has a replay that takes an hour.
func TestAReplayIsOneOfItsEndpointAndCanBeCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.Kfake(t), true, 1)
	w.fill()
	hooks := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	rate := 0.01
	w.endpoint("crm", hooks.URL, func(e *webhook.Endpoint) { e.RateLimit, e.CreatedAt = &rate, event.TimeOf(time.Now().Add(time.Minute)) })
	w.events(0, 36)
	s := w.start()
	api := httptest.NewServer(s.Handler())
	t.Cleanup(api.Close)
	job := replay(t, api.URL, "missing")
	w.eventually("a step is made", func() bool { return replayNow(t, api.URL, job.ID).Progress.Sent == 1 })
	status, text := request(t, api.URL, "ws", http.MethodPost, "/v1/webhook-endpoints/crm/replay",
		fmt.Sprintf(`{"from":%d,"only":"all"}`, time.Now().Add(-time.Hour).UnixMilli()))
	if status != http.StatusConflict || !strings.Contains(text, job.ID) {
		t.Errorf("a second replay: %d %s", status, text)
	}
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		if status, _ := request(t, api.URL, "other", method, "/v1/webhook-replays/"+job.ID, ""); status != http.StatusNotFound {
			t.Errorf("another workspace's %s: %d", method, status)
		}
	}
	if status, text := request(t, api.URL, "ws", http.MethodDelete, "/v1/webhook-replays/"+job.ID, ""); status != http.StatusAccepted {
		t.Fatalf("cancel: %d %s", status, text)
	}
	w.eventually("it is cancelled", func() bool { return replayNow(t, api.URL, job.ID).Status == string(webhook.ReplayCancelled) })
	if got := replayNow(t, api.URL, job.ID).Progress.Sent; got != 1 {
		t.Errorf("%d were sent, want 1", got)
	}
	for name, tt := range map[string][2]string{
		"no range":        {`{"only":"all"}`, "/from"},
		"no choice":       {`{"from":"2026-01-01T00:00:00Z"}`, "/only"},
		"another choice":  {`{"from":"2026-01-01T00:00:00Z","only":"some"}`, "/only"},
		"an empty range":  {`{"from":"2026-01-02T00:00:00Z","to":"2026-01-02T00:00:00Z","only":"all"}`, "/from"},
		"what is unknown": {`{"from":"2020-01-01T00:00:00Z","only":"missing"}`, "/from"},
		"a misspelt one":  {`{"form":"2020-01-01T00:00:00Z","only":"missing"}`, "/form"},
	} {
		status, text := request(t, api.URL, "ws", http.MethodPost, "/v1/webhook-endpoints/crm/replay", tt[0])
		if status != http.StatusUnprocessableEntity || !strings.Contains(text, `"pointer":"`+tt[1]+`"`) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
}

// TestAReplayGoesOnAfterAKillAndPlansEverythingOnce kills the process with SIGKILL while it does a replay of events that
// came before the endpoint was made.
func TestAReplayGoesOnAfterAKillAndPlansEverythingOnce(t *testing.T) {
	t.Parallel()
	const n, kills = 200, 2
	w := newWorld(t, schematest.ApacheKafka(t), false, 2)
	w.fill()
	w.cfg.ReplayRate = 40
	hooks := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	w.endpoint("crm", hooks.URL, func(e *webhook.Endpoint) { e.CreatedAt = event.TimeOf(time.Now().Add(-time.Second)) })
	w.early(n)
	job := &webhook.Replay{
		ID: "job", Workspace: "ws", Endpoint: "crm", From: event.TimeOf(time.Now().Add(-2 * time.Hour)), To: event.TimeOf(time.Now()),
		Only: webhook.OnlyMissing, CreatedAt: event.TimeOf(time.Now()), UpdatedAt: event.TimeOf(time.Now()), Status: webhook.ReplayQueued,
	}
	for kill := range kills {
		child := w.child()
		if kill == 0 {
			job.EndpointCreatedAt = w.created["crm"]
			r, err := records{kafka: w.kafka, deliveries: 2}.replay(job)
			if err != nil {
				t.Fatal(err)
			}
			w.put(r)
		}
		w.eventually("the child sends", func() bool { return len(hooks.counts()) > (kill+1)*n/5 })
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
	}
	s := w.start()
	w.eventually("it is done", func() bool {
		j := s.jobs.Load()
		if j == nil {
			return false
		}
		got, err := j.find("ws", "job")
		return err == nil && got != nil && got.Status == webhook.ReplayDone && got.Sent == n
	})
	w.eventually("everything has come", func() bool { return len(hooks.counts()) == n })
	if diff := cmp.Diff(slices.Sorted(slices.Values(linkedIDs(0, n))), slices.Sorted(maps.Keys(hooks.counts()))); diff != "" {
		t.Errorf("ids (-want +got):\n%.2000s", diff)
	}
	for id, planned := range w.announced() {
		if planned != 1 {
			t.Errorf("%s was planned %d times", id, planned)
		}
	}
}

// early appends events that were received an hour ago.
func (w *world) early(n int) {
	w.t.Helper()
	w.received = time.Now().Add(-time.Hour)
	w.events(0, n)
	w.received = time.Time{}
}

// announced counts the committed deliveries of the log that announce a new one.
func (w *world) announced() map[string]int {
	w.t.Helper()
	n := map[string]int{}
	spans, err := stream.Spans(w.t.Context(), w.kafka, w.quiet(), topic.WebhookDeliveries, time.Time{}, time.Now(), time.Hour)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, span := range spans {
		err := stream.ReadRange(w.t.Context(), w.kafka, w.quiet(), span.TopicPartition, span.From, span.To, func(r *stream.Record) error {
			if d, err := webhook.ParseDelivery(r.Value); err == nil && !d.Again {
				n[d.ID]++
			}
			return nil
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return n
}
