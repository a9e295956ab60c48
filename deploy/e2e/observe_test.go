package e2e

import (
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collected is an OpenTelemetry collector: it decodes what arrives and keeps it.
type collected struct {
	mu    sync.Mutex
	spans []*tracepb.Span
}

// ServeHTTP implements http.Handler.
func (c *collected) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	spans, err := spansOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans = append(c.spans, spans...)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func spansOf(r *http.Request) ([]*tracepb.Span, error) {
	if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" {
		return nil, fmt.Errorf("%s %s is not known", r.Method, r.URL.Path)
	}
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		body = unzipped
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	var request collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(data, &request); err != nil {
		return nil, err
	}
	var spans []*tracepb.Span
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			spans = append(spans, scope.GetSpans()...)
		}
	}
	return spans, nil
}

// all are the spans so far.
func (c *collected) all() []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// descends says whether there is a chain of spans of a trace, each the parent of the next, whose names begin so.
func descends(spans []*tracepb.Span, trace string, names ...string) error {
	parents := map[string]bool{}
	for depth, name := range names {
		next := map[string]bool{}
		for _, s := range spans {
			fits := hex.EncodeToString(s.GetTraceId()) == trace && strings.HasPrefix(s.GetName(), name)
			if fits && (depth == 0 || parents[string(s.GetParentSpanId())]) {
				next[string(s.GetSpanId())] = true
			}
		}
		if len(next) == 0 {
			return fmt.Errorf("of trace %s there is no %q at depth %d", trace, name, depth)
		}
		parents = next
	}
	return nil
}

// linked says whether a span of the name is linked to a trace.
func linked(spans []*tracepb.Span, name, trace string) error {
	for _, s := range spans {
		for _, l := range s.GetLinks() {
			if s.GetName() == name && hex.EncodeToString(l.GetTraceId()) == trace {
				return nil
			}
		}
	}
	return fmt.Errorf("no span %q is linked to trace %s", name, trace)
}

// What no log and no trace may hold: secrets, and what is personal.
const (
	canaryMaster  = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"
	canaryKey     = "canary-api-key-0123456789"
	canaryAdmin   = "canary-admin-key-0123456789"
	canaryNoKey   = "canary-wrong-key-0123456789"
	canaryTrace   = "4bf92f3577b34da6a3ce929d0e0e4736"
	canaryParent  = "00f067aa0ba902b7"
	canaryRequest = "canary.request.1"
)

func TestATraceReachesTheProjectorAndNoLogHoldsASecret(t *testing.T) {
	t.Parallel()
	embeddedOnly(t)
	to := &collected{}
	server := httptest.NewServer(to)
	defer server.Close()
	a := dev(t, t.TempDir(), "THROUGHLINE_LOG_LEVEL=debug", "THROUGHLINE_LOG_FORMAT=json",
		"THROUGHLINE_API_KEY="+canaryKey, "THROUGHLINE_ADMIN_KEY="+canaryAdmin, "THROUGHLINE_MASTER_KEY="+canaryMaster,
		"OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL, "OTEL_BSP_SCHEDULE_DELAY=50")

	must(t, http.StatusOK, http.MethodPut, a.url+"/v1/objects/ACCOUNT/canary-account", canaryKey, `{"name":"canary-account-name"}`)
	must(t, http.StatusOK, http.MethodPut, a.url+"/v1/objects/CUSTOMER/canary-customer", canaryKey,
		`{"name":"canary-name","externalId":"canary-external","attributes":{"canary-attribute":"canary-value"},
		"relations":[{"objectType":"ACCOUNT","objectId":"canary-account"}]}`)
	position := post(t, a.url+"/v1/events", `{"objectType":"CUSTOMER","externalId":"canary-external","id":"canary-event",
		"name":"canary-event-name","description":"canary-description","icon":"canary-icon","payload":{"canary-member":"canary-payload"}}`)
	must(t, http.StatusOK, http.MethodGet, a.url+"/v1/timeline/CUSTOMER/canary-customer?position="+position, canaryKey, "")
	refused(t, a)

	var spans []*tracepb.Span
	eventually(t, 30*time.Second, "the whole trace", func() error {
		spans = to.all()
		return errors.Join(
			descends(spans, canaryTrace, "POST /v1/events", "throughline.submissions.v1 publish", "throughline.submissions.v1 receive",
				"throughline.events.v1 publish", "throughline.events.v1 receive"),
			linked(spans, "link transaction", canaryTrace),
			linked(spans, "project timeline", canaryTrace),
		)
	})
	if n := consumers(spans, canaryTrace, "throughline.projector.timeline"); n != 1 {
		t.Errorf("%d spans say that the projector of the timeline received the event, want 1", n)
	}
	if !strings.Contains(a.errors(), `"request_id":"`+canaryRequest+`"`) || !strings.Contains(a.errors(), `"trace_id":"`+canaryTrace+`"`) {
		t.Error("the log has no line with the request's id and its trace")
	}
	a.interrupt()
	a.wait(30 * time.Second)
	for _, s := range to.all() {
		clean(t, "span", s.String())
	}
	for line := range strings.Lines(a.errors()) {
		clean(t, "log", line)
	}
}

// post posts an event as a client that traces and numbers its requests, and returns the position.
func post(t *testing.T, address, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+canaryKey)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", "00-"+canaryTrace+"-"+canaryParent+"-01")
	req.Header.Set("Tracestate", "canary=state")
	req.Header.Set("X-Request-Id", canaryRequest)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", res.Status, data, err)
	}
	position, _ := answer{body: data}.member(t, "position").(string)
	return position
}

// refused sends what is answered with a problem: errors are logged by other paths than what goes well.
func refused(t *testing.T, a *all) {
	t.Helper()
	must(t, http.StatusUnauthorized, http.MethodGet, a.url+"/v1/objects/CUSTOMER/canary-customer", canaryNoKey, "")
	must(t, http.StatusNotFound, http.MethodGet, a.url+"/v1/objects/CUSTOMER/canary-unknown", canaryKey, "")
	must(t, http.StatusNotFound, http.MethodGet, a.url+"/canary-path?canary-query=1", canaryKey, "")
	must(t, http.StatusNotFound, http.MethodPost, a.url+"/v1/events", canaryKey,
		`{"objectType":"CUSTOMER","objectId":"canary-nobody","name":"canary-event-name","description":"canary-description"}`)
	must(t, http.StatusBadRequest, http.MethodPost, a.url+"/v1/events", canaryKey, `{"canary-broken":`)
	must(t, http.StatusUnprocessableEntity, http.MethodPost, a.url+"/v1/events", canaryKey, `{"canary-unknown-member":"canary-value"}`)
	must(t, http.StatusForbidden, http.MethodPut, a.url+"/v1/workspaces/canary-workspace", canaryKey, `{"name":"canary-name"}`)
}

// consumers counts the spans of a trace in which a consumer group received a record.
func consumers(spans []*tracepb.Span, trace, group string) int {
	n := 0
	for _, s := range spans {
		if hex.EncodeToString(s.GetTraceId()) != trace {
			continue
		}
		for _, attr := range s.GetAttributes() {
			if attr.GetValue().GetStringValue() == group {
				n++
			}
		}
	}
	return n
}

// clean fails the test where a text holds a canary other than the request's id, which is there to be found.
func clean(t *testing.T, what, text string) {
	t.Helper()
	text = strings.ReplaceAll(text, canaryRequest, "")
	if strings.Contains(text, "canary") || strings.Contains(text, canaryMaster) {
		t.Errorf("a %s holds what it must not: %s", what, text)
	}
}
