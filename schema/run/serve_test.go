package run_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/throughline/throughline/schema/run"
)

// serve starts a server and returns its address, what stops it, and its end.
func serve(t *testing.T, drain time.Duration, h http.Handler) (addr string, stop func(), end <-chan error) {
	t.Helper()
	l, err := run.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	done := make(chan error, 1)
	s := run.Server{Name: "test", Listener: l, Handler: h, Log: quiet(), DrainTimeout: drain}
	go func() { done <- s.Service().Run(ctx) }()
	return "http://" + l.Addr().String(), cancel, done
}

// get asks in the background: its answer arrives on the channel.
func get(t *testing.T, url string) <-chan string {
	t.Helper()
	answer := make(chan string, 1)
	go func() {
		res, err := http.Get(url)
		if err != nil {
			answer <- "cut off"
			return
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			answer <- "cut off"
			return
		}
		answer <- string(body)
	}()
	return answer
}

func TestServerLetsRequestsInFlightEnd(t *testing.T) {
	t.Parallel()
	began, proceed := make(chan struct{}), make(chan struct{})
	addr, stop, end := serve(t, time.Minute, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-proceed
		if err := r.Context().Err(); err != nil {
			_, _ = io.WriteString(w, err.Error())
			return
		}
		_, _ = io.WriteString(w, "whole")
	}))
	answer := get(t, addr)
	<-began
	stop()
	waitRefused(t, addr)
	close(proceed)
	if got := <-answer; got != "whole" {
		t.Errorf("the request got %q", got)
	}
	if err := <-end; err != nil {
		t.Error(err)
	}
}

// waitRefused polls until the server accepts no connection any more.
func waitRefused(t *testing.T, addr string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(deadline, "tcp", strings.TrimPrefix(addr, "http://"))
		if err != nil && deadline.Err() == nil {
			return
		}
		if err == nil {
			_ = conn.Close()
		}
		select {
		case <-deadline.Done():
			t.Fatal("the server still accepts")
		case <-tick.C:
		}
	}
}

func TestServerTellsStreamsToEnd(t *testing.T) {
	t.Parallel()
	began := make(chan struct{})
	addr, stop, end := serve(t, time.Minute, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-run.Draining(r.Context())
		_, _ = io.WriteString(w, "bye")
	}))
	answer := get(t, addr)
	<-began
	stop()
	if got := <-answer; got != "bye" {
		t.Errorf("the stream got %q", got)
	}
	if err := <-end; err != nil {
		t.Error(err)
	}
}

func TestServerCutsOffWhatOutlivesTheDrain(t *testing.T) {
	t.Parallel()
	began := make(chan struct{})
	addr, stop, end := serve(t, 20*time.Millisecond, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}))
	answer := get(t, addr)
	<-began
	stop()
	if got := <-answer; got != "cut off" {
		t.Errorf("the request got %q", got)
	}
	if err := <-end; err != nil {
		t.Error(err)
	}
}

func TestServerFailsWhereThePortIsTaken(t *testing.T) {
	t.Parallel()
	l, err := run.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	err = run.Server{Name: "test", Addr: l.Addr().String(), Log: quiet()}.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

func TestDrainingIsNilOutsideAServer(t *testing.T) {
	t.Parallel()
	if run.Draining(t.Context()) != nil {
		t.Error("there is no server to drain")
	}
}

func TestReadinessNamesWhatIsNotReady(t *testing.T) {
	t.Parallel()
	ready := run.NewReadiness()
	admin := run.Admin(run.NewRegistry(), ready)
	ask := func(path string) (int, string) {
		rec := httptest.NewRecorder()
		admin.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return rec.Code, rec.Body.String()
	}
	if code, body := ask("/readyz"); code != http.StatusOK {
		t.Errorf("without checks: %d %s", code, body)
	}
	ready.Add("kafka", func(context.Context) error { return nil })
	ready.Add("clickhouse", func(context.Context) error { return errors.New("no answer") })
	code, body := ask("/readyz")
	var got any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"status": "not ready", "checks": map[string]any{"kafka": "ok", "clickhouse": "no answer"}}
	if diff := cmp.Diff(want, got); diff != "" || code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", code, diff)
	}
	if code, _ := ask("/livez"); code != http.StatusOK {
		t.Errorf("alive, but not ready: livez says %d", code)
	}
	ready.Add("clickhouse", func(context.Context) error { return nil })
	if code, body := ask("/readyz"); code != http.StatusOK {
		t.Errorf("a check was not replaced: %d %s", code, body)
	}
	if code, body := ask("/metrics"); code != http.StatusOK || !strings.Contains(body, "throughline_build_info{") {
		t.Errorf("metrics: %d", code)
	}
}

func TestReadinessBoundsAHangingCheck(t *testing.T) {
	t.Parallel()
	ready := run.NewReadiness()
	ready.Add("hangs", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	if err := ready.Check(t.Context())["hangs"]; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestRegistryDescribesTheProcess(t *testing.T) {
	t.Parallel()
	reg := run.NewRegistry()
	for _, name := range []string{"throughline_build_info", "go_goroutines", "process_open_fds"} {
		if n, err := testutil.GatherAndCount(reg, name); err != nil || n != 1 {
			t.Errorf("%s: %d series (%v)", name, n, err)
		}
	}
}

func TestLoggerFormatsAndLevels(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		config run.LogConfig
		want   string
	}{
		"json off a terminal": {run.LogConfig{Level: "info", Format: "auto"}, `"msg":"shown"`},
		"the zero value":      {run.LogConfig{}, `"msg":"shown"`},
		"text when asked for": {run.LogConfig{Level: "INFO", Format: "text"}, "msg=shown"},
		"a higher level":      {run.LogConfig{Level: "warn"}, ""},
	}
	for name, tc := range tests {
		var out bytes.Buffer
		log, err := run.NewLogger(&out, tc.config)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		log.DebugContext(t.Context(), "hidden")
		log.InfoContext(t.Context(), "shown", slog.Time("at", time.Now()))
		if got := out.String(); !strings.Contains(got, tc.want) || (tc.want == "") != (got == "") || strings.Contains(got, "hidden") {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, c := range []run.LogConfig{{Level: "loud"}, {Format: "xml"}} {
		if _, err := run.NewLogger(io.Discard, c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

func TestLoggerWritesTimesInUTC(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		log, err := run.NewLogger(&out, run.LogConfig{Format: format})
		if err != nil {
			t.Fatal(err)
		}
		r := slog.NewRecord(time.Date(2026, 1, 31, 12, 0, 0, 0, time.FixedZone("", 5*3600)), slog.LevelInfo, "shown", 0)
		for name, h := range map[string]slog.Handler{
			"plain": log.Handler(), "with attributes": log.With("a", 1).Handler(), "in a group": log.WithGroup("g").Handler(),
		} {
			out.Reset()
			if err := h.Handle(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), "2026-01-31T07:00:00") || !strings.Contains(out.String(), "Z") {
				t.Errorf("%s, %s: %s", format, name, out.String())
			}
		}
	}
}
