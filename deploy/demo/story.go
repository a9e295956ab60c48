package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/throughline/throughline/deploy/meter"
)

// row is what the demo shows of a row of a timeline.
type row struct {
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Icon        string    `json:"icon"`
	OccurredAt  time.Time `json:"occurredAt"`
}

// figures are what the demo shows of a row of a report.
type figures struct {
	Group            *string    `json:"group"`
	Conversations    int64      `json:"conversations"`
	Queued           int64      `json:"queued"`
	Responded        int64      `json:"responded"`
	AbandonedInQueue int64      `json:"abandonedInQueue"`
	WaitAvgSeconds   *float64   `json:"waitAvgSeconds"`
	WaitP90Seconds   *float64   `json:"waitP90Seconds"`
	HandleAvgSeconds *float64   `json:"handleAvgSeconds"`
	Agents           int64      `json:"agents"`
	MaxQueueSize     int64      `json:"maxQueueSize"`
	MaxQueueAt       *time.Time `json:"maxQueueAt"`
}

// counts are what the demo shows of a wallboard, as a whole and of a team.
type counts struct {
	Group              *string          `json:"group"`
	QueueSize          int64            `json:"queueSize"`
	LongestWaitSeconds float64          `json:"longestWaitSeconds"`
	States             map[string]int64 `json:"states"`
	AgentsBusy         int64            `json:"agentsBusy"`
	Answered30m        int64            `json:"answered30m"`
	Abandoned30m       int64            `json:"abandoned30m"`
	MaxQueueSizeToday  int64            `json:"maxQueueSizeToday"`
}

type board struct {
	counts

	Groups []counts `json:"groups"`
}

// writeTimeline writes the rows as a table. Icons, whose width on a screen nobody knows for sure, stand at the end so that
// they push nothing out of line.
func writeTimeline(w io.Writer, customer string, rows []row) error {
	var cells [][]string
	for _, r := range rows {
		what := strings.TrimRight(r.Description+" "+r.Icon, " ")
		cells = append(cells, []string{r.OccurredAt.UTC().Format(time.DateTime), r.Name, what})
	}
	return writeTable(w, "Timeline of CUSTOMER "+customer, []string{"TIME (UTC)", "WHAT", "HOW"}, false, cells)
}

// writeReport writes the figures of a day: the whole first, then its teams.
func writeReport(w io.Writer, day string, rows []figures) error {
	var cells [][]string
	for i, r := range rows {
		at := "-"
		if r.MaxQueueAt != nil {
			at = r.MaxQueueAt.UTC().Format(time.TimeOnly)
		}
		cells = append(cells, []string{
			teamName(r.Group, i == 0), meter.Thousands(r.Conversations), meter.Thousands(r.Queued), meter.Thousands(r.Responded),
			meter.Thousands(r.AbandonedInQueue), seconds(r.WaitAvgSeconds), seconds(r.WaitP90Seconds), seconds(r.HandleAvgSeconds),
			strconv.FormatInt(r.Agents, 10), strconv.FormatInt(r.MaxQueueSize, 10), at,
		})
	}
	head := []string{"TEAM", "CALLS", "QUEUED", "ANSWERED", "ABANDONED", "WAIT", "90 %", "TALK", "AGENTS", "LONGEST QUEUE", "AT"}
	return writeTable(w, "Report of "+day, head, true, cells)
}

// writeBoard writes a wallboard: the whole first, then its teams.
func writeBoard(w io.Writer, moment time.Time, b board) error {
	var cells [][]string
	for i, c := range append([]counts{b.counts}, b.Groups...) {
		longest := "-"
		if c.QueueSize > 0 {
			longest = length(time.Duration(c.LongestWaitSeconds) * time.Second)
		}
		cells = append(cells, []string{
			teamName(c.Group, i == 0), strconv.FormatInt(c.QueueSize, 10), longest, strconv.FormatInt(c.States["ACTIVE"], 10),
			strconv.FormatInt(c.AgentsBusy, 10), strconv.FormatInt(c.Answered30m, 10), strconv.FormatInt(c.Abandoned30m, 10),
			strconv.FormatInt(c.MaxQueueSizeToday, 10),
		})
	}
	head := []string{"TEAM", "WAITING", "LONGEST", "TALKING", "AGENTS BUSY", "ANSWERED 30 MIN", "ABANDONED 30 MIN", "MOST WAITING TODAY"}
	return writeTable(w, "Wallboard, as if it was "+moment.UTC().Format(time.TimeOnly)+" now", head, true, cells)
}

// teamName is what a row is about. Teams of the trace are kinds of service.
func teamName(group *string, whole bool) string {
	switch {
	case whole:
		return "all"
	case group == nil:
		return "none"
	}
	names := map[string]string{
		"PS": "regular service", "PE": "regular, English", "IN": "internet support", "NE": "stock exchange", "NW": "new customers", "TT": "callbacks",
	}
	if name, known := names[*group]; known {
		return *group + " " + name
	}
	return *group
}

func seconds(s *float64) string {
	if s == nil {
		return "-"
	}
	return length(time.Duration(*s * float64(time.Second)).Round(time.Second))
}

// length writes a time for people: 34 s, 1 min 44 s.
func length(d time.Duration) string {
	s := int(d / time.Second)
	if s < 60 {
		return fmt.Sprintf("%d s", s)
	}
	return fmt.Sprintf("%d min %02d s", s/60, s%60)
}

// writeTable writes cells in columns under a title, padded by code points. Where it is about numbers, all columns but the
// first have them, and end in line.
func writeTable(w io.Writer, title string, head []string, numbers bool, cells [][]string) error {
	cells = append([][]string{head}, cells...)
	widths := make([]int, len(head))
	for _, line := range cells {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n\n", title)
	for _, line := range cells {
		padded := make([]string, len(line))
		for i, cell := range line {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if numbers && i > 0 {
				padded[i] = pad + cell
			} else {
				padded[i] = cell + pad
			}
		}
		b.WriteString(strings.TrimRight("  "+strings.Join(padded, "  "), " ") + "\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write %q: %w", title, err)
	}
	return nil
}
