package replay

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/throughline/throughline/deploy/meter"
)

const (
	// logPace is how often progress is said where lines stay.
	logPace = 5 * time.Second
	// shownRefusals is how many refusals are told one by one.
	shownRefusals = 10
)

// Totals are what became of the steps of a run.
type Totals struct {
	Conversations int
	// Accepted are the steps that the server has taken, Known of those had been taken before.
	Accepted, Known int64
	// Refused are the steps that it refused, and Skipped those that were not sent because an earlier one of their
	// conversation was refused.
	Refused, Skipped int64
}

func (t Totals) done() int64 { return t.Accepted + t.Refused + t.Skipped }

// count keeps the totals of a run and tells people how far it is.
type count struct {
	out   io.Writer
	start time.Time
	total int64
	// timing is nil where the run goes as fast as it can.
	timing *timing
	end    time.Time

	mu      sync.Mutex
	totals  Totals
	retries int64
	// reason is why the last request is repeated, and before is what was done by then.
	reason string
	before int64
	// refused are the first refusals.
	refused []string
}

func (c *count) accept(changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.totals.Accepted++
	if !changed {
		c.totals.Known++
	}
}

func (c *count) skip() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.totals.Skipped++
}

func (c *count) refuse(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.totals.Refused++
	if len(c.refused) < shownRefusals {
		c.refused = append(c.refused, what)
	}
}

func (c *count) retry(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retries++
	c.reason, c.before = reason.Error(), c.totals.done()
}

func (c *count) now() Totals {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.totals
}

// line says where the run is.
func (c *count) line(now time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	done, took := c.totals.done(), now.Sub(c.start)
	parts := []string{fmt.Sprintf("%s of %s transitions (%d %%)", meter.Thousands(done), meter.Thousands(c.total), 100*done/max(c.total, 1))}
	switch {
	case c.timing != nil && now.After(c.timing.real):
		at := c.timing.clock(now)
		if at.After(c.end) { // what is left waits for the server
			at = c.end
		}
		parts = append(parts, "the trace is at "+at.Format(time.DateTime))
		if left := c.timing.due(c.end).Sub(now); left > 0 {
			parts = append(parts, left.Round(time.Second).String()+" left")
		}
	default:
		parts = append(parts, meter.Thousands(meter.Rate(done, took))+" a second")
		if left, ok := meter.Left(done, c.total, took); ok && c.timing == nil {
			parts = append(parts, left.String()+" left")
		}
	}
	return strings.Join(append(parts, c.trouble(done)...), ", ")
}

// trouble says what does not go as it should. The caller holds the lock.
func (c *count) trouble(done int64) []string {
	var parts []string
	if n := c.totals.Refused; n > 0 {
		parts = append(parts, meter.Thousands(n)+" refused")
	}
	if c.retries > 0 {
		parts = append(parts, meter.Thousands(c.retries)+" retries")
	}
	if c.reason != "" && c.before == done {
		parts = append(parts, c.reason)
	}
	return parts
}

// last says how it went.
func (c *count) last(now time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, took := c.totals, now.Sub(c.start)
	text := fmt.Sprintf("%s transitions in %.1f s (%s a second): %s accepted", meter.Thousands(t.done()), took.Seconds(),
		meter.Thousands(meter.Rate(t.done(), took)), meter.Thousands(t.Accepted))
	if t.Known > 0 {
		text += fmt.Sprintf(" (%s of them known before)", meter.Thousands(t.Known))
	}
	if t.Refused > 0 {
		text += fmt.Sprintf(", %s refused, %s left out after those", meter.Thousands(t.Refused), meter.Thousands(t.Skipped))
	}
	return text
}

// refusals tells the first refusals one by one.
func (c *count) refusals() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, r := range c.refused {
		b.WriteString("  refused: " + r + "\n")
	}
	if more := c.totals.Refused - int64(len(c.refused)); more > 0 {
		fmt.Fprintf(&b, "  and %s more\n", meter.Thousands(more))
	}
	return b.String()
}
