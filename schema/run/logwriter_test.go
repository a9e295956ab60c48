package run_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throughline/throughline/schema/run"
)

// writes keeps each call apart.
type writes struct {
	mu    sync.Mutex
	calls []string
	err   error
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, string(p))
	return len(p), w.err
}

// taken gives the calls so far, and forgets them.
func (w *writes) taken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := w.calls
	w.calls = nil
	return calls
}

func TestLogLinesWaitForOthersButNotForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out writes
		log := slog.New(slog.NewTextHandler(run.NewLogWriter(&out), nil))
		for range 2 {
			log.InfoContext(t.Context(), "one")
			log.InfoContext(t.Context(), "two")
			synctest.Wait()
			if calls := out.taken(); len(calls) != 0 {
				t.Fatalf("written at once: %q", calls)
			}
			<-time.After(time.Second)
			synctest.Wait()
			if calls := out.taken(); len(calls) != 1 || strings.Count(calls[0], "\n") != 2 {
				t.Fatalf("a second later: %q", calls)
			}
		}
	})
}

func TestAWarningIsWrittenAtOnceBehindTheLinesThatWait(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		log, err := run.NewLogger(run.NewLogWriter(&out), run.LogConfig{Format: format})
		if err != nil {
			t.Fatal(err)
		}
		log = log.With("service", "test").WithGroup("g")
		log.InfoContext(t.Context(), "first")
		if out.Len() != 0 {
			t.Errorf("%s: %s", format, out.String())
		}
		log.WarnContext(t.Context(), "second")
		if first, second := strings.Index(out.String(), "first"), strings.Index(out.String(), "second"); first < 0 || second < first {
			t.Errorf("%s: %s", format, out.String())
		}
	}
}

func TestLogWriterIsBoundedAndKeepsErrors(t *testing.T) {
	t.Parallel()
	var out writes
	w := run.NewLogWriter(&out)
	line := bytes.Repeat([]byte{'x'}, 10<<10)
	for range 10 {
		if _, err := w.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if calls := out.taken(); len(calls) != 1 || len(calls[0]) > 64<<10 {
		t.Errorf("%d calls", len(calls))
	}
	out.err = errors.New("disk full")
	if err := w.Flush(); !errors.Is(err, out.err) {
		t.Errorf("flush: %v", err)
	}
	if _, err := w.Write(line); !errors.Is(err, out.err) {
		t.Errorf("the next line: %v", err)
	}
}
