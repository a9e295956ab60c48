package replay

import (
	"cmp"
	"slices"
	"time"
)

// wave is how many conversations move on together where nothing waits for its time: enough to fill the batches of all
// workers, and few enough that most conversations are over while others have not begun.
const wave = 4 * batchItems

// plan is every step in the order in which it is sent. The first of them have happened and go at once; the others wait
// for their time.
type plan struct {
	steps  []*step
	atOnce int
}

// planOf orders the steps of conversations. What has happened by until goes first.
//
// Of the steps that go at once, the first of a wave of conversations come before their second ones: a step must wait for
// the answer to the one before it, and a batch has many conversations to take one from.
func planOf(talks []talk, until time.Time) plan {
	var p plan
	for part := range slices.Chunk(talks, wave) {
		for n, more := 0, true; more; n++ {
			more = false
			for _, t := range part {
				if n < len(t) && !t[n].OccurredAt.After(until) {
					p.steps = append(p.steps, &t[n])
					more = true
				}
			}
		}
	}
	p.atOnce = len(p.steps)
	for _, t := range talks {
		for n := range t {
			if t[n].OccurredAt.After(until) {
				p.steps = append(p.steps, &t[n])
			}
		}
	}
	// Stable, so that steps of one conversation and second stay in their order.
	slices.SortStableFunc(p.steps[p.atOnce:], func(a, b *step) int { return a.OccurredAt.Compare(b.OccurredAt) })
	return p
}

// talksOf tells calls as conversations, in the order in which they began.
func talksOf(calls []Call) []talk {
	talks := make([]talk, len(calls))
	for i := range calls {
		talks[i] = talkOf(&calls[i])
	}
	slices.SortStableFunc(talks, func(a, b talk) int { return a[0].OccurredAt.Compare(b[0].OccurredAt) })
	return talks
}

// moveToToday moves the last day of the calls to the day of now in a zone, and the days before it with it.
func moveToToday(calls []Call, now time.Time, zone *time.Location) {
	last := slices.MaxFunc(calls, func(a, b Call) int { return cmp.Compare(a.Opened.Unix(), b.Opened.Unix()) }).Opened
	days := day(now.In(zone)) - day(last)
	for i := range calls {
		calls[i].move(days)
	}
}

// day numbers the days of the calendar.
func day(t time.Time) int {
	const length = 24 * 60 * 60
	return int(time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).Unix() / length)
}

// timing says when a step is sent.
type timing struct {
	// real is when the steps that wait begin to count, and trace what their clock says then.
	real, trace time.Time
	speed       float64
}

// due is when a step is sent.
func (t timing) due(at time.Time) time.Time {
	return t.real.Add(time.Duration(float64(at.Sub(t.trace)) / t.speed))
}

// clock is what the trace's clock says.
func (t timing) clock(now time.Time) time.Time {
	return t.trace.Add(time.Duration(float64(now.Sub(t.real)) * t.speed))
}
