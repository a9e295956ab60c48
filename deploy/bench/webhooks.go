package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/stream"
)

// arriveWithin bounds the wait for what was sent, on a machine that is busy.
const arriveWithin = 2 * time.Minute

// webhooksBench is one measurement of the dispatcher.
type webhooksBench struct {
	*bench

	cfg      WebhooksConfig
	maker    registry.Records
	producer *stream.Producer

	hooks, receiver, post  *child
	healthy, sick, backlog []*site
}

// Webhooks measures deliveries a second beside a bare client, the time from an event to its delivery, and what endpoints
// that are sick cost those that are not.
func Webhooks(ctx context.Context, cfg WebhooksConfig, out, progress io.Writer, log *slog.Logger) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	b, err := newBench(Config{Kafka: cfg.Kafka, Brokers: cfg.Brokers}, progress, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.opened.Close()) }()
	w := &webhooksBench{bench: b, cfg: cfg}
	if err := w.prepare(ctx); err != nil {
		return err
	}
	report := newWebhooksReport(cfg)
	if err := w.measure(ctx, report); err != nil {
		return err
	}
	report.LoadAfter = loadAverage()
	if cfg.JSON != "" {
		if err := save(cfg.JSON, report); err != nil {
			return err
		}
	}
	return report.write(out)
}

// prepare starts the servers and registers every endpoint, each in a workspace of its own.
func (w *webhooksBench) prepare(ctx context.Context) (err error) {
	if err := w.connect(ctx); err != nil {
		return err
	}
	if w.maker, err = recordMaker(w.kafka); err != nil {
		return err
	}
	if w.producer, err = patient(w.kafka, w.log); err != nil {
		return err
	}
	w.opened.Add(func() error { return w.producer.Close(context.WithoutCancel(ctx)) })
	for _, c := range []struct {
		to   **child
		role string
	}{{&w.receiver, roleReceiver}, {&w.post, rolePost}, {&w.hooks, roleHooks}, {&w.edge, roleEdge}} {
		dir := filepath.Join(w.dir, c.role)
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
		if *c.to, err = w.start(ctx, spec{
			Role: c.role, Brokers: w.kafka.Brokers, Prefix: w.kafka.Prefix, Dir: dir, Link: true, Log: "warn",
		}); err != nil {
			return err
		}
	}
	w.say("registering %d endpoints", w.cfg.Healthy+w.cfg.Silent+w.cfg.Failing+2)
	if w.key, err = w.seed(ctx); err != nil {
		return err
	}
	to := "http://" + w.receiver.Addr
	if err := w.register(ctx, benchWorkspace, to+"/ok/edge"); err != nil {
		return err
	}
	for _, g := range []struct {
		to   *[]*site
		name string
		n    int
		url  string
	}{
		{&w.healthy, "ok", w.cfg.Healthy, to + "/ok/"},
		{&w.sick, "silent", w.cfg.Silent, to + "/silent/"},
		// Nobody listens at the discard port.
		{&w.sick, "failing", w.cfg.Failing, to + "/failing/"},
		{&w.backlog, "dead", 1, "http://127.0.0.1:9/"},
	} {
		for i := range g.n {
			s, err := newSite(ctx, w.producer, w.maker, fmt.Sprintf("%s-%d", g.name, i))
			if err == nil {
				err = w.register(ctx, s.workspace, g.url+strconv.Itoa(i))
			}
			if err != nil {
				return err
			}
			*g.to = append(*g.to, s)
		}
	}
	return nil
}

// register puts an endpoint, as soon as the dispatcher takes it.
func (w *webhooksBench) register(ctx context.Context, workspace, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	at := bench{edge: w.hooks}
	for {
		err := at.call(ctx, http.MethodPut, "/v1/webhook-endpoints/e", workspace, map[string]any{"url": address, "events": []string{"event.linked"}}, nil)
		if err == nil {
			return nil
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return err
		}
	}
}

func (w *webhooksBench) forget(ctx context.Context) error {
	var r received
	return w.receiver.ask(ctx, http.MethodPost, "/forget", &r)
}

// arrived waits until as many deliveries have come. Those behind a backlog wait until it is planned.
func (w *webhooksBench) arrived(ctx context.Context, n int) error {
	got := 0
	within := arriveWithin + time.Duration(w.cfg.Backlog)*time.Millisecond
	for end := time.Now().Add(within); got < n; {
		if err := w.receiver.ask(ctx, http.MethodGet, "/count", &got); err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d deliveries came within %s", got, n, within)
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// measure runs the rounds. Those without and with sick endpoints take turns.
func (w *webhooksBench) measure(ctx context.Context, r *WebhooksReport) error {
	w.say("warming up")
	if _, _, err := w.most(ctx, w.cfg.Time); err != nil {
		return err
	}
	for round := range w.cfg.Rounds {
		w.say("deliveries a second, round %d of %d, load %s", round+1, w.cfg.Rounds, loadAverage())
		p, err := w.pair(ctx, round, w.ours, w.limit)
		if err != nil {
			return err
		}
		r.Most = append(r.Most, p)
	}
	if r.Rate = w.cfg.Rate; r.Rate == 0 {
		r.Rate = max(1, int(middle(r.Most, func(p Pair) float64 { return p.Ours.EventsPerSecond })/3))
	}
	for round := range w.cfg.Rounds {
		w.say("the whole way, round %d of %d, load %s", round+1, w.cfg.Rounds, loadAverage())
		f, err := w.posted(ctx)
		if err != nil {
			return err
		}
		r.Posted = append(r.Posted, f)
	}
	for round := range w.cfg.Rounds {
		w.say("among sick endpoints, round %d of %d, load %s", round+1, w.cfg.Rounds, loadAverage())
		p, err := w.pair(ctx, round,
			func(ctx context.Context) (Figures, error) { return w.paced(ctx, r.Rate, true) },
			func(ctx context.Context) (Figures, error) { return w.paced(ctx, r.Rate, false) })
		if err != nil {
			return err
		}
		r.Sick = append(r.Sick, p)
	}
	if w.cfg.Backlog == 0 {
		return nil
	}
	return w.besideBacklog(ctx, r)
}

func (w *webhooksBench) ours(ctx context.Context) (Figures, error) {
	wait := func() error { return nil }
	if w.cfg.Profile != "" {
		if err := os.MkdirAll(w.cfg.Profile, 0o750); err != nil {
			return Figures{}, fmt.Errorf("make folder of profiles: %w", err)
		}
		wait = w.hooks.profile(ctx, filepath.Join(w.cfg.Profile, "webhooks.cpu.prof"), w.cfg.Time)
	}
	var rate float64
	f, err := w.hooks.using(ctx, func() (sent int, took time.Duration, err error) {
		sent, rate, err = w.most(ctx, w.cfg.Time)
		return sent, w.cfg.Time, err
	})
	f.EventsPerSecond = rate
	return f, errors.Join(err, wait())
}

func (w *webhooksBench) limit(ctx context.Context) (Figures, error) {
	q := url.Values{
		"url": {"http://" + w.receiver.Addr + "/ok/bare"}, "samples": {"http://" + w.receiver.Control + "/samples"},
		"clients": {strconv.Itoa(w.cfg.Clients)}, "time": {w.cfg.Time.String()},
	}
	return w.post.using(ctx, func() (int, time.Duration, error) {
		var p produced
		err := w.post.ask(ctx, http.MethodPost, "/post?"+q.Encode(), &p)
		return p.Records, p.Took, err
	})
}

// paced sends healthy endpoints deliveries at a rate, and where asked for the sick ones as many each.
func (w *webhooksBench) paced(ctx context.Context, rate int, sick bool) (Figures, error) {
	if err := w.forget(ctx); err != nil {
		return Figures{}, err
	}
	each := float64(rate) / float64(len(w.healthy))
	aside := make(chan error, 1)
	go func() {
		var err error
		if sick && len(w.sick) > 0 {
			_, err = w.pace(ctx, w.sick, each*float64(len(w.sick)), w.cfg.Time)
		}
		aside <- err
	}()
	sent, err := w.pace(ctx, w.healthy, float64(rate), w.cfg.Time)
	if err = errors.Join(err, <-aside); err != nil {
		return Figures{}, err
	}
	return w.latencies(ctx, sent)
}

// latencies waits for deliveries and says how long they took.
func (w *webhooksBench) latencies(ctx context.Context, sent int) (Figures, error) {
	if err := w.arrived(ctx, sent); err != nil {
		return Figures{}, err
	}
	var got received
	err := w.receiver.ask(ctx, http.MethodGet, "/received", &got)
	return Figures{EventsPerSecond: float64(sent) / w.cfg.Time.Seconds(), P50: got.P50, P90: got.P90, P99: got.P99}, err
}

// posted posts events to the edge, which link and the dispatcher take further, each in time whether or not the one before
// was answered.
func (w *webhooksBench) posted(ctx context.Context) (Figures, error) {
	if err := w.forget(ctx); err != nil {
		return Figures{}, err
	}
	failed := make(chan error, 1)
	tick := time.NewTicker(time.Second / time.Duration(w.cfg.PostRate))
	defer tick.Stop()
	sent := 0
	for start := time.Now(); time.Since(start) < w.cfg.Time; sent++ {
		select {
		case <-tick.C:
		case err := <-failed:
			return Figures{}, err
		case <-ctx.Done():
			return Figures{}, ctx.Err()
		}
		event := map[string]any{
			"objectType": "CUSTOMER", "objectId": objectID(sent % objects), "name": "Viewed article",
			"id": fmt.Sprintf("%d-%d", time.Now().UnixNano(), sent), "payload": map[string]any{"articleId": sent},
		}
		go func() {
			if err := w.call(ctx, http.MethodPost, "/v1/events", w.key, event, nil); err != nil {
				select {
				case failed <- err:
				default: // another one has failed
				}
			}
		}()
	}
	return w.latencies(ctx, sent)
}

// besideBacklog measures healthy endpoints while a great many deliveries wait for a dead one: as soon as they are planned,
// while they are being put off, and when they have been.
func (w *webhooksBench) besideBacklog(ctx context.Context, r *WebhooksReport) (err error) {
	if r.Before, err = w.paced(ctx, r.Rate, false); err != nil {
		return err
	}
	w.say("%d deliveries for an endpoint that nobody can reach", w.cfg.Backlog)
	began := time.Now()
	const atOnce = 2000
	for from := 0; from < w.cfg.Backlog; from += atOnce {
		records, err := w.events(w.backlog, from, min(from+atOnce, w.cfg.Backlog), time.Now())
		if err != nil {
			return err
		}
		if _, err := w.producer.Produce(ctx, records...); err != nil {
			return err
		}
	}
	if r.During, err = w.paced(ctx, r.Rate, false); err != nil {
		return err
	}
	for put := 0; put < w.cfg.Backlog; {
		if err := w.hooks.ask(ctx, http.MethodGet, "/count?metric=throughline_dispatcher_deferred_total", &put); err != nil {
			return err
		}
		// The few that were attempted before the breaker opened were not put off.
		if put+100 >= w.cfg.Backlog {
			break
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	r.PutOffIn = time.Since(began)
	r.After, err = w.paced(ctx, r.Rate, false)
	return err
}
