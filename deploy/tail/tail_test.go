package tail

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func wantPrinted(t *testing.T, what string, got, want []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestNewsArePrintedOnceAndInOrder(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.add(time.Hour, numbered("old", 3)...)
	l.add(time.Second, numbered("there", 12)...)
	cfg := l.config()
	cfg.Last = 4
	f, printed := l.follower(t, cfg, small())
	if err := f.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantPrinted(t, "at the start", printed(), []string{"there00008", "there00009", "there00010", "there00011"})

	look := func(sweep bool) []string {
		if err := f.news(t.Context(), sweep); err != nil {
			t.Fatal(err)
		}
		return printed()
	}
	wantPrinted(t, "nothing new", look(false), nil)
	// As many of one millisecond as fill several pages.
	many := numbered("a", 17)
	l.add(0, many...)
	wantPrinted(t, "many at once", look(false), many)
	wantPrinted(t, "nothing new any more", look(true), nil)

	// One that comes in behind the newest page, between those that are known.
	l.add(time.Second/2, "late")
	wantPrinted(t, "a look at what is new", look(false), nil)
	wantPrinted(t, "a look back", look(true), []string{"late"})
	wantPrinted(t, "another look back", look(true), nil)

	// Later than an event may be: what the command promises not to print.
	l.add(2*time.Minute, "too-late")
	wantPrinted(t, "too late", look(true), nil)
}

func TestASlowLookBackDoesNotPutTheNextOneOffForLong(t *testing.T) {
	t.Parallel()
	p := standardPace()
	for took, want := range map[time.Duration]time.Duration{
		0: 5 * time.Second, 2 * time.Second: 5 * time.Second, 6 * time.Second: 12 * time.Second,
	} {
		if got := p.untilSweep(took); got != want {
			t.Errorf("after one of %s the next is due in %s, want %s", took, got, want)
		}
	}
}

func TestMoreThanCanBeHeldIsPrintedInOrder(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	f, printed := l.follower(t, l.config(), small())
	if err := f.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	many := numbered("a", 200)
	for i, id := range many {
		l.add(time.Duration(len(many)-i)*time.Millisecond, id)
	}
	slices.SortFunc(l.rows, stored.compare)
	if err := f.news(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if got := printed(); !slices.Equal(slices.Sorted(slices.Values(got)), many) {
		t.Errorf("%d events were printed, want %d once each", len(got), len(many))
	}
}

func TestWhatIsStoredWhileTheStartIsReadIsNews(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.add(time.Second, numbered("there", 12)...)
	l.before = func(request int, _ http.ResponseWriter, _ *http.Request) bool {
		if request == 2 { // between two pages of the start, onto the second
			now := l.now()
			l.rows = append(l.rows, stored{"meanwhile", now.Add(-30 * time.Second).Truncate(time.Millisecond), now.Add(time.Millisecond)})
		}
		return false
	}
	f, printed := l.follower(t, l.config(), small())
	if err := f.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantPrinted(t, "at the start", printed(), nil)
	if err := f.news(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	wantPrinted(t, "news", printed(), []string{"meanwhile"})
}

func TestAServerThatWasAwayForLongLosesNothing(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	f, printed := l.follower(t, l.config(), small())
	if err := f.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	// An hour passes in which nobody could look.
	l.now = func() time.Time { return time.Now().Add(time.Hour) }
	l.add(50*time.Minute, "first")
	l.add(time.Minute, "second")
	if err := f.news(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	wantPrinted(t, "after an hour", printed(), []string{"first", "second"})
}

func TestNothingIsKeptLongerThanItCanComeBack(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	f, _ := l.follower(t, l.config(), small())
	l.add(0, numbered("a", 30)...)
	if err := f.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(2 * time.Minute)
	l.now = func() time.Time { return later }
	for range 2 {
		if err := f.news(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.seen) != 0 {
		t.Errorf("%d events are remembered", len(f.seen))
	}
}

// syncBuffer may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestEveryEventIsPrintedOnceWhileManyComeInOutOfOrder(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.before = func(request int, w http.ResponseWriter, _ *http.Request) bool {
		if request%13 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return request%13 == 0
	}
	cfg := l.config()
	cfg.JSON = true
	ctx, cancel := context.WithCancel(t.Context())
	var out syncBuffer
	ended := make(chan error, 1)
	go func() { ended <- runWith(ctx, cfg, Deps{Stdout: &out, Stderr: io.Discard}, small()) }()

	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for l.asked() == 0 { // what is there by then is no news
		<-tick.C
	}
	want := numbered("e", 400)
	for i, id := range want {
		l.add(time.Duration(i*i%97)*time.Millisecond, id)
		<-tick.C
	}
	limit := time.After(30 * time.Second)
	for len(ids(t, out.String())) < len(want) {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%d of %d events were printed", len(ids(t, out.String())), len(want))
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Ctrl-C is an error: %v", err)
	}
	wantPrinted(t, "printed", slices.Sorted(slices.Values(ids(t, out.String()))), want)
}

func TestAKeyThatIsNoGoodEndsIt(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.before = func(request int, w http.ResponseWriter, _ *http.Request) bool {
		if request > 1 {
			w.WriteHeader(http.StatusUnauthorized)
		}
		return request > 1
	}
	err := runWith(t.Context(), l.config(), Deps{Stdout: io.Discard, Stderr: io.Discard}, small())
	if err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("got %v", err)
	}
}

func TestTheLastAreForPeopleAndTheFiltersForTheServer(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.add(0, "one", "two", "\x1b[31mred")
	var asked string
	l.before = func(_ int, _ http.ResponseWriter, r *http.Request) bool {
		asked = r.URL.RawQuery
		return false
	}
	cfg := l.config()
	cfg.Follow, cfg.Last = false, 3
	cfg.ObjectTypes, cfg.ObjectIDs, cfg.Names = []string{"customer"}, []string{"a,b", "c"}, []string{"Signed up"}
	var out bytes.Buffer
	if err := runWith(t.Context(), cfg, Deps{Stdout: &out}, small()); err != nil {
		t.Fatal(err)
	}
	if want := "limit=5&name=Signed+up&objectId=a%2Cb&objectId=c&objectType=customer&processingStatus=LINKED"; asked != want {
		t.Errorf("asked for %s, want %s", asked, want)
	}
	received := l.rows[0].received.UTC().Format("2006-01-02T15:04:05.000Z")
	want := fmt.Sprintf("%[1]s  CUSTOMER c  n  (\uFFFD[31mred)\n%[1]s  CUSTOMER c  n  (one)\n%[1]s  CUSTOMER c  n  (two)\n", received)
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAWrongCommandLineIsSaidWhole(t *testing.T) {
	t.Parallel()
	err := Config{URL: "x", ObjectTypes: []string{"THING"}, Last: -1, Late: time.Hour * 25}.Validate()
	for _, want := range []string{"not an address", "API key", "--object-type: unknown", "--last is -1", "--late is 25h"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}
