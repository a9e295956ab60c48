package bench

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// load is what connections did in one measurement.
type load struct {
	requests int
	took     time.Duration
	// latencies are those of every request, in ascending order.
	latencies []time.Duration
}

// quantile is the latency that a share q of requests did not exceed.
func (l load) quantile(q float64) time.Duration {
	if len(l.latencies) == 0 {
		return 0
	}
	return l.latencies[min(int(q*float64(len(l.latencies))), len(l.latencies)-1)]
}

// closed posts as fast as answers come, over n connections, for a time.
func closed(ctx context.Context, addr string, requests [][]byte, n int, d time.Duration) (load, error) {
	return drive(ctx, addr, requests, n, func(_ int, start time.Time, exchange func(intended time.Time) error) error {
		for end := start.Add(d); time.Now().Before(end); {
			if err := exchange(time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
}

// open posts at a rate, whether answers come or not, as far as n connections reach. A latency is counted from when the
// request should have been sent: a server that stalls does not hide it by keeping the load waiting.
func open(ctx context.Context, addr string, requests [][]byte, n, rate int, d time.Duration) (load, error) {
	return drive(ctx, addr, requests, n, func(worker int, start time.Time, exchange func(intended time.Time) error) error {
		timer := time.NewTimer(0)
		defer timer.Stop()
		for i := worker; ; i += n {
			after := time.Duration(float64(i) / float64(rate) * float64(time.Second))
			if after >= d {
				return nil
			}
			intended := start.Add(after)
			timer.Reset(time.Until(intended))
			select {
			case <-timer.C:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := exchange(intended); err != nil {
				return err
			}
		}
	})
}

// busy says that nothing was done because the log did not acknowledge, which clients answer by asking again.
func busy(status int, body []byte) bool {
	return status == http.StatusServiceUnavailable || bytes.Contains(body, []byte(`"status":503`))
}

// drive runs n connections at once. Each calls exchange as often as work says.
func drive(ctx context.Context, addr string, requests [][]byte, n int,
	work func(worker int, start time.Time, exchange func(intended time.Time) error) error,
) (load, error) {
	wires := make([]*wire, 0, n)
	defer func() {
		for _, w := range wires {
			w.close()
		}
	}()
	for range n {
		w, err := dial(ctx, addr)
		if err != nil {
			return load{}, err
		}
		wires = append(wires, w)
	}
	latencies := make([][]time.Duration, n)
	var group errgroup.Group
	start := time.Now()
	for worker, w := range wires {
		group.Go(func() error {
			next := worker * len(requests) / n
			return work(worker, start, func(intended time.Time) error {
				status, body, err := w.do(requests[next%len(requests)])
				for err == nil && busy(status, body) && time.Since(intended) < answerTimeout {
					select {
					case <-time.After(50 * time.Millisecond):
						status, body, err = w.do(requests[next%len(requests)])
					case <-ctx.Done():
						err = ctx.Err()
					}
				}
				if err != nil {
					return err
				}
				// What is accepted and not decided in time counts with the time for which the server waited.
				if status != http.StatusOK && status != http.StatusAccepted || bytes.Contains(body, []byte(`"problem"`)) {
					return fmt.Errorf("the server answered %d: %s", status, body[:min(len(body), 500)])
				}
				latencies[worker] = append(latencies[worker], time.Since(intended))
				next++
				return nil
			})
		})
	}
	err := group.Wait()
	l := load{took: time.Since(start), latencies: slices.Concat(latencies...)}
	l.requests = len(l.latencies)
	slices.Sort(l.latencies)
	return l, err
}
