package replay

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/throughline/throughline/deploy/client"
	"github.com/throughline/throughline/deploy/meter"
	"github.com/throughline/throughline/schema/run"
)

// errInterrupted is the end of a run that was asked to stop.
var errInterrupted = errors.New("interrupted; the same command goes on where this ended: what was accepted is known for 24 hours")

// Run posts the traces of a configuration and returns what became of their steps. Running it again changes nothing.
func Run(ctx context.Context, cfg Config, deps Deps) (Totals, error) {
	if err := cfg.Validate(); err != nil {
		return Totals{}, err
	}
	zone, err := cfg.zone()
	if err != nil {
		return Totals{}, err
	}
	calls, err := readFiles(cfg.Files, deps.Stdin, zone)
	if err != nil {
		return Totals{}, err
	}
	return Calls(ctx, calls, cfg, deps)
}

// Calls posts calls that are at hand, as Run does those of files.
func Calls(ctx context.Context, calls []Call, cfg Config, deps Deps) (Totals, error) {
	if err := errors.Join(cfg.how()...); err != nil {
		return Totals{}, err
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Position == nil {
		deps.Position = func(string) {}
	}
	zone, err := cfg.zone()
	if err != nil {
		return Totals{}, err
	}
	if cfg.Now {
		calls = slices.Clone(calls)
		moveToToday(calls, deps.Now(), zone)
	}
	key, err := cfg.secret()
	if err != nil {
		return Totals{}, err
	}
	p := &posting{cfg: cfg, deps: deps, count: &count{out: deps.Progress}}
	p.api, err = client.New(client.Config{
		URL: cfg.URL, Key: key, Connections: cfg.Parallel, Patience: cfg.Patience, Timeout: attemptTimeout, OnRetry: p.count.retry,
	})
	if err != nil {
		return Totals{}, err
	}
	defer p.api.Close()
	if err := p.run(ctx, calls); err != nil {
		if ctx.Err() != nil {
			err = errInterrupted
		}
		return p.count.now(), fmt.Errorf("replay: %w", err)
	}
	return p.count.now(), nil
}

// posting is a run.
type posting struct {
	cfg   Config
	deps  Deps
	api   *client.Client
	count *count
}

func (p *posting) run(ctx context.Context, calls []Call) error {
	if p.cfg.Objects {
		if err := p.objects(ctx, objectsOf(calls)); err != nil {
			return err
		}
	}
	talks := talksOf(calls)
	plan, timing := p.order(talks)
	c := p.count
	c.start, c.total, c.timing = time.Now(), int64(len(plan.steps)), timing
	c.totals.Conversations = len(talks)
	for _, t := range talks {
		if end := t[len(t)-1].OccurredAt; end.After(c.end) {
			c.end = end
		}
	}
	m := meter.Start(p.deps.Progress, run.Terminal(p.deps.Progress), logPace, c.line)
	err := p.send(ctx, plan, timing)
	m.Finish(c.last(time.Now()))
	p.say("%s", c.refusals())
	return err
}

// order plans the steps, and says when those go that wait; nil where none does.
func (p *posting) order(talks []talk) (plan, *timing) {
	first, now := talks[0][0].OccurredAt, p.deps.Now()
	switch {
	case p.cfg.Speed == 0:
		return planOf(talks, talks[len(talks)-1][0].OccurredAt.AddDate(1000, 0, 0)), nil
	case p.cfg.Now:
		return planOf(talks, now), &timing{real: time.Now(), trace: now, speed: p.cfg.Speed}
	default:
		return planOf(talks, first.Add(-1)), &timing{real: time.Now(), trace: first, speed: p.cfg.Speed}
	}
}

// say writes for people; that nobody can read it is no reason to stop.
func (p *posting) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.deps.Progress, format, args...)
}

// objects writes objects, one batch after the other. One that is refused is told and left out: its conversations list it
// as missing.
func (p *posting) objects(ctx context.Context, all []upsert) error {
	w := p.worker()
	refused := 0
	for part := range slices.Chunk(all, batchItems) {
		err := deliver(ctx, w, "v1/objects/batch", part, func(o upsert, r result) {
			if r.Problem == nil {
				return
			}
			if refused++; refused <= shownRefusals {
				p.say("  refused: %s %s: %s\n", o.ObjectType, o.ObjectID, r.say())
			}
		})
		if err != nil {
			return err
		}
	}
	p.say("%s customers and agents written", meter.Thousands(int64(len(all)-refused)))
	if refused > 0 {
		p.say(", %s refused", meter.Thousands(int64(refused)))
	}
	p.say("\n")
	return nil
}

func (p *posting) worker() *worker {
	return &worker{api: p.api, patience: p.cfg.Patience, count: p.count, position: p.deps.Position, givenUp: make(map[string]bool)}
}

// send posts the steps of a plan. After an error nothing more is sent, and it returns once all workers have.
func (p *posting) send(ctx context.Context, plan plan, timing *timing) error {
	work, ctx := errgroup.WithContext(ctx)
	d := &dealer{filling: make([]filling, p.cfg.Parallel)}
	for range p.cfg.Parallel {
		w, queue := p.worker(), make(chan []*step, 1)
		d.queues = append(d.queues, queue)
		work.Go(func() error {
			for {
				select {
				case steps, more := <-queue:
					if !more {
						return nil
					}
					if err := w.deliver(ctx, steps); err != nil {
						return err
					}
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		})
	}
	work.Go(func() error { return d.deal(ctx, plan, timing) })
	return work.Wait()
}

// dealer gives steps to workers, in batches that have one step of a conversation at most.
type dealer struct {
	queues  []chan []*step
	filling []filling
}

// filling is a batch that is not full yet.
type filling struct {
	steps []*step
	of    map[string]bool
}

func (d *dealer) deal(ctx context.Context, plan plan, timing *timing) error {
	for i, s := range plan.steps {
		if i >= plan.atOnce {
			if wait := time.Until(timing.due(s.OccurredAt)); wait > 0 {
				if err := d.flush(ctx); err != nil {
					return err
				}
				if err := client.Wait(ctx, wait); err != nil {
					return err
				}
			}
		}
		if err := d.add(ctx, s); err != nil {
			return err
		}
	}
	if err := d.flush(ctx); err != nil {
		return err
	}
	for _, q := range d.queues {
		close(q)
	}
	return nil
}

func (d *dealer) add(ctx context.Context, s *step) error {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s.ConversationID)) // a hash takes everything
	n := int(h.Sum32() % uint32(len(d.queues)))
	f := &d.filling[n]
	if f.of[s.ConversationID] || len(f.steps) == batchItems {
		if err := d.dispatch(ctx, n); err != nil {
			return err
		}
	}
	if f.of == nil {
		f.of = make(map[string]bool)
	}
	f.steps, f.of[s.ConversationID] = append(f.steps, s), true
	return nil
}

// flush gives every batch to its worker.
func (d *dealer) flush(ctx context.Context) error {
	for n := range d.filling {
		if err := d.dispatch(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// dispatch gives a batch to its worker and waits until that can take it.
func (d *dealer) dispatch(ctx context.Context, n int) error {
	if len(d.filling[n].steps) == 0 {
		return nil
	}
	select {
	case d.queues[n] <- d.filling[n].steps:
		d.filling[n] = filling{}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
