package contract

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/throughline/throughline/ingest"
	"github.com/throughline/throughline/schema/api"
	"github.com/throughline/throughline/schema/event"
)

// refusals produces every refusal that the document promises. Most are the same everywhere; the table has what is not.
func (s *session) refusals(t *testing.T) {
	slow := s.slowEdge()
	special := s.special()
	var late sync.WaitGroup
	for _, op := range s.checker.Document.Operations {
		r := s.prepared(op.Examples()[0])
		for _, response := range op.Responses {
			status := response.Status
			if change, ok := special[fmt.Sprintf("%s %d", op.ID, status)]; ok {
				change(r).want(t, s.url, status)
				continue
			}
			switch status {
			case http.StatusBadRequest:
				r.query("nonsense=1").want(t, s.url, status)
			case http.StatusUnauthorized:
				r.with("Authorization", "Basic x").want(t, s.url, status)
				r.key("tlk_unknown").want(t, s.url, status)
			case http.StatusForbidden:
				r.key(s.lacking(op)).want(t, s.url, status)
			case http.StatusRequestTimeout:
				late.Go(func() { s.late(t, r, slow) })
			case http.StatusRequestEntityTooLarge:
				r.with("Content-Encoding", "gzip").sending(packed(event.MaxBatchBytes+1)).want(t, s.url, status)
			case http.StatusUnsupportedMediaType:
				r.with("Content-Type", "text/plain").want(t, s.url, status)
				r.with("Content-Encoding", "br").want(t, s.url, status)
			case http.StatusTooManyRequests:
				r.key(s.keys.slow).send(t, s.url)
				r.key(s.keys.slow).want(t, s.url, status)
			}
		}
	}
	late.Wait()
	if t.Failed() {
		return
	}
	// What no operation answers.
	for _, r := range []request{
		{op: &api.Operation{ID: "a path that is not there"}, method: http.MethodGet, path: "/v1/nothing", header: http.Header{}},
		{op: &api.Operation{ID: "half a path"}, method: http.MethodGet, path: "/v1/timeline/CUSTOMER/", header: http.Header{}},
	} {
		r.want(t, s.url, http.StatusNotFound)
	}
	for _, path := range []string{"/v1/events", "/v1/timeline/CUSTOMER/c1", "/docs"} {
		r := request{op: &api.Operation{ID: "a method that is not there"}, method: http.MethodPatch, path: path, header: http.Header{}}
		r.want(t, s.url, http.StatusMethodNotAllowed)
	}
}

// special says how an example is to be changed for a refusal that has a reason of its own.
func (s *session) special() map[string]func(request) request {
	at := func(from, to string) func(request) request {
		return func(r request) request { return r.at(strings.Replace(r.path, from, to, 1)) }
	}
	body := func(text string) func(request) request {
		return func(r request) request { return r.sending(text) }
	}
	shoe := func(r request) request { return r.query("objectType=shoe") }
	all := map[string]func(request) request{
		"postEvent 404":        body(`{"objectType":"CUSTOMER","objectId":"nobody","name":"x"}`),
		"postEvent 422":        body(`{"objectType":"CUSTOMER","nonsense":"x"}`),
		"postEvents 422":       body(`{"items":[]}`),
		"postObjects 422":      body(`{"items":[]}`),
		"putObject 422":        at("CUSTOMER", "shoe"),
		"postTransition 409":   body(`{"type":"queued","expectedVersion":99}`),
		"postTransition 422":   body(`{"type":"sung"}`),
		"postTransitions 422":  body(`{"items":[]}`),
		"putObject 409":        func(r request) request { return at("c19a7d78", "c2")(r).sending(`{"externalId":"taken"}`) },
		"patchObject 404":      at("c19a7d78", "nobody"),
		"patchObject 409":      func(r request) request { return at("c19a7d78", "c2")(r).sending(`{"externalId":"taken"}`) },
		"patchObject 422":      body(`{"relations":[{}]}`),
		"deleteObject 422":     at("c19a7d78", "a%00b"),
		"getObject 404":        at("c19a7d78", "nobody"),
		"getObject 422":        at("CUSTOMER", "shoe"),
		"listObjects 422":      shoe,
		"getTimeline 422":      at("CUSTOMER", "shoe"),
		"listEventLog 422":     shoe,
		"getEventLogEntry 404": at("order-1001", "nothing"),
		"getEventLogEntry 422": at("order-1001", "a%00b"),
		"listEventNames 422":   shoe,
		"searchEvents 422":     shoe,
		"getConversation 404":  at("chat-1001", "nothing"),
		"getConversation 422":  at("chat-1001", "a%00b"),
		"listTransitions 404":  at("chat-1001", "nothing"),
		"listTransitions 422":  at("chat-1001", "a%00b"),
		"putWorkspace 422":     body(`{"timeZone":"Nowhere/Else"}`),
		"postApiKey 422":       body(`{"scopes":[]}`),
		"getApiKey 404":        func(r request) request { return r.at("/v1/workspaces/" + shop + "/api-keys/none") },

		"putWebhookEndpoint 422":    body(`{"url":"https://127.0.0.1/","events":["event.linked"]}`),
		"testWebhookEndpoint 404":   at("crm", "nothing"),
		"testWebhookEndpoint 422":   at("crm", "a%00b"),
		"retryWebhookDelivery 404":  at(s.deliveryID, "nothing"),
		"retryWebhookDelivery 422":  at(s.deliveryID, "a%00b"),
		"deleteWebhookEndpoint 422": at("crm", "a%00b"),
		"listWebhookDeliveries 422": at("crm", "a%00b"),
		"listWebhookAttempts 422":   at("crm", "a%00b"),
	}
	// An endpoint that is disabled has no replay.
	off := request{
		op: &api.Operation{ID: "putWebhookEndpoint"}, method: http.MethodPut, path: "/v1/webhook-endpoints/off", header: http.Header{},
	}
	off.key(s.keys.all).sending(`{"url":"https://crm.example/","enabled":false,"events":["event.linked"]}`).want(s.t, s.url, http.StatusOK)
	all["postWebhookReplay 404"], all["postWebhookReplay 409"] = at("crm", "nothing"), at("crm", "off")
	all["postWebhookReplay 422"] = func(r request) request { return at("crm", "off")(r).sending(`{"only":"some"}`) }
	all["listWebhookReplays 422"] = at("crm", "a%00b")
	for _, op := range []string{"getWebhookReplay", "cancelWebhookReplay"} {
		all[op+" 404"], all[op+" 422"] = at(s.replayID, "nothing"), at(s.replayID, "a%00b")
	}
	for _, op := range []string{"getWebhookEndpoint", "rotateWebhookSecret"} {
		all[op+" 404"], all[op+" 422"] = at("crm", "nothing"), at("crm", "a%00b")
	}
	for _, op := range []string{"getWorkspace", "listApiKeys", "getApiKey", "deleteApiKey"} {
		all[op+" 422"] = at(shop, "UPPER")
	}
	for _, op := range []string{"getWorkspace", "listApiKeys", "postApiKey", "deleteApiKey"} {
		all[op+" 404"] = at(shop, "nowhere")
	}
	// Two customers, of whom one has what the other one wants.
	for id, text := range map[string]string{"c1": `{"externalId":"taken"}`, "c2": `{}`} {
		r := request{op: &api.Operation{ID: "putObject"}, method: http.MethodPut, path: "/v1/objects/CUSTOMER/" + id, header: http.Header{}}
		r.key(s.keys.all).sending(text).want(s.t, s.url, http.StatusOK)
	}
	return all
}

// lacking is a good key that does not open an operation.
func (s *session) lacking(op *api.Operation) string {
	switch {
	case op.Operator() && len(op.Security) == 1:
		return s.keys.all
	case op.Operator():
		return s.keys.wallboard
	default:
		return s.keys.admin
	}
}

// packed is a text of blanks of some length, compressed.
func packed(length int) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.Copy(z, io.LimitReader(blanks{}, int64(length))) // a buffer takes everything
	_ = z.Close()
	return b.String()
}

type blanks struct{}

// Read implements io.Reader.
func (blanks) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte{' '}, len(p))), nil }

// slowEdge is the address of services that wait for a body a moment only.
func (s *session) slowEdge() string {
	cfg := ingest.DefaultConfig()
	cfg.RequestTimeout = time.Second
	return s.other(condition{following: true, edge: cfg, reading: 5 * time.Second})
}

// late sends the beginning of a body and never its end.
func (s *session) late(t *testing.T, r request, url string) {
	t.Helper()
	body, end := io.Pipe()
	defer end.Close()
	go func() { _, _ = end.Write(r.body[:1]) }() // the server may have answered already
	if a := r.stream(t, url, body); a.status != http.StatusRequestTimeout {
		t.Errorf("%s: a body that does not come: got %d %s", r.op.ID, a.status, a.body)
	}
}
