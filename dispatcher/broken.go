package dispatcher

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/throughline/throughline/schema/webhook"
)

// broken says whether the lane's breaker is open, or lets one probe through.
func (l *lane) broken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.breaker.opened > 0
}

// openBreakers counts the endpoints whose breaker is open. One that nobody sends anything to keeps its breaker until its
// lane is forgotten.
func (s *sender) openBreakers() int {
	s.mu.Lock()
	lanes := make([]*lane, 0, len(s.lanes))
	for _, l := range s.lanes {
		lanes = append(lanes, l)
	}
	s.mu.Unlock()
	n := 0
	for _, l := range lanes {
		if l.broken() {
			n++
		}
	}
	return n
}

// measure adds what is counted when it is asked for. Endpoints that are given up count from 0, so that the first one shows
// as an increase.
func (s *sender) measure(reg prometheus.Registerer) {
	promauto.With(reg).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "throughline_dispatcher_open_breakers",
		Help: "Endpoints that this process sends one probe at a time because they fail.",
	}, func() float64 { return float64(s.openBreakers()) })
	for _, reason := range []string{webhook.ReasonGone, webhook.ReasonFailing} {
		s.metrics.disabled.WithLabelValues(reason)
	}
}
