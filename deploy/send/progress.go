package send

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/throughline/throughline/deploy/meter"
)

// logPace is how often progress is said where lines stay.
const logPace = 5 * time.Second

// labelLength and reasonLength keep a line on a terminal of usual width: one that wraps cannot be written over.
const (
	labelLength  = 24
	reasonLength = 48
)

// progress says how far an input is.
type progress struct {
	label string
	start time.Time
	// size is that of the input in bytes, from where this run began at begun; zero of a stream.
	begun, size int64
	counts      func() shown
	retries     atomic.Int64

	mu sync.Mutex
	// reason is why the last request is repeated, and before is what was done by then.
	reason string
	before int64
}

func newProgress(s *source, from mark, counts func() shown) *progress {
	return &progress{
		label: cut(filepath.Base(s.label), labelLength), start: time.Now(), begun: from.Offset, size: s.print.Size, counts: counts,
	}
}

// retried notes that a request will be repeated.
func (p *progress) retried(reason error) {
	p.retries.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reason, p.before = reason.Error(), p.counts().items
}

// waiting is why nothing has moved since the last repeat; empty where something has.
func (p *progress) waiting(items int64) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if items != p.before {
		p.reason = ""
	}
	return p.reason
}

// line says where the input is.
func (p *progress) line(now time.Time) string {
	c, took := p.counts(), now.Sub(p.start)
	var parts []string
	if p.size > 0 {
		parts = append(parts, fmt.Sprintf("%d %%", min(100*(p.begun+c.bytes)/p.size, 100)))
	} else {
		parts = append(parts, meter.Thousands(c.items)+" lines")
	}
	parts = append(parts, speed(c, took))
	if left, ok := meter.Left(c.bytes, p.size-p.begun, took); ok {
		parts = append(parts, left.String()+" left")
	}
	parts = append(parts, p.trouble(c)...)
	if reason := p.waiting(c.items); reason != "" {
		parts = append(parts, cut(reason, reasonLength))
	}
	return p.label + "  " + strings.Join(parts, "  ")
}

// last says how it went.
func (p *progress) last(now time.Time) string {
	c, took := p.counts(), now.Sub(p.start)
	parts := append([]string{
		fmt.Sprintf("%s lines in %.1f s", meter.Thousands(c.items), took.Seconds()), speed(c, took),
	}, p.trouble(c)...)
	return p.label + "  " + strings.Join(parts, "  ")
}

func (p *progress) trouble(c shown) []string {
	var parts []string
	if c.refused > 0 {
		parts = append(parts, meter.Thousands(c.refused)+" refused")
	}
	if n := p.retries.Load(); n > 0 {
		parts = append(parts, meter.Thousands(n)+" retries")
	}
	return parts
}

func speed(c shown, took time.Duration) string {
	megabytes := 0.0
	if took > 0 {
		megabytes = float64(c.bytes) / 1e6 / took.Seconds()
	}
	return fmt.Sprintf("%s lines/s  %.1f MB/s", meter.Thousands(meter.Rate(c.items, took)), megabytes)
}

// cut shortens a text to a number of characters, on one line.
func cut(s string, n int) string {
	r := []rune(strings.Join(strings.Fields(s), " "))
	if len(r) <= n {
		return string(r)
	}
	return string(r[:n-1]) + "…"
}
