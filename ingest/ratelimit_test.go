package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/workspace"
)

// clock is a time that stands still until it is moved.
type clock struct{ t time.Time }

func newClock() *clock { return &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time { return c.t }

func owner(id string, limit float64) access.Principal {
	return access.Principal{Workspace: "acme", KeyID: id, RateLimit: &limit}
}

func TestRateLimitLetsABurstInAndThenTheRate(t *testing.T) {
	t.Parallel()
	for _, limit := range []float64{0.001, 0.25, 1, 2.5, 7, 1000} {
		c := newClock()
		l := newRateLimits(0, c.now)
		k := owner("k", limit)
		in := 0
		for {
			left, ok := l.take(k, l.of(k), 1)
			if !ok {
				if got, want := left.wait(1), time.Duration(float64(time.Second)/limit); got > want {
					t.Errorf("limit %g: wait of %s for one item, at most %s makes sense", limit, got, want)
				}
				c.t = c.t.Add(left.wait(1))
				break
			}
			in++
		}
		if in != burst(limit) {
			t.Errorf("limit %g: %d items at once, want %d", limit, in, burst(limit))
		}
		if _, ok := l.take(k, limit, 1); !ok {
			t.Errorf("limit %g: refused at the time at which it was told to come back", limit)
		}
		if _, ok := l.take(k, limit, 1); ok {
			t.Errorf("limit %g: a second one was let in", limit)
		}
	}
}

func TestRateLimitTakesABatchGreaterThanTheBurstAsADebt(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := newRateLimits(0, c.now)
	k := owner("k", 10)
	if _, ok := l.take(k, 10, 120); !ok {
		t.Fatal("a batch of 120 was refused at the start")
	}
	// 20 were in the bucket, so it owes 100, and one more is to be had after 10.1 s.
	left, ok := l.take(k, 10, 0)
	if ok || left.wait(1).Round(time.Millisecond) != 10_100*time.Millisecond {
		t.Errorf("after it: let in %t, wait %s", ok, left.wait(1))
	}
	c.t = c.t.Add(10 * time.Second)
	if _, ok := l.take(k, 10, 1); ok {
		t.Error("let in while the bucket is empty")
	}
	c.t = c.t.Add(100 * time.Millisecond)
	if _, ok := l.take(k, 10, 1); !ok {
		t.Error("refused although the debt is paid")
	}
}

func TestRateLimitOfAKey(t *testing.T) {
	t.Parallel()
	l := newRateLimits(3, newClock().now)
	for name, tc := range map[string]struct {
		p    access.Principal
		want float64
	}{
		"its own":                          {owner("k", 7), 7},
		"the preset":                       {access.Principal{Workspace: "acme", KeyID: "k"}, 3},
		"none of the operator":             {access.Principal{Operator: true}, 0},
		"nothing less than can be served":  {owner("k", -5), workspace.MinRateLimit},
		"nothing more than can be counted": {owner("k", 1e300), workspace.MaxRateLimit},
	} {
		if got := l.of(tc.p); got != tc.want {
			t.Errorf("%s: %g, want %g", name, got, tc.want)
		}
	}
}

func TestRateLimitFollowsItsRecord(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := newRateLimits(0, c.now)
	l.take(owner("k", 1), 1, 2)
	if _, ok := l.take(owner("k", 1), 1, 1); ok {
		t.Fatal("a third item was let in")
	}
	c.t = c.t.Add(10 * time.Millisecond)
	l.take(owner("k", 1000), 1000, 0)
	c.t = c.t.Add(10 * time.Millisecond)
	if _, ok := l.take(owner("k", 1000), 1000, 10); !ok {
		t.Error("refused at the old limit")
	}
}

func TestRateLimitsForgetKeysThatAreIdle(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := newRateLimits(0, c.now)
	spender := owner("spender", 1)
	l.take(spender, 1, 100)
	for i := range 10 * sweepFrom {
		l.take(owner(fmt.Sprintf("k%d", i), 1), 1, 1)
		c.t = c.t.Add(time.Millisecond)
	}
	if n := len(l.buckets); n > 2*sweepFrom {
		t.Errorf("%d buckets are kept", n)
	}
	if _, ok := l.take(spender, 1, 1); ok {
		t.Error("a debt was forgotten")
	}
}

func TestRateLimitDescribesItself(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	allowance{limit: 2.5, tokens: 1.7}.describe(h)
	want := http.Header{"Ratelimit-Policy": {`"key";q=5;w=2`}, "Ratelimit": {`"key";r=1;t=2`}}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

func TestTurnstileLetsOneTryWhileTheRegistryIsBehind(t *testing.T) {
	t.Parallel()
	var gate turnstile
	pass := func() error { return gate.pass(func() error { return nil }) }
	// Everybody who came before the first failure waits it out.
	ended := make(chan error)
	entered, leave := make(chan struct{}), make(chan struct{})
	try := func(err error) {
		ended <- gate.pass(func() error {
			entered <- struct{}{}
			<-leave
			return err
		})
	}
	for range 3 {
		go try(registry.ErrBehind)
		<-entered
	}
	if err := pass(); err != nil {
		t.Errorf("before the first failure: %v", err)
	}
	for range 3 {
		leave <- struct{}{}
		if err := <-ended; !errors.Is(err, registry.ErrBehind) {
			t.Errorf("a wait that failed: %v", err)
		}
	}
	// One tries; nobody else waits.
	go try(registry.ErrNotFound)
	<-entered
	for range 3 {
		if err := gate.pass(func() error { t.Error("let in"); return nil }); !errors.Is(err, registry.ErrBehind) {
			t.Errorf("while one tries: %v, want ErrBehind", err)
		}
	}
	leave <- struct{}{}
	if err := <-ended; !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the one that tried: %v", err)
	}
	if err := pass(); err != nil {
		t.Errorf("after it: %v", err)
	}
}
