package registry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	barriers *prometheus.CounterVec
	wait     prometheus.Histogram
	ignored  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		barriers: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_registry_barriers_total",
			Help: "Reads that waited for the registry to reach the end of the log, by outcome: ok or behind.",
		}, []string{"outcome"}),
		wait: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "throughline_registry_barrier_seconds",
			Help:    "Time that a read waited for the registry to reach the end of the log.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2},
		}),
		ignored: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_registry_ignored_records_total",
			Help: "Records that the registry could not read, by topic. Nobody but a foreign producer writes such.",
		}, []string{"topic"}),
	}
}

func (m *metrics) barrier(err error, took time.Duration) {
	m.wait.Observe(took.Seconds())
	if err != nil {
		m.barriers.WithLabelValues("behind").Inc()
		return
	}
	m.barriers.WithLabelValues("ok").Inc()
}
