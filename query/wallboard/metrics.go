package wallboard

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	applied, unread prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, f *Feed) *metrics {
	with := promauto.With(reg)
	with.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "throughline_wallboard_conversations",
		Help: "Conversations that have not ended, over all workspaces, as the wallboard holds them.",
	}, f.live)
	return &metrics{
		applied: with.NewCounter(prometheus.CounterOpts{
			Name: "throughline_wallboard_transitions_total",
			Help: "Transitions that were counted on a wallboard, with those of two days that each start reads again.",
		}),
		unread: with.NewCounter(prometheus.CounterOpts{
			Name: "throughline_wallboard_unread_records_total",
			Help: "Records that could not be read and are missing on a wallboard.",
		}),
	}
}

func (f *Feed) live() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, b := range f.boards {
		n += b.Live()
	}
	return float64(n)
}
