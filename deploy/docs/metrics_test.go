package docs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/dispatcher"
	"github.com/throughline/throughline/ingest"
	"github.com/throughline/throughline/ingest/link"
	"github.com/throughline/throughline/projector"
	"github.com/throughline/throughline/query"
	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
)

func TestMain(m *testing.M) { os.Exit(schematest.Main(m)) }

// metric is what its description says of a metric. What a gatherer gives is less: a vector that counted nothing yet is
// not there.
type metric struct {
	name, help string
	kind       dto.MetricType
	labels     []string
}

// catalogue is a registry that keeps descriptions.
type catalogue struct {
	mu      sync.Mutex
	metrics map[string]metric
}

// MustRegister implements prometheus.Registerer.
func (c *catalogue) MustRegister(cs ...prometheus.Collector) {
	for _, one := range cs {
		_ = c.Register(one) // it never fails
	}
}

// Unregister implements prometheus.Registerer.
func (c *catalogue) Unregister(prometheus.Collector) bool { return true }

// Register implements prometheus.Registerer.
func (c *catalogue) Register(one prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 1000)
	one.Describe(descs)
	close(descs)
	c.mu.Lock()
	defer c.mu.Unlock()
	for d := range descs {
		m := describe(d)
		m.kind = kind(one, m.name)
		c.metrics[m.name] = m
	}
	return nil
}

// descForm is how a description prints itself, which is the only way to read it.
var descForm = regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"),(?: unit: "[^"]*",)? constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

func describe(d *prometheus.Desc) metric {
	parts := descForm.FindStringSubmatch(d.String())
	if parts == nil {
		panic("a description has another form: " + d.String())
	}
	var m metric
	m.name, _ = strconv.Unquote(parts[1]) // the pattern is that of a quoted string
	m.help, _ = strconv.Unquote(parts[2])
	for pair := range strings.SplitSeq(parts[3], ",") {
		if name, _, ok := strings.Cut(pair, "="); ok {
			m.labels = append(m.labels, name)
		}
	}
	for name := range strings.SplitSeq(parts[4], ",") {
		if name != "" {
			m.labels = append(m.labels, name)
		}
	}
	return m
}

// kind reads the type of a collector, which stands in no description. One that labels were added to is wrapped.
func kind(c prometheus.Collector, name string) dto.MetricType {
	v := reflect.ValueOf(c)
	for v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct && v.Elem().FieldByName("wrappedCollector").IsValid() {
		v = v.Elem().FieldByName("wrappedCollector").Elem()
	}
	switch of := strings.ToLower(v.Type().String()); {
	case strings.Contains(of, "histogram"):
		return dto.MetricType_HISTOGRAM
	case strings.Contains(of, "counter"), strings.HasSuffix(name, "_total"):
		return dto.MetricType_COUNTER
	default:
		return dto.MetricType_GAUGE
	}
}

// everything runs all services on servers of the test until all are ready, and returns what they measure.
func everything(t *testing.T) map[string]metric {
	t.Helper()
	reg := &catalogue{metrics: map[string]metric{}}
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	families, err := run.NewRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "throughline_") {
			reg.metrics[f.GetName()] = ofFamily(f)
		}
	}
	p := process(t, reg)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run.Group{Log: p.Log}.Run(ctx, p.Services()...) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-done, p.Close()); err != nil {
			t.Error(err)
		}
	})
	ready(t, p.Ready)
	reg.mu.Lock()
	defer reg.mu.Unlock()
	return maps.Clone(reg.metrics)
}

func ofFamily(f *dto.MetricFamily) metric {
	m := metric{name: f.GetName(), help: f.GetHelp(), kind: f.GetType()}
	for _, l := range f.GetMetric()[0].GetLabel() {
		m.labels = append(m.labels, l.GetName())
	}
	return m
}

func process(t *testing.T, reg prometheus.Registerer) *assembly.Process {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	db := schematest.ClickHouse(t)
	tables := store.Config{Addr: db.Addr, Database: db.Database, User: db.User, Password: db.Password}
	master, err := seal.ParseMaster(strings.Repeat("0f", 32))
	if err != nil {
		t.Fatal(err)
	}
	p := &assembly.Process{
		Kafka: stream.Config{Brokers: schematest.Kfake(t), ClientID: "docs", Prefix: "docs", Embedded: true},
		Views: t.TempDir(), Log: log, Reg: reg, Ready: run.NewReadiness(),
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = assembly.Topics(t.Context(), p.Kafka, stream.Deps{Log: log}, 1, 1)
	must(err)
	_, err = assembly.Migrate(t.Context(), tables, nil)
	must(err)
	linker := link.DefaultConfig()
	linker.Instance = "docs"
	_, err = p.Ingest(t.Context(), ingest.DefaultConfig(), linker, master)
	must(err)
	projection := projector.DefaultConfig()
	projection.Dir = ""
	must(p.Projector(t.Context(), projection, tables, master))
	_, err = p.Query(t.Context(), query.DefaultConfig(), tables)
	must(err)
	hooks := dispatcher.DefaultConfig()
	hooks.Instance = "docs"
	_, err = p.Dispatcher(t.Context(), hooks, tables, master)
	must(err)
	return p
}

func ready(t *testing.T, checks *run.Readiness) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		waiting := maps.Collect(func(yield func(string, error) bool) {
			for name, err := range checks.Check(ctx) {
				if err != nil && !yield(name, err) {
					return
				}
			}
		})
		if len(waiting) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the services are not ready: %v", waiting)
		}
	}
}

// Histograms have these series; dashboards and rules name them.
func series(m metric) []string {
	if m.kind == dto.MetricType_HISTOGRAM {
		return []string{m.name + "_bucket", m.name + "_sum", m.name + "_count"}
	}
	return []string{m.name}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	all := everything(t)
	t.Run("the reference names every metric", func(t *testing.T) {
		t.Parallel()
		reference(t, "metrics.md", metricsPage(all))
	})
	t.Run("names and help follow the conventions", func(t *testing.T) {
		t.Parallel()
		for _, m := range all {
			if !strings.HasPrefix(m.name, "throughline_") || strings.HasPrefix(m.name, "throughline_kafka_") {
				continue // the names are those of libraries
			}
			problems, err := promlint.NewWithMetricFamilies([]*dto.MetricFamily{family(m)}).Lint()
			if err != nil {
				t.Error(err)
			}
			for _, p := range problems {
				t.Errorf("%s: %s", p.Metric, p.Text)
			}
			if !strings.HasSuffix(m.help, ".") {
				t.Errorf("%s: its help is no sentence: %q", m.name, m.help)
			}
		}
	})
	known := map[string]bool{"up": true} // by Prometheus itself
	for _, m := range all {
		for _, name := range series(m) {
			known[name] = true
		}
	}
	t.Run("dashboards and alerts name metrics that exist", func(t *testing.T) {
		t.Parallel()
		namesExist(t, known)
	})
}

// family is a family with one series, as the linter wants it.
func family(m metric) *dto.MetricFamily {
	one, zero := &dto.Metric{}, 0.0
	for _, name := range m.labels {
		one.Label = append(one.Label, &dto.LabelPair{Name: &name, Value: new(string)})
	}
	switch m.kind {
	case dto.MetricType_HISTOGRAM:
		one.Histogram = &dto.Histogram{}
	case dto.MetricType_COUNTER:
		one.Counter = &dto.Counter{Value: &zero}
	default:
		one.Gauge = &dto.Gauge{Value: &zero}
	}
	return &dto.MetricFamily{Name: &m.name, Help: &m.help, Type: &m.kind, Metric: []*dto.Metric{one}}
}

// parts are the sections of the reference, by the beginning of the names.
func parts() []struct{ prefix, title, about string } {
	return []struct{ prefix, title, about string }{
		{"throughline_build_", "Build", "Of every process."},
		{"throughline_http_", "HTTP", "Of ingest, query and dispatcher; `service` says which."},
		{"throughline_ingest_", "Edge", "Of ingest."},
		{"throughline_registry_", "Registry of objects", "Of ingest."},
		{"throughline_access_", "Workspaces and API keys", "Of ingest, query and dispatcher."},
		{"throughline_link_", "Linker", "Of ingest."},
		{"throughline_conversation_", "Conversations", "Of ingest."},
		{"throughline_projector_", "Projector", "Of projector."},
		{"throughline_query_", "Reads", "Of query."},
		{"throughline_dispatcher_", "Webhooks", "Of dispatcher."},
		{"throughline_stream_", "Streams", "Producers, processors (`role`), views (`view`) and the lag of consumer groups."},
		{"throughline_kafka_", "Kafka clients", "Of each client, by its id (`client`) and the broker (`node_id`)."},
		{"", "Go and the operating system", "Of every process; of the Go client library."},
	}
}

func metricsPage(all map[string]metric) string {
	var b strings.Builder
	b.WriteString("# Metrics\n\nServed at `/metrics` of the second listener of each process.\n")
	done := map[string]bool{}
	for _, part := range parts() {
		var rows []string
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if m := all[name]; strings.HasPrefix(name, part.prefix) && !done[name] {
				done[name] = true
				labels := "none"
				if len(m.labels) > 0 {
					labels = "`" + strings.Join(slices.Sorted(slices.Values(m.labels)), "`, `") + "`"
				}
				rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |", name, strings.ToLower(m.kind.String()), labels, cell(m.help)))
			}
		}
		if len(rows) > 0 {
			fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| metric | type | labels | what it says |\n| --- | --- | --- | --- |\n%s\n",
				part.title, part.about, strings.Join(rows, "\n"))
		}
	}
	return b.String()
}
