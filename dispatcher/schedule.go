package dispatcher

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// schedule is how long after each failed attempt the next one is made: the example of Standard Webhooks 1.0.0, in all
// about three days. The first attempt is made at once.
func schedule() []time.Duration {
	return []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour,
		20 * time.Hour, 24 * time.Hour,
	}
}

// maxRetryAfter bounds the Retry-After of an answer.
const maxRetryAfter = 24 * time.Hour

// nextDelay is how long to wait after the attempt of a number, from 1, failed; ok is false where no other is made. The
// delay lies within a fifth of the schedule's, so that what failed together does not come back together. It depends on the
// delivery and the number alone, so that whoever computes it again gets the same.
func nextDelay(id string, attempt int, retryAfter time.Duration) (delay time.Duration, ok bool) {
	all := schedule()
	if attempt < 1 || attempt > len(all) {
		return 0, false
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", id, attempt))
	part := float64(binary.BigEndian.Uint32(sum[:])) / (1 << 32) // in [0, 1)
	delay = time.Duration(float64(all[attempt-1]) * (0.8 + 0.4*part))
	return max(delay.Truncate(time.Millisecond), min(retryAfter, maxRetryAfter)), true
}

// retryAfter reads the header Retry-After: seconds, or a date. It is 0 where there is none that can be read.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
