package dispatcher

import (
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// TestWhatBecomesOfEndpointsAndDeliveriesIsTold has an endpoint that answers 410, one whose last attempt fails, and one that
// wants an order and whose last attempt fails. A fourth is told of all of it.
func TestWhatBecomesOfEndpointsAndDeliveriesIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.Kfake(t), true, 2)
	var mu sync.Mutex
	told := map[string]string{}
	ops := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var b struct {
			Type string `json:"type"`
			Data struct {
				Endpoint struct{ ID, Reason string }
				Delivery struct {
					ID       string
					Endpoint string
					Attempts int
				}
			} `json:"data"`
		}
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &b); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if b.Type == webhook.EndpointDisabled {
			told[b.Type+" "+b.Data.Endpoint.ID] = b.Data.Endpoint.Reason
		} else {
			told[b.Type+" "+b.Data.Delivery.Endpoint] = strconv.Itoa(b.Data.Delivery.Attempts)
		}
	}))
	t.Cleanup(ops.Close)
	gone := newReceiver(t, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusGone) })
	bad := newReceiver(t, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) })
	nothing := func(e *webhook.Endpoint) { e.Events = []string{webhook.ConversationLabeled} }
	w.endpoint("ops", ops.URL, func(e *webhook.Endpoint) { e.Events = []string{webhook.EndpointDisabled, webhook.DeliveryExhausted} })
	w.endpoint("gone", gone.URL)
	w.endpoint("bad", bad.URL, nothing)
	w.endpoint("ordered", bad.URL, inOrder)
	log := w.follow()
	last := func(endpoint string, subject object.Ref) string {
		d := &webhook.Delivery{
			ID:        webhook.DeliveryID("ws", webhook.ConversationLabeled, subject, "1", endpoint),
			Workspace: "ws", Endpoint: endpoint, Type: webhook.ConversationLabeled, Subject: subject, Event: "1",
			PlannedAt: event.TimeOf(time.Now()), Attempts: len(schedule()), Body: "{}",
		}
		r, err := records{kafka: w.kafka, deliveries: 2}.delivery(topic.WebhookDeliveries, d)
		if err != nil {
			t.Fatal(err)
		}
		w.put(r)
		return d.ID
	}
	last("bad", object.Ref{Type: object.Customer, ID: "c1"})
	blocked := object.Ref{Type: object.Conversation, ID: "k001"}
	first := last("ordered", blocked)
	w.tell("ordered", "k001", 2)
	w.events(0, 1)
	s := w.start()
	want := map[string]string{
		"endpoint.disabled gone": webhook.ReasonGone, "delivery.exhausted gone": "1", "delivery.exhausted bad": "10",
		"endpoint.disabled ordered": webhook.ReasonBlocked, "delivery.exhausted ordered": "10",
	}
	for what, value := range want {
		w.eventually("it is told of "+what, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return told[what] == value
		})
	}
	second := webhook.DeliveryID("ws", webhook.ConversationLabeled, blocked, "2", "ordered")
	w.eventually("what is behind is skipped", func() bool { return log.last(second).Status == webhook.Skipped })
	if bad.counts()[second] != 0 || bad.counts()[first] != 1 {
		t.Errorf("posts of an ordered endpoint that was given up: %v", bad.counts())
	}
	w.eventually("the state is known", func() bool {
		to, err := s.directory.Load().find("ws", "gone")
		return err == nil && !to.active()
	})
	w.events(1, 1)
	w.eventually("a disabled endpoint's event is skipped", func() bool { return log.by(webhook.OutcomeDisabled)[goneID("e1", "c1")] == 1 })
	if got := gone.counts()[goneID("e1", "c1")]; got != 0 {
		t.Errorf("it was posted %d times", got)
	}
}

func goneID(of, customer string) string {
	return webhook.DeliveryID("ws", webhook.EventLinked, object.Ref{Type: object.Customer, ID: customer}, of, "gone")
}

func TestAnEndpointIsGivenUpAfterFiveDaysOfFailuresAlone(t *testing.T) {
	t.Parallel()
	now := moment()
	for name, tt := range map[string]struct {
		outcome webhook.Outcome
		since   time.Duration
		h       health
		want    string
	}{
		"five days":                  {webhook.OutcomeTimeout, giveUpAfter, health{giveUpFailures, now.Add(-giveUpSpan)}, webhook.ReasonFailing},
		"a success":                  {webhook.OutcomeSuccess, giveUpAfter, health{giveUpFailures, now.Add(-giveUpSpan)}, ""},
		"not yet five days":          {webhook.OutcomeTimeout, giveUpAfter - time.Second, health{giveUpFailures, now.Add(-giveUpSpan)}, ""},
		"four failures":              {webhook.OutcomeTimeout, giveUpAfter, health{giveUpFailures - 1, now.Add(-giveUpSpan)}, ""},
		"failures of eleven hours":   {webhook.OutcomeTimeout, giveUpAfter, health{giveUpFailures, now.Add(time.Hour - giveUpSpan)}, ""},
		"gone":                       {webhook.OutcomeGone, 0, health{1, now}, webhook.ReasonGone},
		"gone after a long struggle": {webhook.OutcomeGone, giveUpAfter, health{giveUpFailures, now.Add(-giveUpSpan)}, webhook.ReasonGone},
	} {
		to := &target{Endpoint: &webhook.Endpoint{}, state: &webhook.State{FailingSince: event.TimeOf(now.Add(-tt.since))}}
		if got := (&sender{}).givenUp(to, &webhook.Attempt{Outcome: tt.outcome}, tt.h, now); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

// TestAttemptsToOneEndpointShareAConnection posts over HTTP/2, many at once.
func TestAttemptsToOneEndpointShareAConnection(t *testing.T) {
	t.Parallel()
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.EnableHTTP2 = true
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	p := testPoster(t, nil, roots)
	private := privateOf(server.URL)
	p.post(t.Context(), private, testDelivery(), []byte("{}"))
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			a := p.post(t.Context(), private, testDelivery(), []byte("{}")).attempt
			if a.Protocol != "HTTP/2.0" || !a.Reused || a.Outcome != webhook.OutcomeSuccess {
				t.Errorf("an attempt over %s, reused: %t: %s", a.Protocol, a.Reused, a.Error)
			}
		})
	}
	all.Wait()
	if got := connections.Load(); got != 1 {
		t.Errorf("31 attempts took %d connections, want 1", got)
	}
}
