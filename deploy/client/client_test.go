package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throughline/throughline/deploy/client"
)

// open makes a client of a server that a handler is.
func open(t *testing.T, cfg client.Config, handler http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	cfg.URL, cfg.Key = server.URL, "secret"
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestARequestIsRepeatedWholeUntilItIsAnswered(t *testing.T) {
	t.Parallel()
	var calls, retries atomic.Int32
	c := open(t, client.Config{OnRetry: func(error) { retries.Add(1) }}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) != `{"a":1}` || r.Header.Get("Authorization") != "Bearer secret" || r.URL.Path != "/v1/x" {
			t.Errorf("an attempt is %s %s", r.URL.Path, body)
		}
		switch calls.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			panic(http.ErrAbortHandler) // the connection breaks
		case 3:
			w.WriteHeader(http.StatusTooManyRequests)
		default:
			_, _ = io.WriteString(w, `{"b":2}`)
		}
	})
	var answer struct{ B int }
	if err := c.JSON(t.Context(), http.MethodPost, "v1/x", map[string]int{"a": 1}, &answer); err != nil || answer.B != 2 {
		t.Errorf("got %v, %v", answer, err)
	}
	if calls.Load() != 4 || retries.Load() != 3 {
		t.Errorf("%d attempts, %d repeats", calls.Load(), retries.Load())
	}
}

func TestTheServerSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	c := open(t, client.Config{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		if calls.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	began := time.Now()
	answer, err := c.Do(t.Context(), client.Request{Method: http.MethodGet})
	if err != nil || answer.RetryAfter != time.Second {
		t.Fatalf("got %v, %v", answer, err)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("came back after %s", took)
	}
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	c := open(t, client.Config{Patience: 5 * time.Second}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	began := time.Now()
	_, err := c.Do(t.Context(), client.Request{Method: http.MethodGet})
	status, ok := errors.AsType[*client.StatusError](err)
	if !ok || status.Code != http.StatusServiceUnavailable || !strings.Contains(err.Error(), "gave up") {
		t.Errorf("got %v", err)
	}
	// What cannot succeed in time is not waited for.
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("gave up after %s", took)
	}
}

func TestARefusalForGoodIsNotRepeatedAndSaysWhy(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		code int
		body string
		want string
	}{
		{http.StatusForbidden, `{"title":"Forbidden","detail":"the key lacks read"}`, "403 Forbidden: the key lacks read"},
		{http.StatusNotFound, `<html>`, "404 Not Found"},
		{http.StatusMovedPermanently, ``, "301 Moved Permanently: it is now at https://elsewhere/"},
	} {
		var calls atomic.Int32
		c := open(t, client.Config{}, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			if test.code == http.StatusMovedPermanently {
				w.Header().Set("Location", "https://elsewhere/")
			}
			w.WriteHeader(test.code)
			_, _ = io.WriteString(w, test.body)
		})
		_, err := c.Do(t.Context(), client.Request{Method: http.MethodGet})
		if err == nil || !strings.HasSuffix(err.Error(), test.want) || calls.Load() != 1 {
			t.Errorf("%d: got %v after %d attempts", test.code, err, calls.Load())
		}
	}
}

func TestACancelledRequestEndsWithTheCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	c := open(t, client.Config{}, func(w http.ResponseWriter, _ *http.Request) {
		cancel(cause)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	if _, err := c.Do(ctx, client.Request{Method: http.MethodGet}); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}

func TestAnAddressOrKeyThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []client.Config{
		{URL: "127.0.0.1:8080", Key: "k"}, {URL: "ftp://x", Key: "k"}, {URL: "http://x"}, {URL: ":", Key: "k"},
	} {
		if _, err := client.New(c); err == nil {
			t.Errorf("%q with key %q was accepted", c.URL, c.Key)
		}
	}
}
