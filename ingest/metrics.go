package ingest

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	events      *prometheus.CounterVec
	refusals    *prometheus.CounterVec
	objects     *prometheus.CounterVec
	transitions *prometheus.CounterVec
	limited     prometheus.Counter
	bodies      prometheus.Gauge
	working     prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, cfg Config) *metrics {
	f := promauto.With(reg)
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "throughline_ingest_" + name, Help: help})
	}
	gauge("body_limit_bytes", "Most bytes that bodies may hold at once.").Set(float64(cfg.MaxBodyBytes))
	gauge("working_limit_requests", "Most requests that may be worked on at once.").Set(float64(cfg.MaxInFlight))
	return &metrics{
		bodies:  gauge("body_bytes", "Bytes held by bodies of requests and what is made of them, as counted against their limit."),
		working: gauge("working_requests", "Requests that are worked on, their bodies having arrived."),
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
		transitions: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_ingest_transitions_total",
			Help: "Transitions posted, by outcome: changed, unchanged, refused, invalid, pending (the reply was overdue), unavailable.",
		}, []string{"outcome"}),
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
