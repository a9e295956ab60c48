package run

import (
	"io"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Admin returns the handler of a process's second listener, which operators
// and probes reach and clients do not: /livez answers as long as the process
// can answer at all, /readyz runs the checks, /metrics is for Prometheus.
func Admin(reg *prometheus.Registry, ready *Readiness) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n") // a probe that has gone cannot be told
	})
	mux.Handle("GET /readyz", ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		Registry: reg,
		// A collector that fails must not take all others' numbers with it.
		ErrorHandling: promhttp.ContinueOnError,
	}))
	return mux
}
