package web

import (
	"slices"
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
		inFlight: f.NewGauge(prometheus.GaugeOpts{
			Name: "throughline_http_requests_in_flight",
			Help: "Requests being answered now.",
		}),
	}
}

func (m *metrics) observe(route, method string, status int, took time.Duration) {
	if !slices.Contains(methods(), method) {
		method = "other" // a client may send any word as its method
	}
	m.requests.WithLabelValues(route, method, class(status)).Inc()
	m.duration.WithLabelValues(route, method).Observe(took.Seconds())
}

func class(status int) string {
	if status == statusClientGone {
		return "client_gone"
	}
	return strconv.Itoa(status/100) + "xx"
}
