package ingest

import (
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

// burstSeconds is how many seconds' worth of items a key that was idle may write at once.
const burstSeconds = 2

// whole is one item, less what floating point may lose of it in the time until Retry-After.
const whole = 1 - 1e-6

// sweepFrom is how many keys are remembered before those that are idle are forgotten.
const sweepFrom = 1024

// rateLimits bounds how many items each API key writes a second. An event, an object and an item of a batch are one item
// each, whether they are accepted or not; reads are not counted.
//
// A key has a bucket of burstSeconds times its limit, at least one, which fills again at the limit. A request is let in
// as long as there is one item in the bucket, and takes as many as it carries: a batch may be greater than the bucket,
// and is then a debt that later requests wait for. So no batch is too large for any limit, and the average holds.
//
// Buckets are of this process: behind n edges a key may write n times its limit.
type rateLimits struct {
	// preset is the limit of keys that have none of their own; 0 is none.
	preset float64
	now    func() time.Time

	mu      sync.Mutex
	buckets map[bucketKey]*rate.Limiter
	// sweepAt is the number of buckets at which those that are full are forgotten: a full one is like a new one.
	sweepAt int
}

// bucketKey is an API key. Only keys that were found to be good get here, so nobody can fill the map with inventions.
type bucketKey struct{ workspace, id string }

// allowance is what a key may still write.
type allowance struct {
	limit float64
	// tokens are the items in the bucket; less than none is a debt.
	tokens float64
}

func newRateLimits(preset float64, now func() time.Time) *rateLimits {
	return &rateLimits{preset: preset, now: now, buckets: map[bucketKey]*rate.Limiter{}, sweepAt: sweepFrom}
}

// of is the limit of a key; 0 is none. A record that somebody else wrote may have any number in it.
func (l *rateLimits) of(p access.Principal) float64 {
	switch {
	case p.RateLimit != nil:
		return min(max(*p.RateLimit, workspace.MinRateLimit), workspace.MaxRateLimit)
	case p.Operator:
		return 0
	default:
		return l.preset
	}
}

func burst(limit float64) int { return int(max(1, math.Ceil(burstSeconds*limit))) }

// take takes n items from a key's bucket, or says that there is not even one in it, and then takes none. With n = 0 it
// only looks.
func (l *rateLimits) take(p access.Principal, limit float64, n int) (allowance, bool) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(bucketKey{p.Workspace, p.KeyID}, limit, now)
	if tokens := b.TokensAt(now); tokens < whole {
		return allowance{limit, tokens}, false
	}
	// The library takes at most a bucket at a time, but lets a bucket owe any number of them.
	for n > 0 {
		part := min(n, b.Burst())
		b.ReserveN(now, part)
		n -= part
	}
	return allowance{limit, b.TokensAt(now)}, true
}

func (l *rateLimits) bucket(key bucketKey, limit float64, now time.Time) *rate.Limiter {
	if b, ok := l.buckets[key]; ok {
		if b.Limit() != rate.Limit(limit) {
			b.SetLimitAt(now, rate.Limit(limit))
			b.SetBurstAt(now, burst(limit))
		}
		return b
	}
	if len(l.buckets) >= l.sweepAt {
		for k, b := range l.buckets {
			if b.TokensAt(now) >= float64(b.Burst()) {
				delete(l.buckets, k)
			}
		}
		l.sweepAt = max(sweepFrom, 2*len(l.buckets))
	}
	b := rate.NewLimiter(rate.Limit(limit), burst(limit))
	l.buckets[key] = b
	return b
}

// wait is how long it takes until the bucket has some items.
func (a allowance) wait(items float64) time.Duration {
	return time.Duration(max(0, items-a.tokens) / a.limit * float64(time.Second))
}

// describe writes the header fields of the IETF's draft for rate limits: the policy is the bucket and the time in which
// it fills, and of the bucket what remains and when it is full.
func (a allowance) describe(h http.Header) {
	q := float64(burst(a.limit))
	h.Set("RateLimit-Policy", fmt.Sprintf(`"key";q=%.0f;w=%.0f`, q, math.Ceil(q/a.limit)))
	h.Set("RateLimit", fmt.Sprintf(`"key";r=%.0f;t=%.0f`, math.Floor(max(0, a.tokens)), math.Ceil(a.wait(q).Seconds())))
}

// spend takes n items of the request's key, or refuses the request. The answer says what is left.
func (s *Service) spend(w http.ResponseWriter, r *http.Request, n int) error {
	p := access.From(r.Context())
	limit := s.limits.of(p)
	if limit == 0 {
		return nil
	}
	left, ok := s.limits.take(p, limit, n)
	left.describe(w.Header())
	if ok {
		return nil
	}
	s.metrics.limited.Inc()
	return problem.Newf(problem.TooManyRequests, "The API key may write %g items a second and has used them up; nothing was done.", limit).
		WithRetryAfter(max(time.Second, left.wait(1)))
}

// counted takes n items for a request. A batch takes its own when they have been counted: with n = 0 it is refused, before
// it is read, if its key has used its items up.
func (s *Service) counted(n int, next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := s.spend(w, r, n); err != nil {
			return err
		}
		return next(w, r)
	}
}
