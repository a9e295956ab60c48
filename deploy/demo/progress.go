package demo

import (
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Pace of progress: a line that is written over may change often, lines that stay in a log may not.
const (
	terminalPace = 100 * time.Millisecond
	logPace      = 2 * time.Second
)

// progress shows how far a step is, how fast it goes and how long it will take.
type progress struct {
	out      io.Writer
	what     string
	total    int
	done     atomic.Int64
	start    time.Time
	terminal bool

	stop chan struct{}
	wg   sync.WaitGroup
}

// startProgress begins to show a step of total items. On a terminal one line is written over.
func startProgress(out io.Writer, what string, total int, terminal bool) *progress {
	p := &progress{out: out, what: what, total: total, start: time.Now(), terminal: terminal, stop: make(chan struct{})}
	pace := logPace
	if terminal {
		pace = terminalPace
	}
	p.wg.Go(func() {
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for {
			select {
			case <-p.stop:
				return
			case now := <-tick.C:
				p.write(p.line(now))
			}
		}
	})
	return p
}

func (p *progress) add(n int) { p.done.Add(int64(n)) }

// finish stops showing and leaves a last line.
func (p *progress) finish() {
	close(p.stop)
	p.wg.Wait()
	took := time.Since(p.start)
	p.write(fmt.Sprintf("%-10s %s in %.1f s (%s a second)", p.what, thousands(int(p.done.Load())), took.Seconds(),
		thousands(rate(p.done.Load(), took))))
	if p.terminal {
		p.print("\n")
	}
}

// line says where the step is.
func (p *progress) line(now time.Time) string {
	done, took := p.done.Load(), now.Sub(p.start)
	left := "-"
	if done > 0 {
		left = (took * time.Duration(int64(p.total)-done) / time.Duration(done)).Round(time.Second).String()
	}
	return fmt.Sprintf("%-10s %s of %s (%d %%), %s a second, %s left", p.what, thousands(int(done)), thousands(p.total),
		100*done/int64(max(p.total, 1)), thousands(rate(done, took)), left)
}

func (p *progress) write(line string) {
	if p.terminal {
		p.print("\r\x1b[K" + line) // back to the margin, and what is left of the line before is erased
		return
	}
	p.print(line + "\n")
}

func (p *progress) print(s string) {
	_, _ = io.WriteString(p.out, s) // progress that cannot be shown is no reason to stop
}

func rate(n int64, d time.Duration) int {
	if d <= 0 {
		return 0
	}
	return int(float64(n) / d.Seconds())
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
