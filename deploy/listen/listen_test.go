package listen

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// patient is how long a test waits for what is bound to happen, on a machine that is busy.
const patient = time.Minute

// installation is as much of the API as the command asks, with one endpoint.
type installation struct {
	t   *testing.T
	url string
	// made receives each registration.
	made chan settings

	mu sync.Mutex
	// broken says that removals are refused.
	broken  bool
	removed []string
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	i := &installation{t: t, made: make(chan settings, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/webhook-event-types", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"data":[{"type":"event.linked"},{"type":"queue.formed"}]}`))
	})
	mux.HandleFunc("PUT /v1/webhook-endpoints/{id}", func(w http.ResponseWriter, r *http.Request) {
		var s settings
		if err := json.NewDecoder(r.Body).Decode(&s); err != nil || r.Header.Get("Authorization") != "Bearer key" {
			t.Errorf("registered with %v: %v", r.Header, err)
		}
		_, _ = w.Write([]byte(`{}`))
		i.made <- s
	})
	mux.HandleFunc("DELETE /v1/webhook-endpoints/{id}", func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.removed = append(i.removed, r.PathValue("id"))
		if i.broken {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(`{}`))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i.url = server.URL
	return i
}

// command is a running command.
type command struct {
	settings

	t      *testing.T
	stop   context.CancelFunc
	ended  chan error
	stdout *lockedBuffer
	stderr *lockedBuffer
}

func (i *installation) listen(cfg Config) *command {
	i.t.Helper()
	cfg.URL, cfg.Key, cfg.Listen = i.url, "key", "127.0.0.1:0"
	ctx, stop := context.WithCancel(i.t.Context())
	c := &command{t: i.t, stop: stop, ended: make(chan error, 1), stdout: &lockedBuffer{}, stderr: &lockedBuffer{}}
	i.t.Cleanup(stop)
	go func() {
		c.ended <- Run(ctx, cfg, Deps{Stdout: c.stdout, Stderr: c.stderr, Log: slog.New(slog.DiscardHandler)})
	}()
	select {
	case c.settings = <-i.made:
	case err := <-c.ended:
		i.t.Fatalf("it ended with %v", err)
	case <-time.After(patient):
		i.t.Fatal("it did not register")
	}
	return c
}

// end waits for the end and returns its error.
func (c *command) end() error {
	c.t.Helper()
	select {
	case err := <-c.ended:
		return err
	case <-time.After(patient):
		c.t.Fatal("it does not end")
		return nil
	}
}

// post posts a delivery that is signed, and changed afterwards, and returns the status, 0 where there was no answer.
func (c *command) post(id, body string, change func(h http.Header, body string) string) int {
	c.t.Helper()
	signer, err := standardwebhooks.NewWebhook(c.SigningSecret)
	if err != nil {
		c.t.Fatal(err)
	}
	now := time.Now()
	signature, err := signer.Sign(id, now, []byte(body))
	if err != nil {
		c.t.Fatal(err)
	}
	header := http.Header{}
	header.Set(standardwebhooks.HeaderWebhookID, id)
	header.Set(standardwebhooks.HeaderWebhookTimestamp, jsonOf(now.Unix()))
	header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	if change != nil {
		body = change(header, body)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.URL, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func jsonOf(v any) string {
	b, _ := json.Marshal(v) // numbers alone
	return string(b)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const linked = `{"type":"event.linked","timestamp":"2026-03-01T12:00:00.000Z","data":{"event":{"name":"Signed\u001b[31m up","primary":` +
	`{"objectType":"CUSTOMER","objectId":"c1"}},"links":[{},{}]}}`

func TestItPrintsWhatItVerifiesAndEndsAfterACount(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	c := i.listen(Config{Count: 3, Teams: []string{"sales"}, Filter: "true"})
	if strings.Join(c.Events, " ") != "event.linked queue.formed" || c.Teams[0] != "sales" || c.Filter != "true" {
		t.Errorf("registered %+v", c.settings)
	}
	for _, d := range [][2]string{
		{"msg_1", linked},
		{"msg_1", `{"type":"conversation.queued","data":{"conversation":{"conversationId":"k1","state":"QUEUED","team":"sales"}}}`},
		{"msg_2", `{"type":"queue.formed","data":{"team":"sales","size":4}}`},
	} {
		if status := c.post(d[0], d[1], nil); status != http.StatusOK {
			t.Errorf("%s: answered %d", d[1], status)
		}
	}
	if err := c.end(); err != nil {
		t.Errorf("ended with %v", err)
	}
	lines := strings.Split(strings.TrimSpace(c.stdout.String()), "\n")
	want := []string{
		"event.linked  CUSTOMER c1  Signed\uFFFD[31m up  +1 related  (msg_1)",
		"conversation.queued  CONVERSATION k1  QUEUED  team sales  (msg_1, time 2)",
		`queue.formed  {"team":"sales","size":4}  (msg_2)`,
	}
	for n, line := range lines {
		if n >= len(want) || !strings.HasSuffix(line, want[n]) {
			t.Errorf("line %d is %q", n, line)
		}
	}
	if len(lines) != len(want) || len(i.removed) != 1 {
		t.Errorf("printed %d lines; removed %v", len(lines), i.removed)
	}
	if got := c.stderr.String(); !strings.Contains(got, "received 3 deliveries, 1 of them repeats; answered 3 with success\n") {
		t.Errorf("summary: %s", got)
	}
}

func TestWhatIsNotSignedAsItIsIsRefusedAndNotPrinted(t *testing.T) {
	t.Parallel()
	c := newInstallation(t).listen(Config{})
	for name, change := range map[string]func(h http.Header, body string) string{
		"another body":      func(_ http.Header, body string) string { return body + " " },
		"another id":        func(h http.Header, body string) string { h.Set("webhook-id", "msg_2"); return body },
		"another time":      func(h http.Header, body string) string { h.Set("webhook-timestamp", "1"); return body },
		"no signature":      func(h http.Header, body string) string { h.Del("webhook-signature"); return body },
		"another signature": func(h http.Header, body string) string { h.Set("webhook-signature", "v1,AAAA"); return body },
	} {
		if status := c.post("msg_1", linked, change); status != http.StatusUnauthorized {
			t.Errorf("%s: answered %d", name, status)
		}
	}
	c.stop()
	if err := c.end(); err != nil || c.stdout.String() != "" {
		t.Errorf("ended with %v, printed %s", err, c.stdout)
	}
	if got := c.stderr.String(); !strings.Contains(got, "received 0 deliveries") || !strings.Contains(got, "5 refused for their signature") {
		t.Errorf("summary: %s", got)
	}
}

func TestItMisbehavesAsAsked(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		cfg    Config
		status int
		want   string
	}{
		"it fails with a status":    {Config{Fail: 503, JSON: true}, 503, `"answer":503`},
		"it fails by a rate":        {Config{FailRate: 1}, 500, ", answered 500)"},
		"it drops":                  {Config{Drop: 1}, 0, ", dropped)"},
		"it answers after a while":  {Config{Delay: 50 * time.Millisecond, JSON: true}, 200, `"times":1,"answer":200,"body":{"type":"event.linked"`},
		"it does so by no accident": {Config{Fail: 410, FailRate: 1e-12}, 200, "(msg_1)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.Count = 1
			c := newInstallation(t).listen(tt.cfg)
			began := time.Now()
			if status := c.post("msg_1", linked, nil); status != tt.status {
				t.Errorf("answered %d", status)
			}
			if took := time.Since(began); took < tt.cfg.Delay {
				t.Errorf("it answered after %s", took)
			}
			if err := c.end(); err != nil || !strings.Contains(c.stdout.String(), tt.want) {
				t.Errorf("ended with %v, printed %s", err, c.stdout)
			}
		})
	}
}

func TestItSaysWhenTheEndpointCouldNotBeRemoved(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.broken = true
	c := i.listen(Config{Events: []string{"event.linked"}})
	c.stop()
	if err := c.end(); err == nil || !strings.Contains(err.Error(), "DELETE /v1/webhook-endpoints/listen-") {
		t.Errorf("ended with %v", err)
	}
}

func TestWhatCannotBeIsRefusedBeforeAnythingIsDone(t *testing.T) {
	t.Parallel()
	good := Config{URL: "http://127.0.0.1:1", Key: "key", Listen: "127.0.0.1:0"}
	for want, change := range map[string]func(*Config){
		"API key":      func(c *Config) { c.Key = "" },
		"--fail ":      func(c *Config) { c.Fail = 200 },
		"--fail-rate":  func(c *Config) { c.FailRate = 1.1 },
		"--drop":       func(c *Config) { c.Drop = -1 },
		"--delay":      func(c *Config) { c.Delay = time.Hour },
		"--count":      func(c *Config) { c.Count = -1 },
		"--events":     func(c *Config) { c.Events = []string{"nothing"} },
		"--public-url": func(c *Config) { c.PublicURL = "example.com" },
	} {
		cfg := good
		change(&cfg)
		if err := Run(t.Context(), cfg, Deps{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
