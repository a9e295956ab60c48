package dispatcher

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/throughline/throughline/schema/webhook"
)

// What services take at one URL, in messages a second. More is answered with 429.
const (
	slackRate = 1
	teamsRate = 4
)

// serviceRate is what the service of a format takes, or 0 for no bound.
func serviceRate(format string) float64 {
	switch format {
	case webhook.FormatSlack:
		return slackRate
	case webhook.FormatTeams:
		return teamsRate
	default:
		return 0
	}
}

// budgets are the token buckets of URLs: several endpoints may post into one channel. They are those of this process; where
// the endpoints' partitions lie with several, each spends as if it were alone, and the service's 429 is heeded.
type budgets struct {
	mu    sync.Mutex
	byURL map[string]*budget
}

type budget struct {
	limiter *rate.Limiter
	used    time.Time
}

// limit has a lane keep to its endpoint's own rate and to that of its service.
func (b *budgets) limit(l *lane, to *target) {
	service := serviceRate(to.Format)
	if service == 0 {
		l.limitTo(to.RateLimit)
		l.share(nil)
		return
	}
	perSecond := service
	if to.RateLimit != nil {
		perSecond = min(perSecond, *to.RateLimit)
	}
	l.limitTo(&perSecond)
	if to.private != nil {
		l.share(b.of(to.Format, to.private.URL, service))
	}
}

// of is the bucket of a URL. It holds one token: a second's worth at once, and the next second's, would be too many.
func (b *budgets) of(format, url string, perSecond float64) *rate.Limiter {
	key := format + " " + url
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byURL[key] == nil {
		b.byURL[key] = &budget{limiter: rate.NewLimiter(rate.Limit(perSecond), 1)}
	}
	b.byURL[key].used = time.Now()
	return b.byURL[key].limiter
}

// sweep forgets the buckets that have been full for long.
func (b *budgets) sweep(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, u := range b.byURL {
		if now.Sub(u.used) > time.Hour {
			delete(b.byURL, key)
		}
	}
}

// share has the lane spend from a bucket that it shares with others; nil for none.
func (l *lane) share(bucket *rate.Limiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.budget = bucket
}

// spend waits until the endpoint's service takes another message.
func (l *lane) spend(ctx context.Context) error {
	l.mu.Lock()
	bucket := l.budget
	l.mu.Unlock()
	if bucket == nil {
		return nil
	}
	return bucket.Wait(ctx)
}
