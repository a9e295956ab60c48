package link

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// What became of a submission, as metrics say it.
const (
	outcomeLinked    = "linked"
	outcomeDuplicate = "duplicate"
	outcomeNotFound  = "object_not_found"
	outcomeInvalid   = "invalid"
	outcomeDead      = "dead_letter"
	outcomeForwarded = "forwarded"
)

type metrics struct {
	submissions *prometheus.CounterVec
	missing     *prometheus.CounterVec
	dropped     prometheus.Counter
	redacted    prometheus.Counter
	size        *prometheus.GaugeVec
	span        *prometheus.GaugeVec
	read        prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		submissions: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_link_submissions_total",
			Help: "Submissions that were processed, by outcome. One that is processed again after an abort counts again.",
		}, []string{"outcome"}),
		missing: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_link_missing_objects_total",
			Help: "Objects that were left out because nothing is known of them, by who named them: event or relation.",
		}, []string{"named_by"}),
		dropped: f.NewCounter(prometheus.CounterOpts{
			Name: "throughline_link_dropped_links_total",
			Help: "Links that were left out because an event had too many.",
		}),
		redacted: f.NewCounter(prometheus.CounterOpts{
			Name: "throughline_link_redacted_events_total",
			Help: "Events without their personal part, because the data key of their subject is gone.",
		}),
		size: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "throughline_link_window_entries",
			Help: "Events that the deduplication window remembers, by partition.",
		}, []string{"partition"}),
		span: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "throughline_link_window_seconds",
			Help: "Effective length of the deduplication window, by partition. It is shorter than a day where the window is full.",
		}, []string{"partition"}),
		read: f.NewCounter(prometheus.CounterOpts{
			Name: "throughline_link_window_read_events_total",
			Help: "Events that were read from the log to load the deduplication window. What the local store has is not read.",
		}),
	}
	// Alerts look at this one: a series that begins with its first count has no increase.
	m.submissions.WithLabelValues(outcomeDead)
	return m
}

func (m *metrics) entries(p int32, n int) { m.size.WithLabelValues(label(p)).Set(float64(n)) }

func (m *metrics) window(p int32, d time.Duration) {
	m.span.WithLabelValues(label(p)).Set(d.Seconds())
}

func (m *metrics) forget(p int32) {
	m.size.DeleteLabelValues(label(p))
	m.span.DeleteLabelValues(label(p))
}

func label(p int32) string { return strconv.FormatInt(int64(p), 10) }
