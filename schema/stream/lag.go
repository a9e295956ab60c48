package stream

import (
	"context"
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

// LagMonitor measures how far groups are behind the high watermarks of what they read. Markers count: a group that
// commits past them reaches zero.
type LagMonitor struct {
	watch    *OffsetWatch
	pairs    []GroupTopic
	interval time.Duration
	lag      *prometheus.GaugeVec
	failures prometheus.Counter
}

// NewLagMonitor makes a LagMonitor that measures every interval.
func NewLagMonitor(w *OffsetWatch, pairs []GroupTopic, interval time.Duration) *LagMonitor {
	f := promauto.With(w.deps.Reg)
	return &LagMonitor{
		watch: w, pairs: pairs, interval: interval,
		lag: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "throughline_stream_group_lag",
			Help: "Offsets between what a group has committed and the high watermark.",
		}, []string{"group", "topic", "partition"}),
		failures: f.NewCounter(prometheus.CounterOpts{
			Name: "throughline_stream_lag_failures_total",
			Help: "Measurements of lag that failed; the gauges then keep their last value.",
		}),
	}
}

// Run measures until ctx ends, and then returns nil.
func (m *LagMonitor) Run(ctx context.Context) error {
	tick := time.NewTicker(m.interval)
	defer tick.Stop()
	for {
		for _, pair := range m.pairs {
			lag, err := m.watch.Lag(ctx, pair)
			if err != nil && ctx.Err() == nil {
				m.failures.Inc()
				m.watch.deps.Log.WarnContext(ctx, "lag could not be measured", "group", pair.Group, "error", err)
			}
			for p, behind := range lag {
				m.lag.WithLabelValues(pair.Group, string(pair.Topic), strconv.Itoa(int(p))).Set(float64(behind))
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Lag is how many offsets a group is behind, by partition. A partition without a commit is left out.
func (w *OffsetWatch) Lag(ctx context.Context, pair GroupTopic) (map[int32]int64, error) {
	// The committed offset first: read the other way round, a busy group would seem to be ahead of the log.
	committed, err := w.Committed(ctx, pair.Group, pair.Topic)
	if err != nil {
		return nil, err
	}
	ends, err := w.EndOffsets(ctx, pair.Topic)
	if err != nil {
		return nil, err
	}
	lag := map[int32]int64{}
	for p, at := range committed {
		lag[p] = ends[p] - at
	}
	return lag, nil
}
