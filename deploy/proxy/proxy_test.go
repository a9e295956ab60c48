package proxy_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/deploy/proxy"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/run"
)

// service answers with its name, the request's path as it was sent, and its body.
func service(t *testing.T, name string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, strings.Join([]string{name, r.Method, r.RequestURI, r.Host, r.Header.Get("X-Forwarded-For"), string(body)}, " "))
	}))
	t.Cleanup(s.Close)
	return s
}

// front is a proxy that listens.
func front(t *testing.T, cfg proxy.Config) (*httptest.Server, *run.Readiness) {
	t.Helper()
	ready := run.NewReadiness()
	handler, err := proxy.New(cfg, proxy.Deps{Log: slog.New(slog.DiscardHandler), Ready: ready})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s, ready
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func ask(t *testing.T, method, address, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", "192.0.2.1") // a client may claim what it likes
	req.Host = "api.example.com"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(got)}
}

func TestARequestReachesTheServiceThatOwnsItsPathAsItWasSent(t *testing.T) {
	t.Parallel()
	s, _ := front(t, proxy.Config{Ingest: service(t, "ingest").URL, Query: service(t, "query").URL})
	for _, row := range []struct{ method, path, body, want string }{
		{"POST", "/v1/events", `{"n":1}`, `ingest POST /v1/events api.example.com 127.0.0.1 {"n":1}`},
		{"GET", "/v1/objects/CUSTOMER/a%2Fb%25", "", "ingest GET /v1/objects/CUSTOMER/a%2Fb%25 api.example.com 127.0.0.1 "},
		{"GET", "/v1/timeline/CUSTOMER/a%2Fb?limit=1&cursor=x%2By", "", "query GET /v1/timeline/CUSTOMER/a%2Fb?limit=1&cursor=x%2By api.example.com 127.0.0.1 "},
	} {
		if got := ask(t, row.method, s.URL+row.path, row.body).body; got != row.want {
			t.Errorf("%s %s: got %q, want %q", row.method, row.path, got, row.want)
		}
	}
}

func TestAServiceThatIsAwayIsAProblemThatSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	away := service(t, "query")
	s, ready := front(t, proxy.Config{Ingest: service(t, "ingest").URL, Query: away.URL})
	if err := firstError(ready.Check(t.Context())); err != nil {
		t.Fatalf("not ready: %v", err)
	}
	away.Close()
	got := ask(t, http.MethodGet, s.URL+"/v1/event-log", "")
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || got.header.Get("Content-Type") != problem.ContentType {
		t.Errorf("got %d %v %s", got.status, got.header, got.body)
	}
	if strings.Contains(got.body, away.Listener.Addr().String()) {
		t.Errorf("the client is told an inner address: %s", got.body)
	}
	if err := ready.Check(t.Context())["query"]; err == nil {
		t.Error("the proxy is ready without the service")
	}
	if got := ask(t, http.MethodPost, s.URL+"/v1/events", "{}"); got.status != http.StatusOK {
		t.Errorf("the other service answers %d", got.status)
	}
}

func TestTheProbesAreTheProxysOwnAndTheMetricsNobodys(t *testing.T) {
	t.Parallel()
	s, ready := front(t, proxy.Config{Ingest: service(t, "ingest").URL, Query: service(t, "query").URL})
	got := make(map[string]int)
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		got[path] = ask(t, http.MethodGet, s.URL+path, "").status
	}
	ready.Add("broken", func(context.Context) error { return io.ErrUnexpectedEOF })
	got["/readyz of a broken one"] = ask(t, http.MethodGet, s.URL+"/readyz", "").status
	want := map[string]int{"/livez": 204, "/readyz": 200, "/metrics": 404, "/readyz of a broken one": 503}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAddressesOfServicesAreCheckedTogether(t *testing.T) {
	t.Parallel()
	err := proxy.Config{Ingest: "ingest:8081", Query: "http://query:8082/v1"}.Validate()
	if err == nil || !strings.Contains(err.Error(), "THROUGHLINE_INGEST_URL") || !strings.Contains(err.Error(), "THROUGHLINE_QUERY_URL") {
		t.Errorf("got %v", err)
	}
	if err := (proxy.Config{Ingest: "http://ingest:8081/", Query: "https://query"}).Validate(); err != nil {
		t.Error(err)
	}
}

func firstError(checks map[string]error) error {
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	return nil
}
