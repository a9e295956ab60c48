// Package meter shows how far something is that takes a while: one line that is written over on a terminal, lines at a
// slow pace elsewhere.
package meter

import (
	"io"
	"strconv"
	"sync"
	"time"
)

// terminalPace is how often a line that is written over changes.
const terminalPace = 100 * time.Millisecond

// Meter is what is shown.
type Meter struct {
	out      io.Writer
	terminal bool
	stop     chan struct{}
	wg       sync.WaitGroup
}

// Start begins to show what line says: on a terminal ten times a second, elsewhere at a pace that suits a log.
func Start(out io.Writer, terminal bool, pace time.Duration, line func(now time.Time) string) *Meter {
	m := &Meter{out: out, terminal: terminal, stop: make(chan struct{})}
	if terminal {
		pace = terminalPace
	}
	m.wg.Go(func() {
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for {
			select {
			case <-m.stop:
				return
			case now := <-tick.C:
				m.write(line(now))
			}
		}
	})
	return m
}

// Finish stops showing and leaves a last line.
func (m *Meter) Finish(last string) {
	close(m.stop)
	m.wg.Wait()
	m.write(last)
	if m.terminal {
		m.print("\n")
	}
}

func (m *Meter) write(line string) {
	if m.terminal {
		m.print("\r\x1b[K" + line) // back to the margin, and what is left of the line before is erased
		return
	}
	m.print(line + "\n")
}

func (m *Meter) print(s string) {
	_, _ = io.WriteString(m.out, s) // progress that cannot be shown is no reason to stop
}

// Rate is how many there were in a second.
func Rate(n int64, d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64(float64(n) / d.Seconds())
}

// Left is how long the rest will take if it goes on as it went; false where that cannot be said.
func Left(done, total int64, took time.Duration) (time.Duration, bool) {
	if done <= 0 || total < done {
		return 0, false
	}
	return time.Duration(float64(took) * float64(total-done) / float64(done)).Round(time.Second), true
}

// Thousands writes 1234567 as 1,234,567.
func Thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
