package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// The aims: how much of the limit ours has to reach, and how much longer its slowest hundredth may take.
const (
	aimSingles = 0.70
	aimP99     = 2.0
	aimBatches = 0.40
)

// Report is every figure of a run, round by round.
type Report struct {
	Time       time.Time `json:"time"`
	Go         string    `json:"go"`
	Processors int       `json:"processors"`
	LoadBefore string    `json:"loadBefore"`
	LoadAfter  string    `json:"loadAfter"`
	Config     Config    `json:"config"`
	// Rate is that of the measurements of latency, in events a second.
	Rate    int    `json:"rate"`
	Closed  []Pair `json:"closed"`
	Open    []Pair `json:"open"`
	Batches []Pair `json:"batches"`
}

func newReport(cfg Config) *Report {
	return &Report{
		Time: time.Now().UTC(), Go: runtime.Version(), Processors: runtime.NumCPU(), LoadBefore: loadAverage(), Config: cfg,
	}
}

// loadAverage is how many processes waited for a processor in the last minute, this run's among them, or a dash where
// the system does not tell.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "-"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// save writes every figure of a report to a file.
func save(file string, report any) error {
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("save report: %w", err)
	}
	return nil
}

// write prints medians. A ratio is the median of the rounds' own ratios, with the least and the greatest beside it.
func (r *Report) write(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s, %d processors, %s; load %s before, %s after; linger %s; lookup by %s; link %t; log from %s\n\n",
		r.Time.Format(time.DateOnly), r.Processors, r.Go, r.LoadBefore, r.LoadAfter, r.Config.Linger, r.Config.Lookup, r.Config.Link, r.Config.Log)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(t, strings.Join(cells, "\t")) } // a strings.Builder takes everything
	if len(r.Closed) > 0 {
		line(fmt.Sprintf("single POSTs, %d clients", r.Config.Clients), "edge", "bare handler", "ratio", "aim")
		line(row("  events/s", "%.0f", r.Closed, perSecond, aimSingles, atLeast)...)
		usage(line, "an event", r.Closed)
		line("")
		line(fmt.Sprintf("single POSTs, %d a second", r.Rate), "edge", "bare handler", "ratio", "aim")
		line(row("  p50, ms", "%.2f", r.Open, func(f Figures) float64 { return milliseconds(f.P50) }, 0, nil)...)
		line(row("  p99, ms", "%.2f", r.Open, func(f Figures) float64 { return milliseconds(f.P99) }, aimP99, atMost)...)
		line("")
	}
	if len(r.Batches) > 0 {
		line(fmt.Sprintf("batches of %d, %d clients", r.Config.Batch, r.Config.Senders), "edge", "client library", "ratio", "aim")
		line(row("  events/s", "%.0f", r.Batches, perSecond, aimBatches, atLeast)...)
		usage(line, "an event", r.Batches)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func usage(line func(...string), unit string, pairs []Pair) {
	line(row("  processor time "+unit+", µs", "%.1f", pairs, func(f Figures) float64 { return 1000 * milliseconds(f.CPU) }, 0, nil)...)
	line(row("  allocations "+unit, "%.1f", pairs, func(f Figures) float64 { return f.Mallocs }, 0, nil)...)
	line(row("  bytes allocated "+unit, "%.0f", pairs, func(f Figures) float64 { return f.AllocBytes }, 0, nil)...)
	line(row("  most memory so far, MiB", "%.0f", pairs, func(f Figures) float64 { return float64(f.Resident) / (1 << 20) }, 0, nil)...)
}

func perSecond(f Figures) float64          { return f.EventsPerSecond }
func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func atLeast(ratio, aim float64) string {
	return fmt.Sprintf("at least %.2f: %s", aim, verdict(ratio >= aim))
}

func atMost(ratio, aim float64) string {
	return fmt.Sprintf("at most %.2f: %s", aim, verdict(ratio <= aim))
}

func verdict(reached bool) string {
	if reached {
		return "reached"
	}
	return "missed"
}

// row is one line of the table. Without a judge there is no aim.
func row(name, format string, pairs []Pair, of func(Figures) float64, aim float64, judge func(ratio, aim float64) string) []string {
	ours, limits, ratios := make([]float64, len(pairs)), make([]float64, len(pairs)), make([]float64, len(pairs))
	for i, p := range pairs {
		ours[i], limits[i] = of(p.Ours), of(p.Limit)
		ratios[i] = ours[i] / limits[i]
	}
	ratio := median(ratios)
	cells := []string{
		name, fmt.Sprintf(format, median(ours)), fmt.Sprintf(format, median(limits)),
		fmt.Sprintf("%.2f (%.2f to %.2f)", ratio, slices.Min(ratios), slices.Max(ratios)),
	}
	if judge != nil {
		cells = append(cells, judge(ratio, aim))
	}
	return cells
}

// median sorts a copy: the rounds keep their order in the report.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
