package dispatcher

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/webhook"
)

func moment() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func TestTheScheduleIsKeptWithinAFifthAndRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	for attempt, want := range schedule() {
		spread := map[time.Duration]bool{}
		for i := range 50 {
			id := fmt.Sprintf("msg_%d", i)
			got, ok := nextDelay(id, attempt+1, 0)
			if !ok || got < want*4/5 || got > want*6/5 {
				t.Fatalf("after attempt %d: %s, want about %s", attempt+1, got, want)
			}
			if again, _ := nextDelay(id, attempt+1, 0); again != got {
				t.Fatal("another delay the second time")
			}
			spread[got] = true
		}
		if len(spread) < 40 {
			t.Errorf("after attempt %d: only %d different delays", attempt+1, len(spread))
		}
	}
	if _, ok := nextDelay("msg", len(schedule())+1, time.Hour); ok {
		t.Error("the schedule does not end")
	}
	if got, _ := nextDelay("msg", 1, time.Hour); got != time.Hour {
		t.Errorf("Retry-After of an hour: %s", got)
	}
	if got, _ := nextDelay("msg", 1, 48*time.Hour); got != 24*time.Hour {
		t.Errorf("Retry-After of two days: %s", got)
	}
	header := func(v string) http.Header { return http.Header{"Retry-After": {v}} }
	for text, want := range map[string]time.Duration{
		"": 0, "x": 0, "-1": 0, "30": 30 * time.Second, "9999999": 24 * time.Hour,
		moment().Add(time.Minute).Format(http.TimeFormat): time.Minute, moment().Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(header(text), moment()); got != want {
			t.Errorf("Retry-After %q: %s, want %s", text, got, want)
		}
	}
}

func TestABreakerOpensLongerEachTimeAndLetsOneProbeThrough(t *testing.T) {
	t.Parallel()
	var b breaker
	now := moment()
	for range breakAfter {
		if ok, _ := b.allow(now); !ok {
			t.Fatal("it is open too early")
		}
		b.failed(now, 0)
	}
	for _, want := range append(breaks(), breaks()[3]) {
		if ok, wait := b.allow(now); ok || wait != want {
			t.Fatalf("open: %t, for %s; want %s", !ok, wait, want)
		}
		now = now.Add(want)
		if ok, _ := b.allow(now); !ok {
			t.Fatal("no probe is let through")
		}
		if ok, _ := b.allow(now); ok {
			t.Fatal("two probes are let through")
		}
		b.failed(now, 0)
	}
	now = now.Add(breaks()[3])
	if ok, _ := b.allow(now); !ok {
		t.Fatal("no probe is let through")
	}
	b.succeeded()
	if ok, _ := b.allow(now); !ok {
		t.Error("it stays open after a success")
	}
	b.failed(now, time.Hour)
	if ok, wait := b.allow(now); ok || wait != time.Hour {
		t.Errorf("an endpoint that asked for an hour is asked again after %s", wait)
	}
}

func TestALaneTakesWhatItCanAndPutsOffTheRest(t *testing.T) {
	t.Parallel()
	l := &lane{width: 2}
	now := moment()
	j := func() job { return job{delivery: &webhook.Delivery{}} }
	for i := range laneQueue {
		if wait, _ := l.offer(j(), now); wait != 0 {
			t.Fatalf("delivery %d has to wait %s", i, wait)
		}
	}
	if wait, reason := l.offer(j(), now); wait != minDeferral || reason != "busy" {
		t.Errorf("a full lane: %s, %s", wait, reason)
	}
	for range 2 {
		if _, _, ok, _, _ := l.next(now); !ok {
			t.Fatal("nothing is attempted")
		}
	}
	if _, _, ok, _, _ := l.next(now); ok {
		t.Error("more attempts than the lane has places for")
	}
	l.ended(now, true, time.Minute, 0)
	// An attempt took a minute: what is queued now would wait for most of an hour, if others take as long.
	if wait, reason := l.offer(j(), now); wait != maxQueueWait || reason != "busy" {
		t.Errorf("a slow lane: %s, %s", wait, reason)
	}
	back := func(deferrals int) job { return job{delivery: &webhook.Delivery{Deferrals: deferrals}} }
	for deferrals := range 4 {
		if wait, _ := l.offer(back(deferrals), now); wait != maxQueueWait<<deferrals {
			t.Errorf("a slow lane, after %d deferrals: %s", deferrals, wait)
		}
	}
	for range 200 {
		l.offer(j(), now)
	}
	long, _ := l.offer(back(9), now)
	if more, _ := l.offer(back(9), now); more < long || long < time.Hour {
		t.Errorf("what is put off does not wait longer where more waits: %s, %s", long, more)
	}
	for range breakAfter {
		l.mu.Lock()
		l.active++
		l.mu.Unlock()
		l.ended(now, false, time.Second, 0)
	}
	_, _, ok, deferred, wait := l.next(now)
	if ok || len(deferred) != laneQueue-2 || wait != breaks()[0] {
		t.Errorf("a broken lane: attempted %t, %d put off for %s", ok, len(deferred), wait)
	}
	if wait, reason := l.offer(j(), now); wait < minDeferral || reason != "broken" {
		t.Errorf("a broken lane: %s, %s", wait, reason)
	}
}

// TestABacklogOfADeadEndpointComesBackBitByBit puts off a backlog, and what comes back of it again, as a dead endpoint does.
func TestABacklogOfADeadEndpointComesBackBitByBit(t *testing.T) {
	t.Parallel()
	const backlog = 20_000
	l := &lane{width: 2}
	now := moment()
	for range breakAfter {
		l.active++
		l.ended(now, false, time.Millisecond, 0)
	}
	due := make([]time.Time, backlog)
	for i := range due {
		wait, reason := l.offer(job{delivery: &webhook.Delivery{}}, now)
		if wait < breaks()[0] || reason != "broken" {
			t.Fatalf("delivery %d: %s, %s", i, wait, reason)
		}
		due[i] = now.Add(wait)
	}
	back := map[int64]int{}
	for _, at := range due {
		back[at.Unix()]++
		// The endpoint fails whenever it is asked.
		if !l.breaker.until.After(at) {
			l.breaker.opened, l.breaker.until = 2, at.Add(time.Minute)
		}
		wait, _ := l.offer(job{delivery: &webhook.Delivery{Deferrals: 1}}, at)
		if wait < 2*backlog*time.Second/comeBackRate*9/10 {
			t.Fatalf("what came back comes again after %s", wait)
		}
	}
	for second, n := range back {
		// The first ones wait as long as the breaker is open.
		if first := int(breaks()[0]/time.Second) * comeBackRate; n > comeBackRate && second > moment().Add(breaks()[0]).Unix() || n > first+comeBackRate {
			t.Errorf("%d come back in second %d", n, second-moment().Unix())
		}
	}
	if len(back) < backlog/comeBackRate-10 {
		t.Errorf("all of them come back within %d seconds", len(back))
	}
}

func TestARateLimitBoundsWhatWaits(t *testing.T) {
	t.Parallel()
	l, rate := &lane{width: 8}, 1.0
	l.limitTo(&rate)
	taken := 0
	for range 50 {
		if wait, _ := l.offer(job{delivery: &webhook.Delivery{}}, moment()); wait == 0 {
			taken++
		}
	}
	// One a second, and nothing waits longer than fifteen.
	if taken != 16 {
		t.Errorf("%d deliveries wait, want 16", taken)
	}
}
