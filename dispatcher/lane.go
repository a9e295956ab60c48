package dispatcher

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/webhook"
)

const (
	// laneQueue bounds the deliveries of one endpoint that wait in memory.
	laneQueue = 100
	// maxQueueWait is how long a delivery may have to wait in a lane: beyond it, it waits in a retry topic instead.
	maxQueueWait = 15 * time.Second
	// comeBackRate is how many deliveries a second come back that a lane has put off while its breaker was opened for the first
	// time, and half as many for the second time, a third for the third. They would all come when it may be tried once more,
	// before everything that was planned meanwhile for others in their partition, and most of them in vain.
	comeBackRate = 250
	// minDeferral and maxDeferral bound how long a delivery is put off that finds its lane full or broken.
	minDeferral = 5 * time.Second
	maxDeferral = 3 * time.Hour
)

// job is a delivery on its way.
type job struct {
	task     *stream.Task
	delivery *webhook.Delivery
	// group is what the job was gathered in with others, the first of which it is; nil where it goes alone.
	group *group
}

// lane is what one endpoint has of the sender: a short queue, a few attempts at once, its rate limit and its breaker. A
// delivery that finds the lane full or broken does not wait here, because it would keep others waiting.
type lane struct {
	// width is how many attempts may be under way.
	width int

	mu      sync.Mutex
	queue   []job
	active  int
	breaker breaker
	limiter *rate.Limiter
	limit   float64
	// budget is what the endpoint's service allows at its URL, which other endpoints may have as well; nil for no bound.
	budget *rate.Limiter
	// average is about how long an attempt takes.
	average time.Duration
	// parked is about how many deliveries were put off and have not come back.
	parked int
	// failures and failingSince are about the attempts since the last success.
	failures     int
	failingSince time.Time
	// used is when the lane was used last.
	used time.Time
}

// offer gives the lane a delivery. It returns how long the delivery has to be put off, or 0 where the lane has taken it.
func (l *lane) offer(j job, now time.Time) (deferral time.Duration, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used = now
	if j.delivery.Deferrals > 0 && l.parked > 0 {
		l.parked--
	}
	if wait := l.breaker.until.Sub(now); wait > 0 {
		return l.deferLocked(max(wait, l.backLocked())), "broken"
	}
	if l.breaker.opened > 0 && (l.breaker.probing || len(l.queue) > 0) {
		// One delivery at a time finds out whether the endpoint is back.
		return l.deferLocked(max(l.breaker.interval(), l.backLocked())), "broken"
	}
	if len(l.queue) >= laneQueue || l.waitLocked(len(l.queue)) > maxQueueWait {
		return l.deferLocked(l.guessLocked(len(l.queue)+l.parked, j.delivery.Deferrals)), "busy"
	}
	l.queue = append(l.queue, j)
	return 0, ""
}

// full puts a delivery off that finds too many gathered.
func (l *lane) full(deferrals int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deferLocked(l.guessLocked(len(l.queue)+l.parked/maxDigest, deferrals))
}

func (l *lane) deferLocked(wait time.Duration) time.Duration {
	l.parked++
	return min(max(wait, minDeferral), maxDeferral)
}

// backLocked is when a delivery comes back that is put off now because the lane is broken: behind those before it.
func (l *lane) backLocked() time.Duration {
	return time.Duration(l.parked) * time.Duration(max(l.breaker.opened, 1)) * (time.Second / comeBackRate)
}

// waitLocked is about how long the lane takes for n deliveries.
func (l *lane) waitLocked(n int) time.Duration {
	return max(l.attemptsLocked(n), l.limitedLocked(n))
}

// guessLocked is how long a delivery is put off that has n before it. A rate limit is known. How long attempts will take is
// not: where an endpoint, or this machine, was slow for a moment, a delivery would wait for hours that it need not wait. So
// that is believed twice as far each time the delivery comes back, which costs one that does have to wait few hops more.
func (l *lane) guessLocked(n, deferrals int) time.Duration {
	return max(min(l.attemptsLocked(n), maxQueueWait<<min(deferrals, 10)), l.limitedLocked(n))
}

func (l *lane) attemptsLocked(n int) time.Duration {
	return time.Duration(n) * l.average / time.Duration(l.width)
}

func (l *lane) limitedLocked(n int) time.Duration {
	if l.limit == 0 {
		return 0
	}
	return time.Duration(float64(n) / l.limit * float64(time.Second))
}

// limitTo has the lane keep to a rate, nil for none.
func (l *lane) limitTo(perSecond *float64) {
	limit := 0.0
	if perSecond != nil {
		limit = *perSecond
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if limit == l.limit {
		return
	}
	l.limit, l.limiter = limit, nil
	if limit > 0 {
		// A second's worth may be sent at once, or one.
		l.limiter = rate.NewLimiter(rate.Limit(limit), max(1, int(limit)))
	}
}

// next takes a delivery to be attempted out of the queue, if there is one and the lane has a place. Deliveries that were
// queued before the breaker opened are put off.
func (l *lane) next(now time.Time) (j job, limiter *rate.Limiter, ok bool, deferred []job, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 || l.active >= l.width {
		return job{}, nil, false, nil, 0
	}
	allowed, wait := l.breaker.allow(now)
	if !allowed {
		deferred, l.queue = l.queue, nil
		l.parked += len(deferred)
		return job{}, nil, false, deferred, min(max(wait, minDeferral), maxDeferral)
	}
	j, l.queue = l.queue[0], l.queue[1:]
	l.active++
	return j, l.limiter, true, nil, 0
}

// place takes a place for a delivery that does not wait in the lane's queue. Where there is none, wait is how long the
// breaker is open at least, or 0.
func (l *lane) place(now time.Time) (limiter *rate.Limiter, ok bool, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used = now
	if l.active >= l.width {
		return nil, false, 0
	}
	if ok, wait = l.breaker.allow(now); ok {
		l.active++
	}
	return l.limiter, ok, wait
}

// slow says whether n deliveries would wait for long.
func (l *lane) slow(now time.Time, n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.breaker.opened > 0 || now.Before(l.breaker.until) || l.waitLocked(n) > maxQueueWait
}

// left gives a place back whose attempt was not made.
func (l *lane) left() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active--
	l.breaker.giveBack()
}

// health is what a lane knows of its endpoint.
type health struct {
	failures     int
	failingSince time.Time
}

// ended notes how an attempt ended and gives its place back.
func (l *lane) ended(now time.Time, success bool, took, wait time.Duration) health {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active--
	l.used = now
	if l.average == 0 {
		l.average = took
	}
	l.average += (took - l.average) / 8
	if success {
		l.breaker.succeeded()
		l.failures, l.failingSince = 0, time.Time{}
		return health{}
	}
	l.breaker.failed(now, wait)
	l.failures++
	if l.failingSince.IsZero() {
		l.failingSince = now
	}
	return health{l.failures, l.failingSince}
}

// idle says whether nothing would be lost with the lane.
func (l *lane) idle(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active == 0 && len(l.queue) == 0 && l.breaker.opened == 0 && l.failures == 0 && l.parked == 0 &&
		now.Sub(l.used) > time.Hour
}
