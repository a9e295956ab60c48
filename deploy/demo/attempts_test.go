package demo_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// asked asks the API of webhooks.
func (b *bank) asked(method, path, body string) (status int, answer []byte) {
	b.t.Helper()
	req := httptest.NewRequestWithContext(b.t.Context(), method, path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	got := httptest.NewRecorder()
	b.webhooks.ServeHTTP(got, req)
	return got.Code, got.Body.Bytes()
}

// listed reads a list of the endpoint crm as it is once it shows a position, which takes several tries on a busy machine.
func listed[T any](b *bank, list, position string) []T {
	b.t.Helper()
	var page struct{ Data []T }
	within(b.t, "the "+list+" show the position", func() bool {
		status, body := b.asked(http.MethodGet, "/v1/webhook-endpoints/crm/"+list+"?position="+url.QueryEscape(position), "")
		if status == http.StatusServiceUnavailable {
			return false
		}
		if err := json.Unmarshal(body, &page); err != nil || status != http.StatusOK {
			b.t.Fatalf("%s: %d %s", list, status, body)
		}
		return true
	})
	return page.Data
}

// TestAnAttemptIsShownWithItsPhasesAndWithoutItsSecrets posts an event of a customer to an endpoint with a token. The list of
// deliveries shows it as soon as it shows the event's position, and the attempt, which went through the log, a transaction
// and the tables, says how long its phases took, what was sent without the secrets, and how the answer began.
func TestAnAttemptIsShownWithItsPhasesAndWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	answer := strings.Repeat("thank you, ", 8<<10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cret" || r.Header.Get("X-Shop") != "berl1n" {
			t.Errorf("posted with %v", r.Header)
		}
		w.Header().Set("Set-Cookie", "session=s3ssion")
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte(answer)) // who does not read it all has gone
	}))
	t.Cleanup(receiver.Close)
	// A name has to be looked up, which is a phase of its own.
	at := strings.Replace(receiver.URL, "127.0.0.1", "localhost", 1)
	settings := `{"url":"` + at + `","events":["event.linked"],"authToken":"Bearer s3cret","headers":{"X-Shop":"berl1n"}}`
	status, body := b.asked(http.MethodPut, "/v1/webhook-endpoints/crm", settings)
	var written struct{ Position string }
	if err := json.Unmarshal(body, &written); err != nil || status != http.StatusOK || written.Position == "" {
		t.Fatalf("endpoint: %d %s", status, body)
	}
	status, body = b.asked(http.MethodGet, "/v1/webhook-endpoints/crm?position="+url.QueryEscape(written.Position), "")
	if status != http.StatusOK {
		t.Errorf("the endpoint at its position: %d %s", status, body)
	}
	if status, body := b.write(http.MethodPut, "/v1/objects/CUSTOMER/c1", `{"name":"Ann"}`); status != http.StatusOK {
		t.Fatalf("customer: %d %s", status, body)
	}
	status, body = b.write(http.MethodPost, "/v1/events", `{"id":"e1","objectType":"CUSTOMER","objectId":"c1","name":"Bought","payload":{"price":7}}`)
	if err := json.Unmarshal(body, &written); err != nil || status != http.StatusOK {
		t.Fatalf("event: %d %s", status, body)
	}
	type delivery struct{ ID, Event, Type string }
	deliveries := listed[delivery](b, "deliveries", written.Position)
	if len(deliveries) != 1 || deliveries[0].Event != "e1" {
		t.Fatalf("at the event's position there are the deliveries %+v", deliveries)
	}
	type attempt struct {
		DeliveryID, Status, Outcome, Protocol, Response string
		Attempt, StatusCode                             int
		ConnectionReused, ResponseTruncated             bool
		TimingMicroseconds                              map[string]int64
		RequestHeaders, ResponseHeaders                 map[string]string
	}
	var attempts []attempt
	within(t, "the attempt is listed", func() bool {
		attempts = listed[attempt](b, "attempts", "")
		return len(attempts) > 0
	})
	got := attempts[0]
	for _, phase := range []string{"dns", "connect", "firstByte", "total"} {
		if got.TimingMicroseconds[phase] <= 0 || got.TimingMicroseconds[phase] > got.TimingMicroseconds["total"] {
			t.Errorf("phase %s took %d of %v µs", phase, got.TimingMicroseconds[phase], got.TimingMicroseconds)
		}
	}
	for name, want := range map[string]string{"Authorization": "***", "X-Shop": "***", "Webhook-Id": deliveries[0].ID} {
		if got.RequestHeaders[name] != want {
			t.Errorf("%s is shown as %q, want %q", name, got.RequestHeaders[name], want)
		}
	}
	if !strings.HasPrefix(got.RequestHeaders["Webhook-Signature"], "v1,") || got.ResponseHeaders["Set-Cookie"] != "***" {
		t.Errorf("headers %v, %v", got.RequestHeaders, got.ResponseHeaders)
	}
	if got.Response != answer[:64<<10] {
		t.Errorf("of the answer %d bytes are shown, want the first %d", len(got.Response), 64<<10)
	}
	got.Response, got.TimingMicroseconds, got.RequestHeaders, got.ResponseHeaders = "", nil, nil, nil
	want := attempt{
		DeliveryID: deliveries[0].ID, Status: "SUCCEEDED", Outcome: "success", Protocol: "HTTP/1.1", Attempt: 1,
		StatusCode: http.StatusAccepted, ResponseTruncated: true,
	}
	if diff := cmp.Diff(want, got); diff != "" || len(attempts) != 1 {
		t.Errorf("%d attempts (-want +got):\n%s", len(attempts), diff)
	}
	if _, all := b.asked(http.MethodGet, "/v1/webhook-endpoints/crm/attempts", ""); strings.Contains(string(all), "s3cret") ||
		strings.Contains(string(all), "s3ssion") || strings.Contains(string(all), "berl1n") {
		t.Errorf("a secret is shown: %.2000s", all)
	}
}
