package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// row is what the demo shows of a row of a timeline.
type row struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Icon        string    `json:"icon"`
	OccurredAt  time.Time `json:"occurredAt"`
	Link        string    `json:"link"`
}

// writeTimeline writes the rows as a table. Cells are padded by code points; icons, whose width on a screen nobody
// knows for sure, stand at the end so that they push nothing out of line.
func writeTimeline(w io.Writer, of reference, rows []row) error {
	head := []string{"TIME (UTC)", "EVENT", "WHAT HAPPENED"}
	cells := [][]string{head}
	for _, r := range rows {
		what := strings.TrimRight(r.Description+" "+r.Icon, " ")
		cells = append(cells, []string{r.OccurredAt.UTC().Format("2006-01-02 15:04:05"), r.Name, what})
	}
	widths := make([]int, len(head))
	for _, line := range cells {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Timeline of %s\n\n", of)
	for _, line := range cells {
		b.WriteString("  ")
		for i, cell := range line {
			b.WriteString(cell)
			if i < len(line)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		b.WriteString("\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write timeline: %w", err)
	}
	return nil
}
