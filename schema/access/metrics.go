package access

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	refused *prometheus.CounterVec
	ignored prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		refused: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_access_refused_total",
			Help: "Requests kept out, by reason: no_key, unknown_key, expired_key, scope, suspended, operator.",
		}, []string{"reason"}),
		ignored: f.NewCounter(prometheus.CounterOpts{
			Name: "throughline_access_ignored_records_total",
			Help: "Records of the topic workspaces that could not be read.",
		}),
	}
}
