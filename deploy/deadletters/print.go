package deadletters

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"
	"unicode/utf8"
)

const (
	// reasonWidth is how much of a reason a line of a list shows.
	reasonWidth = 80
	// shownBytes is how much of a record is shown to people.
	shownBytes = 512
)

// entry is a letter as JSON. Key and value are base64, because nobody can say what a record that nobody can read is.
type entry struct {
	ID        string     `json:"id"`
	State     string     `json:"state"`
	Group     string     `json:"group"`
	Topic     string     `json:"topic"`
	Partition int32      `json:"partition"`
	Offset    int64      `json:"offset"`
	Reason    string     `json:"reason"`
	Workspace string     `json:"workspace,omitempty"`
	At        time.Time  `json:"at"`
	RetriedAt *time.Time `json:"retriedAt,omitempty"`
	Again     string     `json:"failedAgainAs,omitempty"`
	Bytes     int        `json:"bytes"`
	Cut       bool       `json:"cut"`
	Key       []byte     `json:"key,omitempty"`
	Value     []byte     `json:"value,omitempty"`
}

func (l *Letter) entry() entry {
	e := entry{
		ID: l.ID().String(), State: l.State(), Group: l.Group, Topic: l.Topic, Partition: l.Partition, Offset: l.Offset,
		Reason: l.Reason, Workspace: l.Workspace, At: l.At.Time, Bytes: len(l.Value), Cut: l.Cut, Key: l.Key, Value: l.Value,
	}
	if !l.RetriedAt.IsZero() {
		e.RetriedAt = &l.RetriedAt
	}
	if l.Again != (ID{}) {
		e.Again = l.Again.String()
	}
	return e
}

// PrintJSON writes each letter as a JSON object on a line of its own.
func PrintJSON(w io.Writer, letters ...*Letter) error {
	lines := json.NewEncoder(w)
	for _, l := range letters {
		if err := lines.Encode(l.entry()); err != nil {
			return fmt.Errorf("print dead letter: %w", err)
		}
	}
	return nil
}

// PrintList writes a line for each letter.
func PrintList(w io.Writer, letters []*Letter) error {
	if len(letters) == 0 {
		_, err := fmt.Fprintln(w, "no dead letters")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ID\tWHEN\tSTATE\tBYTES\tREASON") // Flush tells what went wrong
	for _, l := range letters {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", l.ID(), l.At.Format(time.RFC3339), l.State(), l.size(), beginning(l.Reason, reasonWidth))
	}
	return table.Flush()
}

// Print writes all of a letter, and of its record what people can read in a moment.
func Print(w io.Writer, l *Letter) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, value string) { _, _ = fmt.Fprintf(table, "%s\t%s\n", name, value) } // Flush tells what went wrong
	line("group", l.Group)
	line("origin", fmt.Sprintf("%s, partition %d, offset %d", l.Topic, l.Partition, l.Offset))
	line("when", l.At.Format(time.RFC3339))
	line("reason", beginning(l.Reason, 10*reasonWidth))
	if l.Workspace != "" {
		line("workspace", l.Workspace)
	}
	line("state", l.State())
	if !l.RetriedAt.IsZero() {
		line("retried at", l.RetriedAt.Format(time.RFC3339))
	}
	if l.Again != (ID{}) {
		line("failed again as", l.Again.String())
	}
	line("key", readable(l.Key))
	line("bytes", l.size())
	line("value", readable(l.Value))
	return table.Flush()
}

func (l *Letter) size() string {
	if l.Cut {
		return strconv.Itoa(len(l.Value)) + " (cut)"
	}
	return strconv.Itoa(len(l.Value))
}

// readable is the beginning of bytes that may be anything, as a quoted text: a terminal must not be told what to do.
func readable(b []byte) string {
	if len(b) > shownBytes {
		return fmt.Sprintf("%q and %d bytes more (--raw writes them all)", b[:shownBytes], len(b)-shownBytes)
	}
	return strconv.Quote(string(b))
}

// beginning is the beginning of a text on one line.
func beginning(s string, width int) string {
	quoted := strconv.Quote(s)
	quoted = quoted[1 : len(quoted)-1]
	if utf8.RuneCountInString(quoted) <= width {
		return quoted
	}
	return string([]rune(quoted)[:width-1]) + "…"
}
