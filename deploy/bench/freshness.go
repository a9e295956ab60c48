package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/query"
	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
)

// serveQuery is the read side as throughline query has it.
func serveQuery(ctx context.Context, s spec, log *slog.Logger, stdout io.Writer) (err error) {
	p := &assembly.Process{
		Kafka: stream.Config{Brokers: s.Brokers, ClientID: "throughline", Prefix: s.Prefix}, Views: s.Dir, Admin: operatorKey,
		Log: log, Reg: run.NewRegistry(), Ready: run.NewReadiness(),
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	handler, err := p.Query(ctx, query.DefaultConfig(), s.Store)
	if err != nil {
		return err
	}
	front, err := listen(ctx, log, handler, http.NewServeMux(), stdout)
	if err != nil {
		return err
	}
	return ended(assembly.Serve(ctx, log, assembly.Stop{Front: 5 * time.Second, Back: 5 * time.Second}, front, p.Services()))
}

// get reads one page.
func (b *bench) get(ctx context.Context, addr, path string) ([]byte, int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, http.NoBody)
	if err != nil {
		return nil, 0, fmt.Errorf("ask query: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+b.key)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, 0, fmt.Errorf("ask query: %w", err)
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	body, err := io.ReadAll(answer.Body)
	return body, answer.StatusCode, err
}

// startQuery starts a read side over a database, and waits until it answers.
func (b *bench) startQuery(ctx context.Context, s spec) (*child, error) {
	s.Role, s.Brokers, s.Prefix, s.Log = roleQuery, b.kafka.Brokers, b.kafka.Prefix, "warn"
	c, err := b.start(ctx, s)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		body, status, err := b.get(limited, c.Addr, timelinePath(0))
		if err == nil && status == http.StatusOK {
			return c, nil
		}
		select {
		case <-tick.C:
		case <-limited.Done():
			return nil, fmt.Errorf("wait for query: it answered %d: %s: %w", status, body, errors.Join(err, limited.Err()))
		}
	}
}

func timelinePath(n int) string { return "/v1/timeline/CUSTOMER/" + objectID(n) }

// freshness measures from a POST to a page that has the event, at half of what the whole sustains.
func (s *systemBench) freshness(ctx context.Context) (err error) {
	s.query, err = s.startQuery(ctx, spec{Dir: filepath.Join(s.dir, roleQuery), Store: s.store})
	if err != nil {
		return err
	}
	s.say("freshness at %d events a second, load %s", s.rate, loadAverage())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	const each, probes = 100, 4
	requests := batchRequests(s.edge.Addr, s.key, "objectId", each)
	before, err := s.used()
	if err != nil {
		return err
	}
	var group errgroup.Group
	posted := 0
	group.Go(func() error {
		l, err := open(ctx, s.edge.Addr, requests, probes, max(1, s.rate/each), s.cfg.Time)
		posted = l.requests * each
		return err
	})
	var mu sync.Mutex
	var all []time.Duration
	end := time.Now().Add(s.cfg.Time)
	for probe := range probes {
		group.Go(func() error {
			for n := 0; time.Now().Before(end); n++ {
				took, err := s.probe(ctx, probe, n)
				if err != nil {
					return err
				}
				mu.Lock()
				all = append(all, took)
				mu.Unlock()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	slices.Sort(all)
	l := load{latencies: all}
	for _, q := range []struct {
		name string
		of   float64
		aim  float64
	}{{"p50", 0.5, aimFreshnessP50}, {"p99", 0.99, aimFreshnessP99}} {
		s.sum.add(Measure{
			Part: "freshness", Name: fmt.Sprintf("POST to readable at %d events/s, %s of %d", s.rate, q.name, len(all)), Unit: "ms",
			Ours: milliseconds(l.quantile(q.of)), Aim: q.aim, AtMost: true,
		})
	}
	return s.spent(ctx, before, posted+len(all))
}

// spent says where the time of the measurement of freshness went: the processors', by process, and that of a probe, as far
// as link had it.
func (s *systemBench) spent(ctx context.Context, before []Used, events int) error {
	after, err := s.used()
	if err != nil {
		return err
	}
	var sum time.Duration
	for i, u := range after {
		took := u.CPU - before[i].CPU
		sum += took
		s.say("  %s: %.0f µs of processor time an event", u.Process, 1000*milliseconds(took)/float64(events))
	}
	s.sum.add(Measure{
		Part: "freshness", Name: "processor time an event at this rate, of everything", Unit: "µs", Ours: 1000 * milliseconds(sum) / float64(events),
	})
	conn, err := store.Open(ctx, s.store, store.ReadWrite)
	if err != nil {
		return err
	}
	var linked []float64
	err = conn.QueryRow(ctx, `SELECT quantiles(0.5, 0.99)(toFloat64(toUnixTimestamp64Milli(stored_at) - toUnixTimestamp64Milli(received_at)))
		FROM timeline WHERE event_id LIKE 'probe-%'`).Scan(&linked)
	if err := errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("ask when probes were linked: %w", err)
	}
	s.say("  probes were linked after %.0f ms, p50, and %.0f ms, p99", linked[0], linked[1])
	return nil
}

// probe posts one event and reads its timeline at the position of the answer, as a client does that wants to see what it
// wrote. Asking for the page again and again would be a load of its own, and a greater one than the events.
func (s *systemBench) probe(ctx context.Context, probe, n int) (time.Duration, error) {
	id := fmt.Sprintf("probe-%d-%d", probe, n)
	event := map[string]any{
		"id": id, "objectType": "CUSTOMER", "objectId": objectID(probe), "name": "Probe", "occurredAt": time.Now().UTC().Format(time.RFC3339Nano),
	}
	var answer struct {
		Position string `json:"position"`
	}
	began := time.Now()
	if err := s.call(ctx, http.MethodPost, "/v1/events", s.key, event, &answer); err != nil {
		return 0, err
	}
	const patience = time.Minute
	for time.Since(began) < patience && ctx.Err() == nil {
		body, status, err := s.get(ctx, s.query.Addr, timelinePath(probe)+"?limit=20&position="+url.QueryEscape(answer.Position))
		switch {
		case err == nil && status == http.StatusServiceUnavailable: // it waited for as long as it does
		case err != nil || status != http.StatusOK:
			return 0, fmt.Errorf("read timeline: it answered %d: %s: %w", status, body, err)
		case !bytes.Contains(body, []byte(`"`+id+`"`)):
			return 0, fmt.Errorf("event %s is not on the page of its position: %s", id, body)
		default:
			return time.Since(began), nil
		}
	}
	return 0, fmt.Errorf("event %s cannot be read after %s: %w", id, time.Since(began), ctx.Err())
}
