package projector

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Outcomes of a verification.
const (
	outcomeComplete = "complete"
	outcomePartial  = "partial"
	outcomeAbsent   = "absent"
	outcomeDoubled  = "doubled"
)

type metrics struct {
	rows, batches, retries, deadLetters, redacted, lost, reopened *prometheus.CounterVec
	verifications                                                 *prometheus.CounterVec
	insertSeconds                                                 *prometheus.HistogramVec
	freshness, pending, waiting, held                             *prometheus.GaugeVec
	differing                                                     *prometheus.GaugeVec
	audited                                                       *prometheus.CounterVec
	auditFailures                                                 prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: "throughline_projector_" + name, Help: help},
			append([]string{"table"}, labels...))
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Name: "throughline_projector_" + name, Help: help}, []string{"table"})
	}
	return &metrics{
		rows:          counter("rows_total", "Rows of batches that are in their table."),
		batches:       counter("batches_total", "Batches with rows that are in their table."),
		retries:       counter("retries_total", "Tries to insert or to verify a batch that failed and were followed by another."),
		deadLetters:   counter("dead_letters_total", "Records that cannot be transformed."),
		redacted:      counter("redacted_total", "Sealed parts whose data key is gone, so that the rows were made without them."),
		lost:          counter("lost_offsets_total", "Offsets that the log dropped before they were projected."),
		reopened:      counter("reopened_total", "Times that a group was left and joined anew after an error."),
		verifications: counter("verifications_total", "Looks into the table for a batch whose fate was unknown, by what was found.", "outcome"),
		insertSeconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "throughline_projector_insert_seconds",
			Help:    "Time that an insert took, failed ones included.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 14),
		}, []string{"table"}),
		freshness: gauge("freshness_seconds", "Age that the newest record of the last batch had when its rows could be read."),
		pending: gauge("pending_partitions",
			"Partitions whose former owner announced batches that are not proven yet; none of their records is read before they are."),
		held:    gauge("held_bytes", "Memory that records and rows take which are not committed; at its bound no more is polled."),
		waiting: gauge("waiting_batches", "Batches that could not be inserted, or not be verified, and are tried again."),
		differing: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "throughline_projector_differing_rows",
			Help: "Rows in which the table and the log differ, in the last offsets of each partition when they were last compared: missing, extra or doubled.",
		}, []string{"table", "difference"}),
		audited: counter("audited_records_total", "Records whose rows were compared with the table after they had been projected."),
		auditFailures: f.NewCounter(prometheus.CounterOpts{
			Name: "throughline_projector_audit_failures_total",
			Help: "Comparisons of a table with the log that could not be made.",
		}),
	}
}

// begin makes the series of a table that alerts look at: one that begins with its first count has no increase.
func (m *metrics) begin(table string) {
	for _, of := range []*prometheus.CounterVec{m.deadLetters, m.lost, m.retries} {
		of.WithLabelValues(table)
	}
	for _, of := range []*prometheus.GaugeVec{m.pending, m.waiting} {
		of.WithLabelValues(table)
	}
	m.audited.WithLabelValues(table)
}

// stored counts a batch whose rows are in the table now.
func (m *metrics) stored(table string, b *batch) {
	m.rows.WithLabelValues(table).Add(float64(b.rows()))
	m.batches.WithLabelValues(table).Inc()
	m.freshness.WithLabelValues(table).Set(time.Since(b.newest).Seconds())
}
