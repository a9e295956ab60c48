package dispatcher

import "time"

// breakAfter is how many failures in a row open a breaker.
const breakAfter = 5

// breaks are how long a breaker stays open: the delays of the retry topics but for the last, each after the one before has
// not helped.
func breaks() []time.Duration {
	return []time.Duration{5 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute}
}

// breaker keeps attempts from an endpoint that fails. While it is open nothing is sent; when its time is over one attempt
// is let through, and closes it or opens it for longer. Its methods are called under its lane's lock.
type breaker struct {
	failures int
	// opened counts how often in a row it was opened.
	opened int
	until  time.Time
	// probing says that the one attempt is under way.
	probing bool
}

// allow says whether an attempt may be made now, and otherwise how long it has to wait at least.
func (b *breaker) allow(now time.Time) (bool, time.Duration) {
	switch {
	case b.opened == 0 && !now.Before(b.until):
		return true, 0
	case now.Before(b.until):
		return false, b.until.Sub(now)
	case b.probing:
		return false, b.interval()
	default:
		b.probing = true
		return true, 0
	}
}

// interval is how long the breaker is open this time.
func (b *breaker) interval() time.Duration {
	all := breaks()
	return all[min(max(b.opened, 1), len(all))-1]
}

// giveBack says that an attempt that was allowed was not made.
func (b *breaker) giveBack() { b.probing = false }

// succeeded closes the breaker.
func (b *breaker) succeeded() { *b = breaker{} }

// failed counts a failure. wait is how long the endpoint asked for, or 0.
func (b *breaker) failed(now time.Time, wait time.Duration) {
	b.failures++
	// Attempts that were under way when it opened say nothing new.
	if b.probing || b.opened == 0 && b.failures >= breakAfter {
		b.probing = false
		b.opened++
		b.until = now.Add(b.interval())
	}
	if asked := now.Add(wait); asked.After(b.until) {
		b.until = asked
	}
}
