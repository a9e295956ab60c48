package ingest

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	events   *prometheus.CounterVec
	refusals *prometheus.CounterVec
	objects  *prometheus.CounterVec
	limited  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		events: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_ingest_events_total",
			Help: "Events posted, by outcome: linked, pending, not_found, invalid, unavailable.",
		}, []string{"outcome"}),
		refusals: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_ingest_refusals_total",
			Help: "Refusals for the event log, by outcome: logged, dropped (the buffer was full), failed (the log did not take it).",
		}, []string{"outcome"}),
		objects: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_ingest_object_writes_total",
			Help: "Writes of objects, by operation: put, patch, delete.",
		}, []string{"operation"}),
		limited: f.NewCounter(prometheus.CounterOpts{
			Name: "throughline_ingest_rate_limited_total",
			Help: "Requests that were refused because their API key had used up its rate limit.",
		}),
	}
}

// count counts events of one outcome. Those of a batch are counted together: looking the counter up takes longer than
// adding to it.
func (m *metrics) count(outcome string, n int) {
	if n > 0 {
		m.events.WithLabelValues(outcome).Add(float64(n))
	}
}
