package bench

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// aimProjector is how much of direct inserts the projector has to reach.
const aimProjector = 0.70

// ProjectorReport is every figure of a run. An event stands for a row in it.
type ProjectorReport struct {
	Time       time.Time       `json:"time"`
	Go         string          `json:"go"`
	Processors int             `json:"processors"`
	LoadBefore string          `json:"loadBefore"`
	LoadAfter  string          `json:"loadAfter"`
	Config     ProjectorConfig `json:"config"`
	Rounds     []Pair          `json:"rounds"`
}

func newProjectorReport(cfg ProjectorConfig) *ProjectorReport {
	return &ProjectorReport{
		Time: time.Now().UTC(), Go: runtime.Version(), Processors: runtime.NumCPU(), LoadBefore: loadAverage(), Config: cfg,
	}
}

// write prints medians. A ratio is the median of the rounds' own ratios, with the least and the greatest beside it.
func (r *ProjectorReport) write(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s, %d processors, %s; load %s before, %s after; %d events, %d rounds\n\n",
		r.Time.Format(time.DateOnly), r.Processors, r.Go, r.LoadBefore, r.LoadAfter, r.Config.Events, len(r.Rounds))
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(t, strings.Join(cells, "\t")) } // a strings.Builder takes everything
	line(fmt.Sprintf("from the log into %d tables", 2), "projector", "client library", "ratio", "aim")
	line(row("  rows/s", "%.0f", r.Rounds, perSecond, aimProjector, atLeast)...)
	usage(line, "a row", r.Rounds)
	line(row("  ClickHouse's processor time a row, µs", "%.1f", r.Rounds, func(f Figures) float64 { return 1000 * milliseconds(f.Database) }, 0, nil)...)
	line(row("  both, µs", "%.1f", r.Rounds, func(f Figures) float64 { return 1000 * milliseconds(f.CPU+f.Database) }, 0, nil)...)
	line(row("  rows an insert", "%.0f", r.Rounds, func(f Figures) float64 { return f.RowsAnInsert }, 0, nil)...)
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
