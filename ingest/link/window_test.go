package link

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/throughline/throughline/ingest/local"
	"github.com/throughline/throughline/schema/object"
)

func openWindow(t *testing.T, dir string, maxEntries int) (*window, func()) {
	t.Helper()
	db, err := local.Open(t.Context(), dir, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := newWindow(db, maxEntries, newMetrics(prometheus.NewRegistry()))
	w.now = func() time.Time { return noon().Add(1000 * time.Hour) }
	c, err := readCheckpoint(db, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.Form = storeForm
	w.own(0, c)
	closed := false
	shut := func() {
		if !closed {
			closed = true
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(shut)
	return w, shut
}

func one(n int) identity {
	return identify("acme", object.Ref{Type: object.Customer, ID: "c1"}, fmt.Sprintf("e%d", n))
}

func add(t *testing.T, w *window, id identity, at time.Time) {
	t.Helper()
	if err := w.add(0, id, seen{at: at, digest: [16]byte{1}}); err != nil {
		t.Fatal(err)
	}
}

func commit(t *testing.T, w *window) {
	t.Helper()
	if err := w.commit(0, func(c *checkpoint) { c.Input++ }); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, w *window, id identity) bool {
	t.Helper()
	_, ok, err := w.find(0, id)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func count(t *testing.T, w *window, space byte) int {
	t.Helper()
	it, err := w.db.NewIter(&pebble.IterOptions{LowerBound: prefix(space, 0), UpperBound: prefix(space, 1)})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for it.First(); it.Valid(); it.Next() {
		n++
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

// whole checks that the two orders of the store and the count agree.
func whole(t *testing.T, w *window, want int) {
	t.Helper()
	entries, times, counted := count(t, w, spaceEntry), count(t, w, spaceTime), w.parts[0].checkpoint.Entries
	if entries != want || times != want || counted != want {
		t.Errorf("got %d entries, %d by time, %d counted, want %d of each", entries, times, counted, want)
	}
}

func TestTheWindowSeesItsOverlayAndForgetsItOnDiscard(t *testing.T) {
	t.Parallel()
	w, _ := openWindow(t, t.TempDir(), 100)
	add(t, w, one(1), noon())
	if !has(t, w, one(1)) {
		t.Error("what was added in this transaction is not seen")
	}
	w.discard()
	if has(t, w, one(1)) {
		t.Error("what was discarded is still seen")
	}
	commit(t, w)
	whole(t, w, 0)
}

func TestTheWindowIsThereAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, shut := openWindow(t, dir, 100)
	add(t, w, one(1), noon())
	commit(t, w)
	add(t, w, one(2), noon()) // never committed
	shut()
	w, _ = openWindow(t, dir, 100)
	if !has(t, w, one(1)) || has(t, w, one(2)) {
		t.Error("the store is not what was committed")
	}
	if got := w.parts[0].checkpoint.Input; got != 1 {
		t.Errorf("checkpoint: got input %d, want 1", got)
	}
	whole(t, w, 1)
}

func TestTheWindowKeepsADayAndNoMore(t *testing.T) {
	t.Parallel()
	w, _ := openWindow(t, t.TempDir(), 100)
	for i := range 30 {
		add(t, w, one(i), noon().Add(time.Duration(i)*time.Hour))
		commit(t, w)
	}
	// The last was received at hour 29: what was received from hour 5 on is within 24 hours.
	for i := range 30 {
		if got, want := has(t, w, one(i)), i >= 5; got != want {
			t.Errorf("hour %d: got %t, want %t", i, got, want)
		}
	}
	whole(t, w, 25)
}

func TestAClockThatIsAheadDoesNotEmptyTheWindow(t *testing.T) {
	t.Parallel()
	w, _ := openWindow(t, t.TempDir(), 100)
	w.now = func() time.Time { return noon().Add(time.Minute) }
	add(t, w, one(1), noon())
	commit(t, w)
	add(t, w, one(2), noon().Add(72*time.Hour))
	commit(t, w)
	if !has(t, w, one(1)) {
		t.Error("one record of the future emptied the window")
	}
	whole(t, w, 2)
}

func TestTheWindowIsBoundedByCount(t *testing.T) {
	t.Parallel()
	w, _ := openWindow(t, t.TempDir(), 10)
	for i := range 30 {
		add(t, w, one(i), noon().Add(time.Duration(i)*time.Minute))
		if i%3 == 2 {
			commit(t, w)
		}
	}
	for i := range 30 {
		if got, want := has(t, w, one(i)), i >= 20; got != want {
			t.Errorf("minute %d: got %t, want %t", i, got, want)
		}
	}
	whole(t, w, 10)
}

func TestTheMetricSaysHowLongTheWindowReallyIs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, shut := openWindow(t, dir, 10)
	reaches := func(want time.Duration) {
		t.Helper()
		if got := testutil.ToFloat64(w.metrics.span.WithLabelValues("0")); got != want.Seconds() {
			t.Errorf("effective window: got %v s, want %v s", got, want.Seconds())
		}
	}
	at := func(minutes int) time.Time { return noon().Add(time.Duration(minutes) * time.Minute) }
	for i := range 10 {
		add(t, w, one(i), at(i))
	}
	commit(t, w)
	reaches(Window) // full, and nothing was forgotten
	for i := 10; i < 13; i++ {
		add(t, w, one(i), at(i))
	}
	commit(t, w)
	reaches(8 * time.Minute) // from minute 10 to minute 2, which was forgotten last
	w.observe(0, at(20))     // a repeat takes no place
	commit(t, w)
	reaches(18 * time.Minute)
	commit(t, w) // nothing was received
	reaches(18 * time.Minute)
	shut()
	w, _ = openWindow(t, dir, 10)
	w.observe(0, at(30))
	commit(t, w)
	reaches(28 * time.Minute)
	w.observe(0, at(3*24*60))
	commit(t, w)
	reaches(Window)
}

func TestALaterEventOfTheSameIDReplacesTheFirst(t *testing.T) {
	t.Parallel()
	w, _ := openWindow(t, t.TempDir(), 100)
	add(t, w, one(1), noon())
	commit(t, w)
	add(t, w, one(1), noon().Add(25*time.Hour))
	add(t, w, one(1), noon().Add(26*time.Hour))
	commit(t, w)
	whole(t, w, 1)
	if s, _, err := w.find(0, one(1)); err != nil || !s.at.Equal(noon().Add(26*time.Hour)) {
		t.Errorf("got %v, %v", s, err)
	}
}

func TestARepeatIsCoveredForADay(t *testing.T) {
	t.Parallel()
	s := seen{at: noon()}
	for after, want := range map[time.Duration]bool{
		0: true, time.Hour: true, Window: true, Window + time.Millisecond: false, -time.Hour: true,
	} {
		if got := s.covers(noon().Add(after)); got != want {
			t.Errorf("%s after: got %t, want %t", after, got, want)
		}
	}
}

func TestPartitionsDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	w, _ := openWindow(t, t.TempDir(), 100)
	w.own(1, checkpoint{Form: storeForm})
	add(t, w, one(1), noon())
	commit(t, w)
	if _, ok, err := w.find(1, one(1)); ok || err != nil {
		t.Errorf("partition 1 sees partition 0's entry, %v", err)
	}
	if err := begin(w.db, 1, checkpoint{Form: storeForm}); err != nil {
		t.Fatal(err)
	}
	whole(t, w, 1)
	if err := begin(w.db, 0, checkpoint{Form: storeForm}); err != nil {
		t.Fatal(err)
	}
	if has(t, w, one(1)) {
		t.Error("a window that began anew has an old entry")
	}
}

func TestIdentitiesKeepTheirPartsApart(t *testing.T) {
	t.Parallel()
	ref := func(t object.Type, id string) object.Ref { return object.Ref{Type: t, ID: id} }
	base := identify("w", ref("T", "ab"), "c")
	for name, other := range map[string]identity{
		"shifted":           identify("w", ref("T", "a"), "bc"),
		"another workspace": identify("x", ref("T", "ab"), "c"),
		"another type":      identify("w", ref("U", "ab"), "c"),
	} {
		if other == base {
			t.Errorf("%s: the same identity", name)
		}
	}
}

// TestTheWindowChangesItsEntriesAndItsCheckpointInOneWrite looks at the store all the while it is written. What a reader can
// see between two writes is what a kill can leave, and kills seldom come just there.
func TestTheWindowChangesItsEntriesAndItsCheckpointInOneWrite(t *testing.T) {
	t.Parallel()
	const commits = 3000
	w, _ := openWindow(t, t.TempDir(), 2*commits)
	write := func(n int) error {
		return errors.Join(w.add(0, one(n), seen{at: noon()}), w.commit(0, func(c *checkpoint) { c.Input++ }))
	}
	if err := write(0); err != nil {
		t.Fatal(err)
	}
	written, stop := make(chan error, 1), make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		var err error
		for n := 1; n < commits && err == nil; n++ {
			select {
			case <-stop:
				return
			default:
				err = write(n)
			}
		}
		written <- err
	})
	defer writer.Wait()
	defer close(stop)
	views := 0
	for done := false; !done; views++ {
		select {
		case err := <-written:
			if done = true; err != nil {
				t.Fatal(err)
			}
		default:
		}
		snapshot := w.db.NewSnapshot()
		value, closer, err := snapshot.Get(prefix(spaceCheckpoint, 0))
		if err != nil {
			t.Fatal(err)
		}
		var c checkpoint
		if err := errors.Join(json.Unmarshal(value, &c), closer.Close()); err != nil {
			t.Fatal(err)
		}
		for n, want := range map[int]bool{int(c.Input) - 1: true, int(c.Input): false} {
			_, closer, err := snapshot.Get(entryKey(0, one(n)))
			if err == nil {
				err = closer.Close()
			}
			if (err == nil) != want {
				t.Fatalf("a reader sees a checkpoint of %d submissions; the entry of number %d is there: %t", c.Input, n, !want)
			}
		}
		if err := snapshot.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if views < 100 {
		t.Errorf("the store was seen %d times only: this run proves nothing", views)
	}
}

func TestAnAbortedBatchLeavesNothingInTheWindow(t *testing.T) {
	t.Parallel()
	w, _ := openWindow(t, t.TempDir(), 10)
	h := &handler{window: w}
	add(t, w, one(1), noon())
	h.Discard()
	if has(t, w, one(1)) {
		t.Error("an event of a batch that was aborted is taken for a repeat")
	}
	commit(t, w)
	if n := count(t, w, spaceEntry); n != 0 {
		t.Errorf("the next commit writes %d entries of it", n)
	}
}
