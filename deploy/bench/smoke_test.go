package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/schematest"
)

// TestMain makes this program the servers that are measured, as the command is.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		if err := Serve(context.Background(), os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(schematest.Main(m))
}

// TestEveryPartMeasuresSomething runs the parts for a moment, so that they do not rot. It looks at no time: the machine
// that it runs on is busy.
func TestEveryPartMeasuresSomething(t *testing.T) {
	t.Parallel()
	schematest.ClickHouse(t)
	progress := new(bytes.Buffer)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(progress)
		}
	})
	quiet := slog.New(slog.DiscardHandler)
	sum := newSummary()
	err := measureSystem(t.Context(), SystemConfig{Events: 3000, Time: time.Second, Kafka: "embedded"}, sum, progress, quiet)
	err = errors.Join(err, measurePages(t.Context(), PagesConfig{Size: []int{10_000, 20_000}, Pages: 10, Kafka: "embedded"}, sum, progress, quiet))
	err = errors.Join(err, measureConversations(t.Context(),
		ConversationsConfig{Transitions: 2000, Rate: 5, Time: time.Second, Kafka: "embedded"}, sum, progress, quiet))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "bench.json")
	var table strings.Builder
	if err := sum.finish(file, io.MultiWriter(&table, progress)); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); err != nil || !bytes.Contains(text, []byte(`"measures"`)) {
		t.Errorf("the file has no figures: %v", err)
	}
	for _, part := range []string{"edge", "link", "projector", "rebuild", "end to end", "freshness", "query", "conversations"} {
		if !slices.ContainsFunc(sum.Measures, func(m Measure) bool { return m.Part == part }) || !strings.Contains(table.String(), part) {
			t.Errorf("nothing is said about %s", part)
		}
	}
	for _, m := range sum.Measures {
		if v := m.judged(); !(v > 0) || math.IsInf(v, 0) || m.Ours <= 0 || m.By != "" && m.Limit <= 0 {
			t.Errorf("%s, %s: %v beside %v says nothing", m.Part, m.Name, m.Ours, m.Limit)
		}
	}
	for _, u := range sum.Processes {
		if u.CPU <= 0 || u.Resident == 0 {
			t.Errorf("%s used %v and %d bytes, which cannot be", u.Process, u.CPU, u.Resident)
		}
	}
}

func TestAnAimIsReachedOrMissedByADistance(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		m    Measure
		want string
	}{
		"no aim":                    {Measure{Ours: 1, Limit: 2}, ""},
		"a share that is reached":   {Measure{Ours: 8, Limit: 10, Aim: 0.7}, "at least 0.7: reached"},
		"a share that is missed":    {Measure{Ours: 5, Limit: 10, Aim: 0.7}, "at least 0.7: missed by 0.20"},
		"a multiple that is missed": {Measure{Ours: 25, Limit: 10, Aim: 2, AtMost: true}, "at most 2: missed by 0.50"},
		"a time without a limit":    {Measure{Ours: 250, Aim: 300, AtMost: true}, "at most 300: reached"},
	} {
		if got := c.m.verdict(); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
