package dispatcher

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/schematest/contract"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// TestAnEndpointIsRegisteredToldAndLookedAt goes the way of somebody who uses the API.
func TestAnEndpointIsRegisteredToldAndLookedAt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.Kfake(t), true, 2)
	s := w.start()
	api := httptest.NewServer(contract.Handler(t, s.Handler()))
	t.Cleanup(api.Close)
	verified := make(chan error, 8)
	var secret string
	hooks := newReceiver(t, func(_ http.ResponseWriter, r *http.Request) {
		body := make([]byte, 1<<16)
		n, _ := r.Body.Read(body)
		verifier, err := standardwebhooks.NewWebhook(secret)
		if err == nil {
			err = verifier.Verify(body[:n], r.Header)
		}
		verified <- err
	})
	settings := `{"url":"` + hooks.URL + `","events":["event.linked"],"authToken":"s3cret","filter":"data.event.name == \"Viewed\""}`
	status, body := request(t, api.URL, "ws", http.MethodPut, "/v1/webhook-endpoints/crm", settings)
	var created endpointWritten
	if err := json.Unmarshal([]byte(body), &created); err != nil || status != http.StatusOK || created.SigningSecret == "" {
		t.Fatalf("created: %d %s", status, body)
	}
	secret = created.SigningSecret
	for _, path := range []string{"/v1/webhook-endpoints", "/v1/webhook-endpoints/crm", "/v1/webhook-endpoints/crm/replays"} {
		path += "?position=" + *created.Position
		if status, body := request(t, api.URL, "ws", http.MethodGet, path, ""); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
		if status, body := request(t, api.URL, "other", http.MethodGet, path, ""); status != http.StatusBadRequest || !strings.Contains(body, "bad-position") {
			t.Errorf("another workspace asks for %s: %d %s", path, status, body)
		}
	}
	// A position of what nobody has written yet is not reached.
	ahead := positionAt("ws", topic.WebhookEndpoints, stream.Offset{Offset: 1 << 40})
	status, body = request(t, api.URL, "ws", http.MethodGet, "/v1/webhook-endpoints/crm?position="+*ahead, "")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "position-not-reached") {
		t.Errorf("a position ahead of everything: %d %s", status, body)
	}
	w.events(0, 1)
	if err := <-verified; err != nil {
		t.Errorf("the delivery does not verify: %v", err)
	}
	status, shown := request(t, api.URL, "ws", http.MethodGet, "/v1/webhook-endpoints/crm", "")
	if status != http.StatusOK || strings.Contains(shown, "s3cret") || strings.Contains(shown, secret) || !strings.Contains(shown, `"hasAuthToken":true`) {
		t.Errorf("shown: %d %s", status, shown)
	}
	// What a GET shows may be put back, and keeps the secrets.
	status, body = request(t, api.URL, "ws", http.MethodPut, "/v1/webhook-endpoints/crm", shown)
	if status != http.StatusOK || strings.Contains(body, "whsec_") || !strings.Contains(body, `"hasAuthToken":true`) {
		t.Errorf("put back: %d %s", status, body)
	}
	status, body = request(t, api.URL, "ws", http.MethodPost, "/v1/webhook-endpoints/crm/rotate-secret", "")
	if status != http.StatusOK || !strings.Contains(body, `"signingSecret":"whsec_`) {
		t.Errorf("rotated: %d %s", status, body)
	}
	// The secret before it still verifies.
	w.events(1, 1)
	if err := <-verified; err != nil {
		t.Errorf("after the rotation: %v", err)
	}
	for _, path := range []string{"/v1/webhook-endpoints/crm", "/v1/webhook-endpoints/none"} {
		if status, body := request(t, api.URL, "other", http.MethodGet, path, ""); status != http.StatusNotFound {
			t.Errorf("another workspace gets %s: %d %s", path, status, body)
		}
	}
	if _, body := request(t, api.URL, "other", http.MethodGet, "/v1/webhook-endpoints", ""); !strings.Contains(body, `"data":[]`) {
		t.Errorf("another workspace lists %s", body)
	}
	if _, body := request(t, api.URL, "ws", http.MethodGet, "/v1/webhook-endpoints", ""); !strings.Contains(body, `"id":"crm"`) {
		t.Errorf("listed: %s", body)
	}
	if status, body := request(t, api.URL, "ws", http.MethodDelete, "/v1/webhook-endpoints/crm", ""); status != http.StatusOK {
		t.Errorf("deleted: %d %s", status, body)
	}
	if status, _ := request(t, api.URL, "ws", http.MethodGet, "/v1/webhook-endpoints/crm", ""); status != http.StatusNotFound {
		t.Errorf("a deleted endpoint: %d", status)
	}
	for name, tt := range map[string][2]string{
		"an internal address":  {`{"url":"https://169.254.169.254/","events":["event.linked"]}`, "/url"},
		"no URL":               {`{"events":["event.linked"]}`, "/url"},
		"a broken filter":      {`{"url":"https://example.com","events":["event.linked"],"filter":"1 +"}`, "/filter"},
		"a filter of a number": {`{"url":"https://example.com","events":["event.linked"],"filter":"1 + 1"}`, "/filter"},
		"an unknown event":     {`{"url":"https://example.com","events":["queue.melted"]}`, "/events/0"},
		"another service":      {`{"url":"https://hooks.slack.com/services/T0/B0/x","events":["event.linked"],"format":"teams"}`, "/format"},
		"a digest of weeks":    {`{"url":"https://example.com","events":["event.linked"],"digestSeconds":86401}`, "/digestSeconds"},
		"another order":        {`{"url":"https://example.com","events":["event.linked"],"ordering":"global"}`, "/ordering"},
		"a misspelt member":    {`{"url":"https://example.com","events":["event.linked"],"filtre":""}`, "/filtre"},
		"a number for a token": {`{"url":"https://example.com","events":["event.linked"],"authToken":7}`, "/authToken"},
	} {
		status, body := request(t, api.URL, "ws", http.MethodPut, "/v1/webhook-endpoints/x", tt[0])
		if status != http.StatusUnprocessableEntity || !strings.Contains(body, `"pointer":"`+tt[1]+`"`) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}
