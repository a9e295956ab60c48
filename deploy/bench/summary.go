package bench

import (
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Measure is one figure beside its limit, which was measured in the same run.
type Measure struct {
	Part string  `json:"part"`
	Name string  `json:"name"`
	Unit string  `json:"unit"`
	Ours float64 `json:"ours"`
	// Limit is what ours is compared with, and By what that is; zero where it is compared with nothing.
	Limit float64 `json:"limit,omitzero"`
	By    string  `json:"by,omitempty"`
	// Aim bounds the ratio of the two, or ours where there is no limit, from above where AtMost is set. Zero is no aim.
	Aim    float64 `json:"aim,omitzero"`
	AtMost bool    `json:"atMost,omitzero"`
}

// judged is what the aim is about.
func (m Measure) judged() float64 {
	if m.Limit == 0 {
		return m.Ours
	}
	return m.Ours / m.Limit
}

// verdict says whether the aim is reached, and by how much it is missed.
func (m Measure) verdict() string {
	if m.Aim == 0 {
		return ""
	}
	v, bound := m.judged(), "at least"
	reached := v >= m.Aim
	if m.AtMost {
		bound, reached = "at most", v <= m.Aim
	}
	aim := strconv.FormatFloat(m.Aim, 'f', -1, 64)
	if reached {
		return bound + " " + aim + ": reached"
	}
	return fmt.Sprintf("%s %s: missed by %.2f", bound, aim, max(v-m.Aim, m.Aim-v))
}

// Used is what a process used, at most and in all.
type Used struct {
	Process  string        `json:"process"`
	Resident uint64        `json:"resident"`
	CPU      time.Duration `json:"cpu"`
}

// Summary is every figure of a run.
type Summary struct {
	Time       time.Time `json:"time"`
	Go         string    `json:"go"`
	Processors int       `json:"processors"`
	LoadBefore string    `json:"loadBefore"`
	LoadAfter  string    `json:"loadAfter"`
	Measures   []Measure `json:"measures"`
	Processes  []Used    `json:"processes"`
}

func newSummary() *Summary {
	return &Summary{Time: time.Now().UTC(), Go: runtime.Version(), Processors: runtime.NumCPU(), LoadBefore: loadAverage()}
}

func (s *Summary) add(m ...Measure) { s.Measures = append(s.Measures, m...) }

// finish saves the figures where a file is named, and writes them to out.
func (s *Summary) finish(file string, out io.Writer) error {
	s.LoadAfter = loadAverage()
	if file != "" {
		if err := save(file, s); err != nil {
			return err
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s, %d processors, %s; load %s before, %s after\n\n",
		s.Time.Format(time.DateOnly), s.Processors, s.Go, s.LoadBefore, s.LoadAfter)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(t, strings.Join(cells, "\t")) } // a strings.Builder takes everything
	line("", "", "ours", "limit", "ratio", "aim", "the limit is")
	for _, m := range s.Measures {
		limit, ratio := "", ""
		if m.Limit != 0 {
			limit, ratio = figure(m.Limit), fmt.Sprintf("%.2f", m.judged())
		}
		line(m.Part, m.Name+", "+m.Unit, figure(m.Ours), limit, ratio, m.verdict(), m.By)
	}
	if len(s.Processes) > 0 {
		line("")
		line("process", "", "most resident, MiB", "processor time, s")
	}
	for _, u := range s.Processes {
		line(u.Process, "", fmt.Sprintf("%.0f", mebibytes(u.Resident)), fmt.Sprintf("%.1f", u.CPU.Seconds()))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// figure writes a number with as many digits as say something.
func figure(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
