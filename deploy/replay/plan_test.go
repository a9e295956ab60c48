package replay

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTodayHasTheTimesOfTheDayAndIdsOfItsOwn(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	check(t, err)
	// The last day of the trace comes to lie on the one on which the clocks are put forward from 2 to 3.
	local := func(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, berlin) }
	calls := []Call{
		{ID: "990202-AA-2", Opened: time.Date(1999, 2, 2, 1, 59, 0, 0, berlin), Closed: time.Date(1999, 2, 2, 3, 1, 0, 0, berlin)},
		{ID: "990201-AA-1", Opened: time.Date(1999, 2, 1, 8, 0, 0, 0, berlin), Queued: time.Date(1999, 2, 1, 8, 1, 0, 0, berlin), Closed: time.Date(1999, 2, 1, 8, 2, 0, 0, berlin)},
		// The first of its times is not on the clock of that day, and Go takes it for an hour later.
		{ID: "990202-AA-3", Opened: time.Date(1999, 2, 2, 2, 30, 0, 0, berlin), Closed: time.Date(1999, 2, 2, 3, 10, 0, 0, berlin)},
	}
	// In Berlin it is the 29th already.
	moveToToday(calls, time.Date(2026, 3, 28, 23, 30, 0, 0, time.UTC), berlin)
	want := []Call{
		{ID: "260329-AA-2", Opened: local(29, 1, 59), Closed: local(29, 3, 1)},
		{ID: "260328-AA-1", Opened: local(28, 8, 0), Queued: local(28, 8, 1), Closed: local(28, 8, 2)},
		{ID: "260329-AA-3", Opened: local(29, 3, 30), Closed: local(29, 3, 30)},
	}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// TestWhatHasHappenedGoesAtOnceAndTheRestInItsTime plays ten calls from the middle of the third on, sixty times as fast.
func TestWhatHasHappenedGoesAtOnceAndTheRestInItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		talks := talksOf(callsOf(10))
		now := at("08:02:30")
		p := planOf(talks, now)
		start := time.Now()
		timing := &timing{real: start, trace: now, speed: 60}
		d := &dealer{queues: []chan []*step{make(chan []*step)}, filling: make([]filling, 1)}
		ended := make(chan error, 1)
		go func() { ended <- d.deal(t.Context(), p, timing) }()
		sent := 0
		for steps := range d.queues[0] {
			waited := time.Since(start)
			for _, s := range steps {
				sent++
				if s.OccurredAt.After(now) != (sent > p.atOnce) {
					t.Errorf("step %d is of %s", sent, s.OccurredAt)
				}
				want := max(0, s.OccurredAt.Sub(now)/60)
				if waited != want {
					t.Errorf("%s of %s was sent after %s, want %s", s.Type, s.ConversationID, waited, want)
				}
			}
		}
		if err := <-ended; err != nil || sent != 40 {
			t.Errorf("%d steps, %v", sent, err)
		}
	})
}

// TestABatchHasManyConversationsToTakeAStepFrom counts the batches of what goes at once.
func TestABatchHasManyConversationsToTakeAStepFrom(t *testing.T) {
	t.Parallel()
	const calls = wave + 100
	p := planOf(talksOf(callsOf(calls)), at("23:00:00").AddDate(1, 0, 0))
	d := &dealer{queues: []chan []*step{make(chan []*step, 1000)}, filling: make([]filling, 1)}
	check(t, d.deal(t.Context(), p, nil))
	var sizes []int
	for steps := range d.queues[0] {
		sizes = append(sizes, len(steps))
	}
	want := slices.Concat(slices.Repeat([]int{batchItems}, 4*wave/batchItems), slices.Repeat([]int{100}, 4))
	if diff := cmp.Diff(want, sizes); diff != "" {
		t.Errorf("sizes of batches (-want +got):\n%s", diff)
	}
}

func TestProgressSaysHowFarAndWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	start := at("08:00:00")
	c := &count{out: &out, start: start, total: 4000}
	for range 1000 {
		c.accept(true)
	}
	want := "1,000 of 4,000 transitions (25 %), 500 a second, 6s left"
	if got := c.line(start.Add(2 * time.Second)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c.retry(errInterrupted)
	if got := c.line(start.Add(2 * time.Second)); !strings.HasSuffix(got, "1 retries, "+errInterrupted.Error()) {
		t.Errorf("got %q", got)
	}
	c.timing, c.end = &timing{real: start, trace: at("10:00:00"), speed: 60}, at("12:00:00")
	c.accept(false)
	want = "1,001 of 4,000 transitions (25 %), the trace is at 1999-02-01 11:00:00, 1m0s left, 1 retries"
	if got := c.line(start.Add(time.Minute)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := c.line(start.Add(time.Hour)); !strings.Contains(got, "the trace is at 1999-02-01 12:00:00, 1 retries") {
		t.Errorf("behind its end: %q", got)
	}
	for range 12 {
		c.refuse("it")
	}
	want = "1,013 transitions in 60.0 s (16 a second): 1,001 accepted (1 of them known before), 12 refused, 0 left out after those"
	if got := c.last(start.Add(time.Minute)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := c.refusals(); strings.Count(got, "refused: it\n") != 10 || !strings.HasSuffix(got, "  and 2 more\n") {
		t.Errorf("got %q", got)
	}
}
