package send

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestARunThatWasCutOffIsGoneOnWith(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.before = func(request int, w http.ResponseWriter, _ []row) bool {
		if request > 20 {
			w.WriteHeader(http.StatusUnauthorized)
		}
		return request > 20
	}
	e.item = func(_ int, r row) int {
		if strings.HasSuffix(r.Name, "5") {
			return http.StatusUnprocessableEntity
		}
		return 0
	}
	cfg := e.config(events(400))
	_, err := runWith(t.Context(), cfg, Deps{Stdout: io.Discard, Stderr: io.Discard}, small())
	if err == nil || !strings.Contains(err.Error(), "401 Unauthorized") || !strings.Contains(err.Error(), "the same command goes on") {
		t.Fatalf("got %v", err)
	}
	noted, err := loadState(cfg.Files[0] + stateSuffix)
	if err != nil || noted == nil || noted.Complete || noted.Sent.Line == 0 || noted.Sent.Line == 400 {
		t.Fatalf("noted is %+v, %v", noted, err)
	}

	_, before := e.counts()
	e.takeAll()
	totals, out := mustSend(t, cfg, small())
	if diff := cmp.Diff(Totals{Accepted: 360, Refused: 40}, totals); diff != "" {
		t.Error(diff)
	}
	wantOnce(t, e, 360)
	requests, lines := e.counts()
	if again := lines - before; again >= 360 {
		t.Errorf("the second run sent %d lines: it began anew", again)
	}
	if !strings.Contains(out, fmt.Sprintf("going on after line %d", noted.Sent.Line)) {
		t.Errorf("it says\n%s", out)
	}
	refused := refusedLines(t, cfg)
	if !slices.IsSortedFunc(refused, func(a, b refusal) int { return int(a.Line - b.Line) }) || len(refused) != 40 {
		t.Errorf("the file has %d refusals", len(refused))
	}

	// Once all is sent, the same command sends nothing, and says again how it went.
	totals, out = mustSend(t, cfg, small())
	if now, _ := e.counts(); now != requests || totals.Refused != 40 || !strings.Contains(out, "360 events accepted, 40 refused") {
		t.Errorf("not %d requests, %v\n%s", requests, totals, out)
	}
	// Unless it is told to; then the ids are the same as before.
	cfg.Restart = true
	mustSend(t, cfg, small())
	wantOnce(t, e, 360)
	if len(refusedLines(t, cfg)) != 40 {
		t.Error("refusals of two runs are in the file")
	}
}

// What a kill leaves behind is the last state, and refusals that it does not count yet.
func TestAKillLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.item = func(_ int, r row) int {
		if strings.HasSuffix(r.Name, "9") {
			return http.StatusNotFound
		}
		return 0
	}
	cfg := e.config(events(200))
	states := 0
	l := small()
	path := cfg.Files[0]
	e.after = func(int) {
		// Keep the state of some moment, as a kill would.
		e.mu.Lock()
		defer e.mu.Unlock()
		if s, err := loadState(path + stateSuffix); err == nil && s != nil && s.Sent.Line > 50 && states == 0 {
			states++
			if err := s.save(path + ".kept"); err != nil {
				t.Error(err)
			}
		}
	}
	mustSend(t, cfg, l)
	if states == 0 {
		t.Fatal("the run was over before its state was seen")
	}
	if err := os.Rename(path+".kept", path+stateSuffix); err != nil {
		t.Fatal(err)
	}
	kept, err := loadState(path + stateSuffix)
	if err != nil {
		t.Fatal(err)
	}
	e.acceptAll() // what was refused after that moment is accepted now
	totals, _ := mustSend(t, cfg, l)
	if diff := cmp.Diff(Totals{Accepted: 200 - kept.Refused, Refused: kept.Refused}, totals); diff != "" {
		t.Error(diff)
	}
	if n := len(e.names()); n != int(200-kept.Refused) {
		t.Errorf("%d lines arrived, want %d", n, 200-kept.Refused)
	}
	var lines, want []int64
	for _, r := range refusedLines(t, cfg) {
		lines = append(lines, r.Line)
	}
	for n := range kept.Refused {
		want = append(want, 10*(n+1))
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("refused lines (-want +got):\n%s", diff)
	}
}

func TestARestartIsNotedBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	cfg := e.config(eventLine("c1", 0))
	mustSend(t, cfg, small())
	e.before = func(_ int, w http.ResponseWriter, _ []row) bool {
		w.WriteHeader(http.StatusForbidden)
		return true
	}
	cfg.Restart = true
	if _, err := runWith(t.Context(), cfg, Deps{Stdout: io.Discard, Stderr: io.Discard}, small()); err == nil {
		t.Fatal("the server refused, and that is no error")
	}
	// Without the flag the file must not count as sent because it once was.
	e.acceptAll()
	cfg.Restart = false
	_, sent := e.counts()
	mustSend(t, cfg, small())
	if _, now := e.counts(); now != sent+1 {
		t.Error("the file was taken for sent")
	}
}

func TestAnInterruptedRunSaysHowToGoOnAndKeepsWhatIsAnswered(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	ctx, interrupt := context.WithCancel(t.Context())
	e.after = func(request int) {
		if request == 3 {
			interrupt() // while this batch waits for its answer
		}
	}
	cfg := e.config(events(100))
	cfg.Parallel = 1
	totals, err := runWith(ctx, cfg, Deps{Stdout: io.Discard, Stderr: io.Discard}, small())
	if !errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "up to line 30 was sent") {
		t.Errorf("got %v", err)
	}
	if totals.Accepted != 30 || e.requests != 3 {
		t.Errorf("%d accepted in %d requests, want 30 in 3", totals.Accepted, e.requests)
	}
	mustSend(t, cfg, small())
	wantOnce(t, e, 100)
	if e.lines != 100 {
		t.Errorf("%d lines were sent, want 100", e.lines)
	}
}

func TestFilesThatWereSentAreLeftOutOfALaterRun(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	one, two := e.config(events(30)), e.config(events(20))
	mustSend(t, one, small())
	one.Files = append(one.Files, two.Files...)
	totals, _ := mustSend(t, one, small())
	if totals.Accepted != 50 || e.lines != 50 {
		t.Errorf("%d accepted, %d sent, want 50 and 50", totals.Accepted, e.lines)
	}
}

func TestAStateIsOfOneFileKindAndServer(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	base := state{
		Version: stateVersion, Kind: "events", URL: "http://a/", Sent: mark{Offset: 5, Line: 2, Items: 2},
		File: fingerprint{Size: 10, ModifiedAt: at, Head: "h"},
	}
	with := func(change func(*state)) *state {
		s := base
		change(&s)
		return &s
	}
	for _, test := range []struct {
		name string
		old  *state
		now  *state
		want string // "old", "fresh", or part of an error
	}{
		{"nothing noted", nil, &base, "fresh"},
		{"the same", &base, with(func(s *state) { s.Sent = mark{} }), "old"},
		{"another kind", &base, with(func(s *state) { s.Kind = "objects" }), "begun as events"},
		{"another server", &base, with(func(s *state) { s.URL = "http://b/" }), "sent to http://a/"},
		{"grown", &base, with(func(s *state) { s.File.Size++ }), "has changed"},
		{"touched", &base, with(func(s *state) { s.File.ModifiedAt = at.Add(1) }), "has changed"},
		{"another file", &base, with(func(s *state) { s.File.Head = "i" }), "has changed"},
		{"another file after it was sent", with(func(s *state) { s.Complete = true }), with(func(s *state) { s.File.Head = "i" }), "fresh"},
		{"grown after it was sent", with(func(s *state) { s.Complete = true }), with(func(s *state) { s.File.Size++ }), "has changed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := test.old.resume(test.now)
			switch {
			case test.want == "old" && (err != nil || got != test.old),
				test.want == "fresh" && (err != nil || got != test.now):
				t.Errorf("got %v, %v, want the %s one", got, err, test.want)
			case test.want != "old" && test.want != "fresh" && (err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "--restart")):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestAStateThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	cfg := e.config(events(1))
	for _, text := range []string{"", "{", `{"version":99}`, `{"version":1,"sent":{"offset":7},"file":{"size":6}}`} {
		if err := os.WriteFile(cfg.Files[0]+stateSuffix, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := runWith(t.Context(), cfg, Deps{Stderr: io.Discard}, small())
		if err == nil || !strings.Contains(err.Error(), "--restart") {
			t.Errorf("%q: got %v", text, err)
		}
	}
	if e.requests != 0 {
		t.Error("something was sent")
	}
}
