package stream

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/throughline/throughline/schema/topic"
)

// GroupTopic is a consumer group (without the prefix) and a topic that it reads.
type GroupTopic struct {
	Group string
	Topic topic.Name
}

// LagMonitor measures how far groups are behind the high watermarks of what they read, since when, and how many members
// they have. Markers count: a group that commits past them reaches zero. It looks from outside, so that a group without
// any member is seen by whoever else runs.
type LagMonitor struct {
	watch    *OffsetWatch
	pairs    []GroupTopic
	interval time.Duration
	metrics  *lagMetrics
	// ages says since when a partition is behind.
	ages map[partitionOf]*history
}

type partitionOf struct {
	GroupTopic

	partition int32
}

type lagMetrics struct {
	offsets  *prometheus.GaugeVec
	seconds  *prometheus.GaugeVec
	members  *prometheus.GaugeVec
	failures prometheus.Counter
}

func newLagMetrics(reg prometheus.Registerer) *lagMetrics {
	f := promauto.With(reg)
	by := []string{"group", "topic", "partition"}
	return &lagMetrics{
		offsets: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "throughline_stream_group_lag_offsets",
			Help: "Offsets between what a group has committed and the high watermark.",
		}, by),
		seconds: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "throughline_stream_group_lag_seconds",
			Help: "Time for which the oldest record that a group has not passed has been there, as far as this process has watched.",
		}, by),
		members: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "throughline_stream_group_members",
			Help: "Members of a consumer group.",
		}, []string{"group"}),
		failures: f.NewCounter(prometheus.CounterOpts{
			Name: "throughline_stream_lag_failures_total",
			Help: "Measurements of lag that failed; the gauges then keep their last value.",
		}),
	}
}

// NewLagMonitor makes a LagMonitor that measures every interval.
func NewLagMonitor(w *OffsetWatch, pairs []GroupTopic, interval time.Duration) *LagMonitor {
	return &LagMonitor{
		watch: w, pairs: pairs, interval: interval, metrics: newLagMetrics(w.deps.Reg), ages: map[partitionOf]*history{},
	}
}

// Run measures until ctx ends, and then returns nil.
func (m *LagMonitor) Run(ctx context.Context) error {
	tick := time.NewTicker(m.interval)
	defer tick.Stop()
	for {
		for _, pair := range m.pairs {
			m.failed(ctx, pair.Group, m.measure(ctx, pair))
		}
		for _, group := range m.groups() {
			m.failed(ctx, group, m.count(ctx, group))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (m *LagMonitor) failed(ctx context.Context, group string, err error) {
	if err != nil && ctx.Err() == nil {
		m.metrics.failures.Inc()
		m.watch.deps.Log.WarnContext(ctx, "lag could not be measured", "group", group, "error", err)
	}
}

// groups are those of the pairs, each once.
func (m *LagMonitor) groups() []string {
	var names []string
	for _, pair := range m.pairs {
		if !slices.Contains(names, pair.Group) {
			names = append(names, pair.Group)
		}
	}
	return names
}

func (m *LagMonitor) measure(ctx context.Context, pair GroupTopic) error {
	lag, err := m.watch.lag(ctx, pair)
	now := time.Now()
	for p, l := range lag {
		labels := []string{pair.Group, string(pair.Topic), strconv.Itoa(int(p))}
		m.metrics.offsets.WithLabelValues(labels...).Set(float64(l.end - l.committed))
		key := partitionOf{pair, p}
		if m.ages[key] == nil {
			m.ages[key] = &history{}
		}
		m.metrics.seconds.WithLabelValues(labels...).Set(m.ages[key].note(now, l).Seconds())
	}
	return err
}

func (m *LagMonitor) count(ctx context.Context, group string) error {
	full := m.watch.cfg.Group(group)
	described, err := m.watch.admin.DescribeGroups(ctx, full)
	if err != nil {
		return fmt.Errorf("describe group %s: %w", full, err)
	}
	g := described[full]
	if g.Err != nil {
		return fmt.Errorf("describe group %s: %w", full, g.Err)
	}
	m.metrics.members.WithLabelValues(group).Set(float64(len(g.Members)))
	return nil
}

// lag is where a group and the log stand in one partition.
type lag struct{ committed, end int64 }

// Lag is how many offsets a group is behind, by partition. A partition without a commit is left out.
func (w *OffsetWatch) Lag(ctx context.Context, pair GroupTopic) (map[int32]int64, error) {
	stands, err := w.lag(ctx, pair)
	if err != nil {
		return nil, err
	}
	behind := map[int32]int64{}
	for p, l := range stands {
		behind[p] = l.end - l.committed
	}
	return behind, nil
}

func (w *OffsetWatch) lag(ctx context.Context, pair GroupTopic) (map[int32]lag, error) {
	// The committed offset first: read the other way round, a busy group would seem to be ahead of the log.
	committed, err := w.Committed(ctx, pair.Group, pair.Topic)
	if err != nil {
		return nil, err
	}
	ends, err := w.EndOffsets(ctx, pair.Topic)
	if err != nil {
		return nil, err
	}
	stands := map[int32]lag{}
	for p, at := range committed {
		stands[p] = lag{committed: at, end: ends[p]}
	}
	return stands, nil
}

// history is when the end of a partition was seen to move, as far as that is beyond what is committed: the first entry
// says since when there is something to do. Asking the broker for that record's time would cost a fetch each time.
type history struct {
	moves []move
}

type move struct {
	at  time.Time
	end int64
}

// maxMoves bounds a history. What is thinned out makes a later answer smaller than the truth by what it is apart.
const maxMoves = 512

// note takes a measurement and returns for how long the oldest record beyond what is committed is known to be there.
func (h *history) note(now time.Time, l lag) time.Duration {
	last := len(h.moves) - 1
	if last >= 0 && l.end < h.moves[last].end {
		h.moves = h.moves[:0] // a topic that was made anew
	}
	if last = len(h.moves) - 1; last < 0 || l.end > h.moves[last].end {
		h.moves = append(h.moves, move{now, l.end})
	}
	h.moves = slices.DeleteFunc(h.moves, func(m move) bool { return m.end <= l.committed })
	if len(h.moves) > maxMoves {
		kept := h.moves[:0]
		for i, m := range h.moves {
			if i%2 == 0 {
				kept = append(kept, m)
			}
		}
		h.moves = kept
	}
	if len(h.moves) == 0 {
		return 0
	}
	return now.Sub(h.moves[0].at)
}
