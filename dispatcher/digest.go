package dispatcher

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/webhook"
)

const (
	// maxDigest and maxDigestBytes bound what one message gathers: in deliveries, and in bytes of their bodies.
	maxDigest      = 250
	maxDigestBytes = 1 << 20
	// maxGathered bounds the deliveries of one endpoint that wait in memory to be gathered; others wait in a retry topic. A
	// partition hands out sender.tracked's window, which one endpoint must not take up.
	maxGathered = 500
	// maxHold is how long a delivery waits in memory for its digest; a longer wait is one in a retry topic.
	maxHold = 10 * time.Second
	// digestGrace is how long a digest waits for what comes out of a retry topic: it may be late by a second.
	digestGrace = 2 * time.Second
)

// group are deliveries of one endpoint that go as one message. It is open to more until the message is about to be posted.
// Nothing of it is in the log: its deliveries are tasks that have not begun, and a restart gathers them again.
type group struct {
	lane *lane
	key  string
	jobs []job
	size int
	// offered says that the lane has it, taken that its jobs are somebody's by now.
	offered, taken bool
}

// digests are the groups that are open.
type digests struct {
	mu   sync.Mutex
	open map[*lane]map[string]*group
	// gathered counts the deliveries of each lane that wait in groups.
	gathered map[*lane]int
}

func newDigests() *digests {
	return &digests{open: map[*lane]map[string]*group{}, gathered: map[*lane]int{}}
}

// gathers says whether several deliveries of the endpoint may become one message: where it asked for that, and where its
// service takes few messages. Deliveries whose order is kept go one by one.
func (t *target) gathers() bool {
	return t.Ordering == webhook.OrderingNone && (t.DigestSeconds > 0 || serviceRate(t.Format) > 0)
}

// digestDue says when a delivery goes and with which others. Digests by interval are those of the intervals in which their
// events came into the log, so that a restart gathers the same; what failed together is tried again together; everything
// else goes as soon as the endpoint's budget has room, with what waits for that as well.
func digestDue(to *target, d *webhook.Delivery, now time.Time) (key string, due time.Time) {
	switch {
	case d.Digest != "":
		return d.Digest, now.Add(digestGrace)
	case to.DigestSeconds == 0:
		return "", now
	}
	end := digestEnd(to.DigestSeconds, d.PlannedAt.Time)
	if end.Before(now) {
		return strconv.FormatInt(end.Unix(), 10), now.Add(digestGrace)
	}
	return strconv.FormatInt(end.Unix(), 10), end
}

// digestEnd is the end of the interval that a time lies in.
func digestEnd(seconds int, at time.Time) time.Time {
	interval := time.Duration(seconds) * time.Second
	return at.Truncate(interval).Add(interval)
}

// gather puts a delivery into the group that it goes with, or puts it off.
func (s *sender) gather(ctx context.Context, to *target, l *lane, j job) {
	now := s.now()
	key, due := digestDue(to, j.delivery, now)
	if wait := due.Sub(now); wait > maxHold {
		s.hold(j, wait)
		return
	}
	if to.DigestSeconds > 0 && j.delivery.Digest == "" {
		due = due.Add(digestGrace)
	}
	g, begins, ready := s.digests.add(l, key, j)
	switch {
	case g == nil:
		s.park(j, l.full(j.delivery.Deferrals), "busy")
	case ready || !due.After(now):
		s.offer(ctx, g)
	case begins:
		time.AfterFunc(due.Sub(now), func() { s.offer(ctx, g) })
	}
}

// hold puts a delivery off until its digest is due. Nothing is wrong with it or its endpoint, so that it does not count as
// put off, and it is not late by a share of its wait.
func (s *sender) hold(j job, wait time.Duration) {
	s.metrics.deferred.WithLabelValues("digest").Inc()
	now, later := s.now(), *j.delivery
	// Without the length of the wait, no hop takes a share of it as what it may be late.
	later.Again, later.DueAt, later.Waits = true, eventTime(now.Add(wait)), 0
	tier, leaves := webhook.Hop(now, later.DueAt.Time, 0)
	later.LeavesAt = eventTime(leaves)
	r, err := s.records.delivery(tier.Topic, &later)
	s.settle(j.task, []*stream.Record{r}, err)
}

// offer gives a group to its lane, once.
func (s *sender) offer(ctx context.Context, g *group) {
	lead, ok := s.digests.offered(g)
	if !ok || ctx.Err() != nil {
		return
	}
	if deferral, reason := g.lane.offer(lead, s.now()); deferral > 0 {
		s.park(lead, deferral, reason)
		return
	}
	s.pump(ctx, g.lane)
}

// add puts a job into the open group of a key. It gives none where the lane has too many. begins says that the job is the
// group's first, ready that the group waits for nothing more.
func (d *digests) add(l *lane, key string, j job) (g *group, begins, ready bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gathered[l] >= maxGathered {
		return nil, false, false
	}
	size := len(j.delivery.Body) + len(j.delivery.Sealed)
	g = d.open[l][key]
	if g != nil && g.size+size > maxDigestBytes {
		// It goes when its time has come, without this one.
		d.closeLocked(g)
		g = nil
	}
	if g == nil {
		g = &group{lane: l, key: key}
		if d.open[l] == nil {
			d.open[l] = map[string]*group{}
		}
		d.open[l][key] = g
	}
	g.jobs = append(g.jobs, j)
	g.size += size
	d.gathered[l]++
	if len(g.jobs) == maxDigest {
		d.closeLocked(g)
		return g, false, true
	}
	return g, len(g.jobs) == 1, len(g.jobs) == j.delivery.DigestSize
}

// closeLocked takes nothing more into a group.
func (d *digests) closeLocked(g *group) {
	if d.open[g.lane][g.key] != g {
		return
	}
	delete(d.open[g.lane], g.key)
	if len(d.open[g.lane]) == 0 {
		delete(d.open, g.lane)
	}
}

// offered notes that a group goes to its lane, and gives the job that stands for it.
func (d *digests) offered(g *group) (job, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if g.offered || len(g.jobs) == 0 {
		return job{}, false
	}
	g.offered = true
	return job{task: g.jobs[0].task, delivery: g.jobs[0].delivery, group: g}, true
}

// take closes a group and gives its jobs, once, in the order of the log.
func (d *digests) take(g *group) []job {
	d.mu.Lock()
	defer d.mu.Unlock()
	if g.taken {
		return nil
	}
	g.taken = true
	d.closeLocked(g)
	if d.gathered[g.lane] -= len(g.jobs); d.gathered[g.lane] <= 0 {
		delete(d.gathered, g.lane)
	}
	slices.SortFunc(g.jobs, func(a, b job) int { return byPlan(a.delivery, b.delivery) })
	return g.jobs
}

// byPlan is the order of deliveries in a digest: that of their events in the log, whichever way they came.
func byPlan(a, b *webhook.Delivery) int {
	if n := a.PlannedAt.Compare(b.PlannedAt.Time); n != 0 {
		return n
	}
	if a.ID < b.ID {
		return -1
	}
	return 1
}
