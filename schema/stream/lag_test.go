package stream

import (
	"testing"
	"time"
)

func TestLagIsAsOldAsTheOldestRecordThatIsNotPassed(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	var h history
	for _, step := range []struct {
		name  string
		after time.Duration
		lag
		want time.Duration
	}{
		{"nothing to do", 0, lag{committed: 10, end: 10}, 0},
		{"records have come", 10 * time.Second, lag{committed: 10, end: 20}, 0},
		{"nobody has read them", 20 * time.Second, lag{committed: 10, end: 20}, 10 * time.Second},
		{"more have come", 30 * time.Second, lag{committed: 10, end: 30}, 20 * time.Second},
		{"one is read", 40 * time.Second, lag{committed: 11, end: 30}, 30 * time.Second},
		{"the first ones are read", 50 * time.Second, lag{committed: 20, end: 30}, 20 * time.Second},
		{"all are read", 60 * time.Second, lag{committed: 30, end: 30}, 0},
		{"the topic was made anew", 70 * time.Second, lag{committed: 0, end: 5}, 0},
		{"and is read by nobody", 80 * time.Second, lag{committed: 0, end: 5}, 10 * time.Second},
	} {
		if got := h.note(start.Add(step.after), step.lag); got != step.want {
			t.Errorf("%s: got %s, want %s", step.name, got, step.want)
		}
	}
}

func TestLagRemembersSinceWhenHoweverLongNobodyReads(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	var h history
	const n = 10 * maxMoves
	for i := range n {
		got := h.note(start.Add(time.Duration(i)*time.Second), lag{end: int64(i + 1)})
		if want := time.Duration(i) * time.Second; got != want {
			t.Fatalf("after %d moves: got %s, want %s", i, got, want)
		}
	}
	if len(h.moves) > maxMoves {
		t.Errorf("%d moves are kept, at most %d may be", len(h.moves), maxMoves)
	}
}
