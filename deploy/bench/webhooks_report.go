package bench

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// What deliveries a second have to reach of the bare client's, and what sick endpoints may cost the others at p99.
const (
	aimDeliveries = 0.50
	aimSick       = 1.3
)

// WebhooksReport is every figure of a run. An event stands for a delivery in it.
type WebhooksReport struct {
	Time       time.Time      `json:"time"`
	Go         string         `json:"go"`
	Processors int            `json:"processors"`
	LoadBefore string         `json:"loadBefore"`
	LoadAfter  string         `json:"loadAfter"`
	Config     WebhooksConfig `json:"config"`
	// Most is the dispatcher beside the bare client.
	Most []Pair `json:"most"`
	// Rate is deliveries a second of the measurements of latency.
	Rate int `json:"rate"`
	// Posted is from the request to the edge to the receiver.
	Posted []Figures `json:"posted"`
	// Sick is with sick endpoints beside without.
	Sick []Pair `json:"sick"`
	// Before, During and After are beside no backlog, one that is being put off, and one that waits; PutOffIn is how long
	// it took from the first event until all of it waited.
	Before   Figures       `json:"before,omitzero"`
	During   Figures       `json:"during,omitzero"`
	After    Figures       `json:"after,omitzero"`
	PutOffIn time.Duration `json:"putOffIn,omitzero"`
}

func newWebhooksReport(cfg WebhooksConfig) *WebhooksReport {
	return &WebhooksReport{
		Time: time.Now().UTC(), Go: runtime.Version(), Processors: runtime.NumCPU(), LoadBefore: loadAverage(), Config: cfg,
	}
}

// middle is the median of a figure.
func middle[T any](of []T, figure func(T) float64) float64 {
	all := make([]float64, len(of))
	for i, f := range of {
		all[i] = figure(f)
	}
	return median(all)
}

func p50(f Figures) float64 { return milliseconds(f.P50) }
func p99(f Figures) float64 { return milliseconds(f.P99) }

// write prints medians.
func (r *WebhooksReport) write(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s, %d processors, %s; load %s before, %s after; %d rounds of %s\n\n",
		r.Time.Format(time.DateOnly), r.Processors, r.Go, r.LoadBefore, r.LoadAfter, len(r.Most), r.Config.Time)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(t, strings.Join(cells, "\t")) } // a strings.Builder takes everything
	line(fmt.Sprintf("%d endpoints, as fast as it goes", r.Config.Healthy), "dispatcher", "bare client", "ratio", "aim")
	line(row("  deliveries/s", "%.0f", r.Most, perSecond, aimDeliveries, atLeast)...)
	usage(line, "a delivery", r.Most)
	line("", "", "", "", "")
	line(fmt.Sprintf("%d of them a second", r.Rate), fmt.Sprintf("with %d silent and %d failing", r.Config.Silent, r.Config.Failing), "without", "ratio", "aim")
	line(row("  event to delivery, p50, ms", "%.1f", r.Sick, p50, 0, nil)...)
	line(row("  event to delivery, p99, ms", "%.1f", r.Sick, p99, aimSick, atMost)...)
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	fmt.Fprintf(&b, "\nfrom the POST to the edge to the receiver, %d a second: p50 %.1f ms, p99 %.1f ms\n",
		r.Config.PostRate, middle(r.Posted, p50), middle(r.Posted, p99))
	if r.Config.Backlog > 0 {
		fmt.Fprintf(&b, "the healthy beside %d deliveries for a dead endpoint, which were planned and put off within %s; p50, p90 and p99, ms:\n",
			r.Config.Backlog, r.PutOffIn.Round(time.Second/10))
		for _, at := range []struct {
			when string
			Figures
		}{{"before", r.Before}, {"while they were planned", r.During}, {"while they waited", r.After}} {
			fmt.Fprintf(&b, "  %s: %.1f, %.1f, %.1f\n", at.when, milliseconds(at.P50), milliseconds(at.P90), milliseconds(at.P99))
		}
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
