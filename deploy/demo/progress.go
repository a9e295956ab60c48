package demo

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/throughline/throughline/deploy/meter"
)

// logPace is how often progress is said where lines stay.
const logPace = 2 * time.Second

// progress shows how far a step is, how fast it goes and how long it will take.
type progress struct {
	what  string
	total int
	done  atomic.Int64
	start time.Time
	meter *meter.Meter
}

// startProgress begins to show a step of total items. On a terminal one line is written over.
func startProgress(out io.Writer, what string, total int, terminal bool) *progress {
	p := &progress{what: what, total: total, start: time.Now()}
	p.meter = meter.Start(out, terminal, logPace, p.line)
	return p
}

func (p *progress) add(n int) { p.done.Add(int64(n)) }

// finish stops showing and leaves a last line.
func (p *progress) finish() {
	took := time.Since(p.start)
	p.meter.Finish(fmt.Sprintf("%-10s %s in %.1f s (%s a second)", p.what, meter.Thousands(p.done.Load()), took.Seconds(),
		meter.Thousands(meter.Rate(p.done.Load(), took))))
}

// line says where the step is.
func (p *progress) line(now time.Time) string {
	done, total, took := p.done.Load(), int64(p.total), now.Sub(p.start)
	left := "-"
	if d, ok := meter.Left(done, total, took); ok {
		left = d.String()
	}
	return fmt.Sprintf("%-10s %s of %s (%d %%), %s a second, %s left", p.what, meter.Thousands(done), meter.Thousands(total),
		100*done/max(total, 1), meter.Thousands(meter.Rate(done, took)), left)
}
