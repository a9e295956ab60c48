package dispatcher

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/throughline/throughline/schema/webhook"
)

func testPoster(t *testing.T, change func(*Config, *guard), roots *x509.CertPool) *poster {
	t.Helper()
	cfg := testConfig(t.TempDir())
	g := &guard{ports: cfg.Ports, http: true, allow: cfg.Allow}
	if change != nil {
		change(&cfg, g)
	}
	p := newPoster(g, cfg, roots, time.Now)
	t.Cleanup(p.close)
	return p
}

func testDelivery() *webhook.Delivery {
	return &webhook.Delivery{ID: "msg_1", Type: webhook.EventLinked}
}

func privateOf(url string) *webhook.Private {
	return &webhook.Private{URL: url, AuthHeaderName: "X-Token", Secrets: []webhook.Secret{{Value: newSecret()}}}
}

func TestADeliveryCarriesItsHeadersAndASignatureOnEveryAttempt(t *testing.T) {
	t.Parallel()
	secret := newSecret()
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	bad := make(chan string, 8)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 100)
		n, _ := r.Body.Read(body)
		if err := verifier.Verify(body[:n], r.Header); err != nil {
			bad <- err.Error()
		}
		if r.Header.Get("X-Token") != "s3cret" || r.Header.Get("X-Env") != "prod" || r.Header.Get("Content-Type") != "application/json" {
			bad <- "headers are missing"
		}
		w.Header().Set("Set-Cookie", "a=b")
		_, _ = w.Write([]byte("thanks"))
	}))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	p := testPoster(t, nil, roots)
	private := privateOf(server.URL)
	private.AuthToken, private.Headers, private.Secrets[0].Value = "s3cret", map[string]string{"X-Env": "prod"}, secret
	for attempt := range 2 {
		res := p.post(t.Context(), private, testDelivery(), []byte(`{"a":1}`))
		a := res.attempt
		if a.Outcome != webhook.OutcomeSuccess || string(res.response) != "thanks" || a.Reused != (attempt == 1) {
			t.Errorf("attempt %d: %+v", attempt, a)
		}
		for _, text := range []string{a.RequestHeaders["X-Token"], a.RequestHeaders["X-Env"], a.ResponseHeaders["Set-Cookie"]} {
			if text != blotted {
				t.Errorf("kept in the clear: %q", text)
			}
		}
	}
	close(bad)
	for what := range bad {
		t.Error(what)
	}
}

func TestWhatGoesWrongIsToldApart(t *testing.T) {
	t.Parallel()
	var followed atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/there", http.StatusFound) })
	mux.HandleFunc("/there", func(http.ResponseWriter, *http.Request) { followed.Add(1) })
	mux.HandleFunc("/gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	mux.HandleFunc("/busy", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	mux.HandleFunc("/no", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	over := make(chan struct{})
	mux.HandleFunc("/hangs", func(http.ResponseWriter, *http.Request) { <-over })
	mux.HandleFunc("/cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	tls := httptest.NewTLSServer(mux)
	t.Cleanup(tls.Close)
	t.Cleanup(func() { close(over) })
	p := testPoster(t, func(cfg *Config, _ *guard) { cfg.AttemptTimeout = time.Second }, nil)
	for target, want := range map[string]webhook.Outcome{
		server.URL + "/redirect":     webhook.OutcomeRedirect,
		server.URL + "/gone":         webhook.OutcomeGone,
		server.URL + "/busy":         webhook.OutcomeRateLimited,
		server.URL + "/no":           webhook.OutcomeClientError,
		server.URL + "/broken":       webhook.OutcomeServerError,
		server.URL + "/hangs":        webhook.OutcomeTimeout,
		server.URL + "/cut":          webhook.OutcomeBroken,
		server.URL + "/long":         webhook.OutcomeSuccess,
		tls.URL + "/long":            webhook.OutcomeTLS,
		"http://127.0.0.1:1/":        webhook.OutcomeConnect,
		"http://10.0.0.1/":           webhook.OutcomeForbidden,
		"http://nothing.invalid:80/": webhook.OutcomeDNS,
	} {
		res := p.post(t.Context(), privateOf(target), testDelivery(), []byte("{}"))
		if res.attempt.Outcome != want {
			t.Errorf("%s: got %s (%s), want %s", target, res.attempt.Outcome, res.attempt.Error, want)
		}
		if strings.Contains(res.attempt.Error, "http://") || (res.attempt.Error == "") != (want == webhook.OutcomeSuccess) {
			t.Errorf("%s: the error is %q", target, res.attempt.Error)
		}
		if strings.HasSuffix(target, "/busy") && res.wait != 7*time.Second {
			t.Errorf("Retry-After was read as %s", res.wait)
		}
		if want == webhook.OutcomeSuccess && (len(res.response) != maxResponseBytes || !res.attempt.Truncated) {
			t.Errorf("%d bytes of the answer are kept, cut: %t", len(res.response), res.attempt.Truncated)
		}
	}
	if followed.Load() > 0 {
		t.Error("a redirect was followed")
	}
}

// TestANameThatResolvesToAForbiddenAddressIsNotConnectedTo stands for rebinding: the name passed every check of the URL,
// and what it stands for when the connection is made decides.
func TestANameThatResolvesToAForbiddenAddressIsNotConnectedTo(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(server.Close)
	target := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	p := testPoster(t, func(_ *Config, g *guard) { g.allow = []Allowed{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}} }, nil)
	if _, err := (&guard{http: true, allow: []Allowed{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}}).checkURL(target); err != nil {
		t.Fatalf("the name is refused before it is looked up: %v", err)
	}
	res := p.post(context.WithoutCancel(t.Context()), privateOf(target), testDelivery(), []byte("{}"))
	if res.attempt.Outcome != webhook.OutcomeForbidden || reached.Load() > 0 {
		t.Errorf("got %s (%s), reached: %d", res.attempt.Outcome, res.attempt.Error, reached.Load())
	}
}
