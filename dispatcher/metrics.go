package dispatcher

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	planned  *prometheus.CounterVec
	filtered *prometheus.CounterVec
	attempts *prometheus.CounterVec
	seconds  prometheus.Histogram
	latency  prometheus.Histogram
	inFlight prometheus.Gauge
	deferred *prometheus.CounterVec
	disabled *prometheus.CounterVec
	overdue  prometheus.Gauge
	waiting  prometheus.Gauge
	dead     *prometheus.CounterVec
	// replaying and replayed are about replays.
	replaying prometheus.Gauge
	ordered   prometheus.Gauge
	replayed  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		planned: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_dispatcher_planned_total",
			Help: "Deliveries that were planned, by type of event. One that is planned again after an abort counts again.",
		}, []string{"type"}),
		filtered: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_dispatcher_filtered_total",
			Help: "Events that an endpoint's filter kept back, by why: no_match, failed (the filter could not be evaluated).",
		}, []string{"reason"}),
		attempts: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_dispatcher_attempts_total",
			Help: "Attempts that ended, and deliveries that were skipped, by outcome.",
		}, []string{"outcome"}),
		seconds: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "throughline_dispatcher_attempt_seconds",
			Help:    "How long attempts took.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}),
		latency: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "throughline_dispatcher_first_attempt_latency_seconds",
			Help:    "Time from an event's coming into the log to the end of the first attempt to deliver it.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 16),
		}),
		inFlight: f.NewGauge(prometheus.GaugeOpts{
			Name: "throughline_dispatcher_attempts_in_flight",
			Help: "Attempts that are under way.",
		}),
		deferred: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_dispatcher_deferred_total",
			Help: "Deliveries that were put off without an attempt, by why: busy (the endpoint's queue is full), broken (it fails), digest (its digest is not due).",
		}, []string{"reason"}),
		disabled: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_dispatcher_endpoints_disabled_total",
			Help: "Endpoints that were given up, by reason: gone, failing.",
		}, []string{"reason"}),
		overdue: f.NewGauge(prometheus.GaugeOpts{
			Name: "throughline_dispatcher_overdue_retries",
			Help: "Deliveries whose wait in a retry topic is over and that have not left it. It is 0 but for moments.",
		}),
		waiting: f.NewGauge(prometheus.GaugeOpts{
			Name: "throughline_dispatcher_waiting_retries",
			Help: "Deliveries in retry topics that this process watches; more may wait behind them.",
		}),
		dead: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_dispatcher_dead_letters_total",
			Help: "Records that could not be processed, by stage: plan, send, retry, replay.",
		}, []string{"stage"}),
		ordered: f.NewGauge(prometheus.GaugeOpts{
			Name: "throughline_dispatcher_ordered_waiting",
			Help: "Deliveries of this process that wait in the order of their conversation, also those that are under way.",
		}),
		replaying: f.NewGauge(prometheus.GaugeOpts{
			Name: "throughline_dispatcher_replays",
			Help: "Replays that this process is doing, also those that wait for their next step.",
		}),
		replayed: f.NewCounter(prometheus.CounterOpts{
			Name: "throughline_dispatcher_replayed_total",
			Help: "Deliveries that replays have sent again. A step that is made again after an abort counts again.",
		}),
	}
}
