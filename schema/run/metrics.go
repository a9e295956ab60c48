package run

import (
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// NewRegistry returns a registry that already describes the process: the Go
// runtime, the operating system's view, and which build this is.
func NewRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	f := promauto.With(reg)
	version, revision := Build()
	f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "throughline_build_info",
		Help: "1, labelled with the version and revision of this build.",
	}, []string{"version", "revision"}).WithLabelValues(version, revision).Set(1)
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return reg
}

// Build returns the version of the main module and the revision it was built
// from, or "unknown" for what the build did not record.
func Build() (version, revision string) {
	version, revision = "unknown", "unknown"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version, revision
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		version = v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return version, revision
}
