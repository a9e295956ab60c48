package dispatcher

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// sender attempts deliveries. Each becomes a task of the log's bookkeeping (stream.Tracked): it is attempted in the lane
// of its endpoint, and what became of it is written in one transaction with the fact that it is finished.
type sender struct {
	cfg       Config
	directory *directory
	records   records
	poster    *poster
	metrics   *metrics
	log       *slog.Logger
	now       func() time.Time
	// slots bound the attempts that are under way.
	slots chan struct{}
	// doubts are deliveries whose endpoint seems to be gone or disabled, as far as the view knows.
	doubts chan job
	// budgets are what services allow at their URLs.
	budgets *budgets
	digests *digests
	// order has the deliveries that must not overtake each other.
	order *order

	mu    sync.Mutex
	lanes map[string]*lane
}

// doubtBuffer bounds the deliveries that wait for the view; a delivery more is put off.
const doubtBuffer = 10_000

func newSender(cfg Config, deps Deps, p *poster, m *metrics) *sender {
	s := &sender{
		cfg: cfg, poster: p, metrics: m, log: deps.Log, now: deps.Now, slots: make(chan struct{}, cfg.Concurrency),
		doubts: make(chan job, doubtBuffer), budgets: &budgets{byURL: map[string]*budget{}}, digests: newDigests(), lanes: map[string]*lane{},
	}
	s.order = newOrder(s)
	s.order.load = s.loadLanes
	return s
}

func (s *sender) tracked(deps Deps, cfg Config) (*stream.Tracked, error) {
	t, err := stream.NewTracked(deps.Kafka, stream.TrackedConfig{
		Role: roleSend, Instance: cfg.Instance,
		Inputs: []topic.Name{topic.WebhookDeliveries},
		Outputs: append([]topic.Name{
			topic.WebhookAttempts, topic.WebhookDeliveries, topic.WebhookEndpoints, topic.WebhookLanes, topic.DeadLetters,
		}, tierTopics()...),
		// The lanes bound what waits; the window must not be what stops a partition before that.
		Window: 5000,
		// An attempt that is under way when a rebalance comes ends within its timeout.
		Drain: cfg.AttemptTimeout, StopGrace: 2 * time.Second,
		Assigned: s.order.assigned, Lost: s.order.lost,
	}, s.take, stream.Deps{Log: deps.Log, Reg: deps.Reg, Traces: deps.Traces})
	if err != nil {
		return nil, err
	}
	s.order.again = t.Again
	return t, nil
}

// take is called for each delivery, by the loop that reads the log.
func (s *sender) take(ctx context.Context, t *stream.Task) {
	d, err := webhook.ParseDelivery(t.Record.Value)
	if err != nil {
		s.metrics.dead.WithLabelValues("send").Inc()
		letter, err := s.records.deadLetter(roleSend, err.Error(), "", t.Record)
		s.settle(t, []*stream.Record{letter}, err)
		return
	}
	j := job{task: t, delivery: d}
	to, err := s.directory.find(d.Workspace, d.Endpoint)
	if err == nil && s.order.wanted(to, d) {
		s.order.arrive(j) //nolint:contextcheck // attempts end with the partition's own context
		return
	}
	s.route(ctx, j, false)
}

// route gives a delivery to its lane. certain says that the view has everything that there was when the delivery came:
// before that, an endpoint that is not there may only not have arrived yet.
func (s *sender) route(ctx context.Context, j job, certain bool) {
	to, err := s.directory.find(j.delivery.Workspace, j.delivery.Endpoint)
	switch {
	case err != nil:
		s.log.ErrorContext(ctx, "endpoint cannot be looked up", "endpoint", j.delivery.Endpoint, "error", err)
		s.park(j, minDeferral, "busy")
	case skipped(to, j.delivery) == "":
		s.enqueue(ctx, to, j)
	case certain:
		s.skip(j, skipped(to, j.delivery))
	default:
		select {
		case s.doubts <- j:
		default:
			s.park(j, minDeferral, "busy")
		}
	}
}

// skipped says why a delivery is not to be sent, or nothing.
func skipped(to *target, d *webhook.Delivery) webhook.Outcome {
	switch {
	case to == nil, d.Since().Before(to.CreatedAt.Time) && !d.Once:
		return webhook.OutcomeDeleted
	case !to.active() && !d.Once:
		return webhook.OutcomeDisabled
	default:
		return ""
	}
}

// settleDoubts brings the view up to date, once for all deliveries that wait for it, until the context ends.
func (s *sender) settleDoubts(ctx context.Context) error {
	for {
		var waiting []job
		select {
		case <-ctx.Done():
			return nil
		case j := <-s.doubts:
			waiting = append(waiting, j)
		}
		for more := true; more; {
			select {
			case j := <-s.doubts:
				waiting = append(waiting, j)
			default:
				more = false
			}
		}
		err := s.directory.view.Barrier(ctx)
		for _, j := range waiting {
			if err != nil {
				s.park(j, minDeferral, "busy")
				continue
			}
			s.route(ctx, j, true)
		}
	}
}

// enqueue puts a delivery into the lane of its endpoint, or puts it off. What somebody asked for by hand goes past them.
func (s *sender) enqueue(ctx context.Context, to *target, j job) {
	if j.delivery.Once {
		go s.run(ctx, s.newLane(), j, nil)
		return
	}
	l := s.lane(to.Workspace, to.ID)
	s.budgets.limit(l, to)
	if to.gathers() {
		s.gather(ctx, to, l, j)
		return
	}
	if deferral, reason := l.offer(j, s.now()); deferral > 0 {
		s.park(j, deferral, reason)
		return
	}
	s.pump(ctx, l)
}

func (s *sender) newLane() *lane { return &lane{width: s.cfg.EndpointConcurrency, used: s.now()} }

func (s *sender) lane(workspace, endpoint string) *lane {
	key := string(endpointKey(workspace, endpoint))
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[key]
	if l == nil {
		l = s.newLane()
		s.lanes[key] = l
	}
	return l
}

// sweepEvery is how often lanes that nobody uses are forgotten.
const sweepEvery = 10 * time.Minute

// sweep forgets lanes that nobody uses, until the context ends.
func (s *sender) sweep(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := s.now()
		s.mu.Lock()
		for key, l := range s.lanes {
			if l.idle(now) {
				delete(s.lanes, key)
			}
		}
		s.mu.Unlock()
		s.budgets.sweep(now)
	}
}

// pump begins as many attempts as the lane has places for.
func (s *sender) pump(ctx context.Context, l *lane) {
	for {
		j, limiter, ok, deferred, wait := l.next(s.now())
		for _, d := range deferred {
			s.park(d, wait, "broken")
		}
		if !ok {
			return
		}
		go s.run(ctx, l, j, limiter)
	}
}

// run makes one attempt and settles its delivery.
func (s *sender) run(ctx context.Context, l *lane, j job, limiter *rate.Limiter) {
	defer s.pump(ctx, l)
	if limiter != nil && limiter.Wait(ctx) != nil || l.spend(ctx) != nil {
		l.left()
		return
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		l.left()
		return
	}
	if j.group != nil {
		s.runDigest(ctx, l, j.group)
		return
	}
	if !j.task.Begin(ctx) {
		l.left()
		return
	}
	// From here on the attempt is made whatever happens, and has an outcome.
	s.attempt(context.WithoutCancel(ctx), l, j)
}

// attempt posts a delivery that has begun.
func (s *sender) attempt(ctx context.Context, l *lane, j job) {
	d := j.delivery
	to, err := s.directory.find(d.Workspace, d.Endpoint)
	var c content
	var why webhook.Outcome
	if err == nil {
		c, why, err = s.prepare(ctx, to, d)
	}
	switch {
	case err != nil:
		s.log.ErrorContext(ctx, "delivery cannot be prepared", "delivery", d.ID, "error", err)
		l.left()
		s.park(j, maxQueueWait, "broken")
		return
	case why != "":
		l.left()
		s.skip(j, why)
		return
	}
	res, h := s.post(ctx, l, to, d, c)
	out, _, err := s.conclude(to, d, res, h, false)
	s.told(ctx, d, res.attempt)
	s.settle(j.task, out, err)
}

// make posts an ordered delivery that has begun, and gives its place in the lane back. given says that the endpoint was
// given up as it is.
func (s *sender) make(ctx context.Context, l *lane, to *target, d *webhook.Delivery, given bool) verdict {
	later := verdict{attempts: d.Attempts, wait: maxQueueWait}
	c, why, err := s.prepare(ctx, to, d)
	if why == "" && given {
		why = webhook.OutcomeDisabled
	}
	switch {
	case err != nil:
		s.log.ErrorContext(ctx, "delivery cannot be prepared", "delivery", d.ID, "error", err)
		l.left()
		return later
	case why != "":
		l.left()
		r, err := s.skipping(d, why)
		if err != nil {
			s.log.ErrorContext(ctx, "outcome cannot be written", "delivery", d.ID, "error", err)
			return later
		}
		return verdict{out: []*stream.Record{r}, final: true}
	}
	res, h := s.post(ctx, l, to, d, c)
	out, reason, err := s.conclude(to, d, res, h, true)
	s.told(ctx, d, res.attempt)
	if err != nil {
		s.log.ErrorContext(ctx, "outcome cannot be written", "delivery", d.ID, "error", err)
		return later
	}
	v := verdict{out: out, final: res.attempt.Status != webhook.Retrying, attempts: d.Attempts + 1, given: reason != ""}
	if !v.final {
		v.wait = res.attempt.NextAt.Sub(s.now())
	}
	return v
}

// prepare opens what is to be posted, or says why nothing is. An error is no fault of the endpoint, so that no attempt is
// counted.
func (s *sender) prepare(ctx context.Context, to *target, d *webhook.Delivery) (content, webhook.Outcome, error) {
	if to != nil && to.broken != nil {
		return content{}, "", to.broken
	}
	if why := skipped(to, d); why != "" {
		return content{}, why, nil
	}
	c, err := s.open(ctx, d)
	if errors.Is(err, errErased) {
		return content{}, webhook.OutcomeErased, nil
	}
	if err == nil {
		c.body, err = render(to.Format, c.body)
	}
	return c, "", err
}

// post makes an attempt and tells the lane how it ended.
func (s *sender) post(ctx context.Context, l *lane, to *target, d *webhook.Delivery, c content) (result, health) {
	s.metrics.inFlight.Inc()
	res := s.poster.post(ctx, to.private, d, c.body)
	s.metrics.inFlight.Dec()
	a := res.attempt
	took := time.Duration(a.Timing.Total) * time.Microsecond
	h := l.ended(s.now(), a.Outcome == webhook.OutcomeSuccess, took, res.wait)
	s.metrics.attempts.WithLabelValues(string(a.Outcome)).Inc()
	s.metrics.seconds.Observe(took.Seconds())
	if d.Attempts == 0 && !d.Once && d.ReplayedAt.IsZero() {
		s.metrics.latency.Observe(s.now().Sub(d.PlannedAt.Time).Seconds())
	}
	c.keep(d.ID, res)
	return res, h
}

// told writes the line of an attempt.
func (s *sender) told(ctx context.Context, d *webhook.Delivery, a *webhook.Attempt) {
	s.log.LogAttrs(ctx, slog.LevelInfo, "delivery attempted", slog.String("workspace", d.Workspace),
		slog.String("endpoint", d.Endpoint), slog.String("delivery", d.ID), slog.Int("attempt", a.Number),
		slog.String("outcome", string(a.Outcome)), slog.Int("status", a.StatusCode),
		slog.Duration("duration", time.Duration(a.Timing.Total)*time.Microsecond), slog.String("delivery_status", string(a.Status)))
}

// settle gives a task its outcome. An outcome that cannot be written is a mistake of this program; the task then stays
// open, and is done again by the next start.
func (s *sender) settle(t *stream.Task, out []*stream.Record, err error) {
	if err != nil {
		s.log.Error("outcome cannot be written", slog.String("error", err.Error()))
		return
	}
	for _, r := range out {
		stream.SetOrigin(r, t.Record)
	}
	t.Settle(out)
}

// park puts a delivery off without an attempt, or all that were gathered with it.
func (s *sender) park(j job, wait time.Duration, reason string) {
	if j.group != nil {
		for _, member := range s.digests.take(j.group) {
			s.park(member, wait, reason)
		}
		return
	}
	s.metrics.deferred.WithLabelValues(reason).Inc()
	later := *j.delivery
	later.Deferrals++
	r, err := s.records.later(&later, s.now(), wait)
	s.settle(j.task, []*stream.Record{r}, err)
}

// later is a delivery that is due after a while, in the retry topic that takes it there.
func (r records) later(d *webhook.Delivery, now time.Time, wait time.Duration) (*stream.Record, error) {
	d.Again, d.DueAt, d.Waits = true, event.TimeOf(now.Add(wait)), wait.Milliseconds()
	tier, leaves := webhook.Hop(now, now.Add(wait), wait)
	d.LeavesAt = event.TimeOf(leaves)
	return r.delivery(tier.Topic, d)
}

// skip records that nothing was sent.
func (s *sender) skip(j job, why webhook.Outcome) {
	r, err := s.skipping(j.delivery, why)
	s.settle(j.task, []*stream.Record{r}, err)
}

// skipping is the record that nothing was sent.
func (s *sender) skipping(d *webhook.Delivery, why webhook.Outcome) (*stream.Record, error) {
	s.metrics.attempts.WithLabelValues(string(why)).Inc()
	a := &webhook.Attempt{At: eventTime(s.now()), Outcome: why, Status: webhook.Skipped}
	describe(a, d)
	return s.records.attempt(a)
}

// describe says in an attempt which delivery it is of.
func describe(a *webhook.Attempt, d *webhook.Delivery) {
	a.Delivery, a.Workspace, a.Endpoint, a.Type = d.ID, d.Workspace, d.Endpoint, d.Type
	a.Subject, a.Event, a.PlannedAt = d.Subject, d.Event, d.PlannedAt
}

func eventTime(t time.Time) event.Time { return event.TimeOf(t) }
