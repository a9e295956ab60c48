package query

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	duration  *prometheus.HistogramVec
	readRows  *prometheus.HistogramVec
	readBytes *prometheus.HistogramVec
	failed    *prometheus.CounterVec
	wait      *prometheus.HistogramVec
	notThere  *prometheus.CounterVec
	streams   prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		duration: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "throughline_query_statement_duration_seconds",
			Help:    "Time of a statement on ClickHouse, from sending it to its last row.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"statement"}),
		readRows: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "throughline_query_read_rows",
			Help:    "Rows that ClickHouse read for a statement; a page of a timeline reads a few granules of 2,048.",
			Buckets: prometheus.ExponentialBuckets(1024, 4, 10),
		}, []string{"statement"}),
		readBytes: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "throughline_query_read_bytes",
			Help:    "Bytes that ClickHouse read for a statement, uncompressed.",
			Buckets: prometheus.ExponentialBuckets(16<<10, 4, 10),
		}, []string{"statement"}),
		failed: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_query_statements_failed_total",
			Help: "Statements that did not return all their rows, those of clients that left included.",
		}, []string{"statement"}),
		wait: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "throughline_query_position_wait_seconds",
			Help:    "Time that a read with a position waited, by the table that it reads.",
			Buckets: []float64{.005, .025, .05, .1, .25, .5, 1, 2, 3, 5},
		}, []string{"table"}),
		notThere: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_query_positions_not_reached_total",
			Help: "Reads with a position that were answered with a 503 because it was not reached in time.",
		}, []string{"table"}),
		streams: f.NewGauge(prometheus.GaugeOpts{
			Name: "throughline_query_wallboard_streams",
			Help: "Clients to whom a wallboard is being sent.",
		}),
	}
}

func (m *metrics) observe(statement string, took time.Duration, rows, bytes uint64, err error) {
	m.duration.WithLabelValues(statement).Observe(took.Seconds())
	m.readRows.WithLabelValues(statement).Observe(float64(rows))
	m.readBytes.WithLabelValues(statement).Observe(float64(bytes))
	if err != nil {
		m.failed.WithLabelValues(statement).Inc()
	}
}

func (m *metrics) waited(table string, took time.Duration, err error) {
	m.wait.WithLabelValues(table).Observe(took.Seconds())
	if errors.Is(err, context.DeadlineExceeded) {
		m.notThere.WithLabelValues(table).Inc()
	}
}
