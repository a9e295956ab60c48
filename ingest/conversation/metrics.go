package conversation

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// What became of a command, as metrics say it. Refusals are counted under their kind.
const (
	outcomeChanged  = "changed"
	outcomeNothing  = "nothing"
	outcomeRepeated = "repeated"
	outcomeDead     = "dead_letter"
)

type metrics struct {
	commands *prometheus.CounterVec
	missing  *prometheus.CounterVec
	dropped  prometheus.Counter
	redacted prometheus.Counter
	keys     prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		commands: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_conversation_commands_total",
			Help: "Commands that were decided, by outcome. One that is decided again after an abort counts again.",
		}, []string{"outcome"}),
		missing: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_conversation_missing_objects_total",
			Help: "Objects that were left out because nothing is known of them, by who named them: command or relation.",
		}, []string{"named_by"}),
		dropped: f.NewCounter(prometheus.CounterOpts{
			Name: "throughline_conversation_dropped_links_total",
			Help: "Links that were left out because a transition had too many.",
		}),
		redacted: f.NewCounter(prometheus.CounterOpts{
			Name: "throughline_conversation_redacted_transitions_total",
			Help: "Transitions without their personal part, because the data key of their conversation is gone.",
		}),
		keys: f.NewCounter(prometheus.CounterOpts{
			Name: "throughline_conversation_data_keys_total",
			Help: "Data keys that were made for new conversations.",
		}),
	}
}
