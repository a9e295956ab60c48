package web

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// unmatched is the route of requests that match none.
const unmatched = "unmatched"

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	problems *prometheus.CounterVec
	inFlight prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_http_requests_total",
			Help: "Requests answered, by route template, method and class of status; client_gone where the client left first.",
		}, []string{"route", "method", "class"}),
		duration: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "throughline_http_request_duration_seconds",
			Help: "Time from the request's headers to the end of its answer.",
			// From a cached read to the 5 s that a position may be waited for.
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route", "method"}),
		problems: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_http_problems_total",
			Help: "Requests answered with a problem, by its type.",
		}, []string{"type"}),
		inFlight: f.NewGauge(prometheus.GaugeOpts{
			Name: "throughline_http_requests_in_flight",
			Help: "Requests being answered now.",
		}),
	}
}

func (m *metrics) observe(route, verb string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, verb, class(status)).Inc()
	m.duration.WithLabelValues(route, verb).Observe(took.Seconds())
}

func class(status int) string {
	if status == statusClientGone {
		return "client_gone"
	}
	return strconv.Itoa(status/100) + "xx"
}
