package send

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wantOnce fails the test unless each of n lines arrived once, in the order of the file within an object.
func wantOnce(t *testing.T, e *edge, n int) {
	t.Helper()
	total := 0
	for object, names := range e.byObject() {
		total += len(names)
		last := -1
		for _, name := range names {
			i, err := strconv.Atoi(name)
			if err != nil || i <= last {
				t.Errorf("object %s got line %s after line %d", object, name, last)
			}
			last = i
		}
	}
	if names := e.names(); total != n || len(slices.Compact(slices.Sorted(slices.Values(names)))) != n {
		t.Errorf("%d lines arrived, want %d", total, n)
	}
}

func TestEveryLineArrivesOnceAndInOrderWhateverGoesWrong(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.before = func(request int, w http.ResponseWriter, _ []row) bool {
		switch request % 9 {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		case 3:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
		return false
	}
	e.after = func(request int) {
		if request%9 == 2 {
			panic(http.ErrAbortHandler) // taken, and the answer is lost
		}
	}
	totals, out := mustSend(t, e.config(events(300)), small())
	if diff := cmp.Diff(Totals{Accepted: 300}, totals); diff != "" {
		t.Error(diff)
	}
	wantOnce(t, e, 300)
	if e.lines == 300 {
		t.Error("no line was sent again, so nothing was tried here")
	}
	if !strings.Contains(out, "300 events accepted") || !strings.Contains(out, " retries") {
		t.Errorf("it says\n%s", out)
	}
}

func TestAnEventWithoutRoomIsSentAgainAndTheOthersAreNot(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.item = func(request int, r row) int {
		if request <= 2 && strings.HasSuffix(r.Name, "3") {
			return http.StatusServiceUnavailable
		}
		return 0
	}
	cfg := e.config(events(10))
	cfg.Parallel = 1
	totals, _ := mustSend(t, cfg, small())
	if totals.Accepted != 10 || e.lines != 10 || e.requests != 3 {
		t.Errorf("%d accepted, %d taken in %d requests", totals.Accepted, e.lines, e.requests)
	}
}

func TestAnObjectIsNeverOverwrittenByAnEarlierLine(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.item = func(request int, r row) int {
		if request == 1 && r.Name == "4" {
			return http.StatusServiceUnavailable
		}
		return 0
	}
	var lines strings.Builder
	for i := range 25 {
		lines.WriteString(eventLine("c1", i))
	}
	cfg := e.config(lines.String())
	cfg.Objects = true
	totals, out := mustSend(t, cfg, small())
	if totals.Accepted != 25 || !strings.Contains(out, "25 objects accepted") {
		t.Errorf("%v\n%s", totals, out)
	}
	// The first batch went up to line 10; from line 5 on it was sent again, so that line 10 is written after line 5.
	var want []string
	for _, i := range []int{0, 1, 2, 3, 5, 6, 7, 8, 9, 4, 5, 6, 7, 8, 9} {
		want = append(want, strconv.Itoa(i))
	}
	if diff := cmp.Diff(want, e.names()[:len(want)]); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if last := e.names()[len(e.names())-1]; last != "24" {
		t.Errorf("the object ends as line %s", last)
	}
}

func TestRefusalsAreKeptInTheOrderOfTheLines(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.item = func(_ int, r row) int {
		if strings.HasSuffix(r.Name, "7") {
			return http.StatusUnprocessableEntity
		}
		return 0
	}
	cfg := e.config("\n{oops\r\n" + events(50) + strings.Repeat("x", 3*maxLine) + "\n\xff\n")
	totals, out := mustSend(t, cfg, small())
	if diff := cmp.Diff(Totals{Accepted: 45, Refused: 8}, totals); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(out, "45 events accepted, 8 refused, which are in "+cfg.Files[0]+refusedSuffix) {
		t.Errorf("it says\n%s", out)
	}
	got := refusedLines(t, cfg)
	var where []string
	for _, r := range got {
		where = append(where, fmt.Sprint(r.Line, " ", r.Status))
	}
	if diff := cmp.Diff([]string{"2 400", "10 422", "20 422", "30 422", "40 422", "50 422", "53 413", "54 400"}, where); diff != "" {
		t.Fatalf("lines (-want +got):\n%s", diff)
	}
	if string(got[0].Item) != `"{oops"` || string(got[1].Item) != strings.TrimSpace(eventLine("c0", 7)) {
		t.Errorf("items are %s and %s", got[0].Item, got[1].Item)
	}
	if got[1].Title != "No" || got[1].Detail != "said no" || len(got[1].Errors) != 1 || got[1].Errors[0].Pointer != "/name" {
		t.Errorf("a refusal is %+v", got[1])
	}
	if !strings.Contains(got[6].Detail, strconv.Itoa(3*maxLine+1)) || len(got[6].Item) > 2*excerpt {
		t.Errorf("a line that is too long is refused with %q and %d bytes", got[6].Detail, len(got[6].Item))
	}
}

func TestPatienceEndsWithAHint(t *testing.T) {
	t.Parallel()
	for name, item := range map[string]bool{"a server that is away": false, "items without room": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t)
			e.before = func(_ int, w http.ResponseWriter, _ []row) bool {
				if !item {
					w.WriteHeader(http.StatusBadGateway)
				}
				return !item
			}
			e.item = func(int, row) int { return http.StatusServiceUnavailable }
			cfg := e.config(events(5))
			cfg.Patience = 200 * time.Millisecond
			_, err := runWith(t.Context(), cfg, Deps{Stdout: io.Discard, Stderr: io.Discard}, small())
			if err == nil || !strings.Contains(err.Error(), "gave up after 200ms") || !strings.Contains(err.Error(), "50") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhatAProxyFindsTooLargeIsSentInPieces(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.before = func(_ int, w http.ResponseWriter, items []row) bool {
		large := len(items) > 3 || slices.ContainsFunc(items, func(r row) bool { return r.Name == "13" })
		if large {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
		return large
	}
	cfg := e.config(events(20))
	cfg.Parallel = 1
	totals, _ := mustSend(t, cfg, small())
	if diff := cmp.Diff(Totals{Accepted: 19, Refused: 1}, totals); diff != "" {
		t.Error(diff)
	}
	if got := refusedLines(t, cfg); got[0].Line != 14 || got[0].Status != 413 {
		t.Errorf("refused is %+v", got)
	}
}

func TestAPipeIsSentAsItComes(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	arrived := make(chan struct{}, 1)
	e.after = func(int) { arrived <- struct{}{} }
	cfg := e.config("")
	cfg.Files, cfg.Refused = []string{Stdin}, cfg.Files[0]+refusedSuffix
	read, write := io.Pipe()
	go func() {
		for i := range 3 {
			_, _ = io.WriteString(write, eventLine("c1", i))
			<-arrived // or the test hangs: a line must not wait for the end of the input
		}
		_ = write.Close()
	}()
	var positions, out bytes.Buffer
	cfg.PrintPosition = true
	totals, err := runWith(t.Context(), cfg, Deps{Stdin: read, Stdout: &positions, Stderr: &out}, small())
	if err != nil || totals.Accepted != 3 {
		t.Fatalf("%v, %v", totals, err)
	}
	if positions.String() != "p1\np2\np3\n" {
		t.Errorf("positions are %q", positions.String())
	}
	if !strings.Contains(out.String(), "standard input cannot be read again") {
		t.Errorf("it says\n%s", out.String())
	}
	// Another run with the same text is other events.
	_, err = runWith(t.Context(), cfg, Deps{Stdin: strings.NewReader(eventLine("c1", 0)), Stdout: io.Discard, Stderr: io.Discard}, small())
	if err != nil || len(e.names()) != 4 {
		t.Errorf("%v: %d events, want 4", err, len(e.names()))
	}
}

func TestAnAnswerThatIsNotTheBatchsIsNoSuccess(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{}`, `{"accepted":4,"rejected":0}`, `<html>`, `{"accepted":4,"rejected":1,"results":[]}`,
		`{"accepted":4,"rejected":1,"results":[{"index":5,"status":400}]}`,
		`{"accepted":3,"rejected":2,"results":[{"index":1,"status":400},{"index":1,"status":400}]}`,
	} {
		e := newEdge(t)
		e.before = func(_ int, w http.ResponseWriter, _ []row) bool {
			_, _ = io.WriteString(w, body)
			return true
		}
		cfg := e.config(events(5))
		cfg.Parallel = 1
		totals, err := runWith(t.Context(), cfg, Deps{Stdout: io.Discard, Stderr: io.Discard}, small())
		if err == nil || totals.Accepted != 0 {
			t.Errorf("%s: %v, %v", body, totals, err)
		}
	}
}

func TestAWrongCommandLineIsSaidWhole(t *testing.T) {
	t.Parallel()
	good := Config{Files: []string{"a"}, URL: "http://a", Key: "k", Parallel: 1, Patience: 1}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	bad := Config{Files: []string{"a", "a", "-"}, URL: "a", Parallel: 17, State: "s", Refused: "s"}
	err := bad.Validate()
	for _, want := range []string{"not an address", "API key", "17", "0s", "twice", "for one file", "must differ", "standard input"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestProgressSaysHowFarHowFastAndHowLong(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := shown{items: 1000, bytes: 4_000_000, refused: 3}
	p := &progress{label: "in.ndjson", start: now.Add(-2 * time.Second), begun: 1_000_000, size: 9_000_000, counts: func() shown { return c }}
	want := "in.ndjson  55 %  500 lines/s  2.0 MB/s  2s left  3 refused"
	if got := p.line(now); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	p.retried(errors.New("the server answered 503"))
	if got := p.line(now); got != want+"  1 retries  the server answered 503" {
		t.Errorf("got %q", got)
	}
	c.items++ // something moves again
	if got := p.line(now); strings.Contains(got, "503") {
		t.Errorf("got %q", got)
	}
	p.size = 0
	if got := p.line(now); !strings.HasPrefix(got, "in.ndjson  1,001 lines  500 lines/s") {
		t.Errorf("got %q", got)
	}
	if _, err := json.Marshal(refuse(1, []byte("\xff"), 400, nil)); err != nil {
		t.Error(err)
	}
}
