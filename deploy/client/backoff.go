package client

import (
	"context"
	"math/rand/v2"
	"time"
)

// Pauses between attempts.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// Backoff paces what is tried again: each pause is about twice the one before, up to two seconds. The zero value is
// ready.
type Backoff struct {
	pause time.Duration
}

// Next is how long to wait before the next attempt, and never less than what is asked for.
func (b *Backoff) Next(atLeast time.Duration) time.Duration {
	if b.pause == 0 {
		b.pause = firstPause
	}
	// Clients that were refused together must not come back together.
	wait := b.pause/2 + rand.N(b.pause) //nolint:gosec // jitter keeps no secret
	b.pause = min(2*b.pause, longestPause)
	return max(wait, atLeast)
}

// Wait waits, and returns the cause if the context ends first.
func Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
