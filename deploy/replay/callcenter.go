package replay

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// columns is the number of fields of a row.
const columns = 17

// Call is one row of a trace of a call centre. Opened ≤ Queued ≤ Responded ≤ Closed; a step that did not happen is the
// zero time.
type Call struct {
	// ID is unique over a trace: date, line and number, as 990201-AA0101-34536.
	ID string
	// Customer is empty where the caller did not say who they are.
	Customer string
	Priority int
	// Service is the kind of service asked for: PS, PE, IN, NE, NW or TT.
	Service string
	// Outcome is AGENT, HANG or PHANTOM.
	Outcome string
	// Agent is empty where nobody took the call.
	Agent                             string
	Opened, Queued, Responded, Closed time.Time
}

// dateForm is how a trace writes a date, and how a call's id begins.
const dateForm = "060102"

// ReadCalls reads the rows of a trace, tab-separated under a header, in their order. The clock times of the rows are those
// of a zone. An error names the line.
func ReadCalls(r io.Reader, zone *time.Location) ([]Call, error) {
	var calls []Call
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSuffix(lines.Text(), "\r")
		if text == "" {
			continue
		}
		fields := strings.Split(text, "\t")
		if len(fields) != columns {
			return nil, fmt.Errorf("line %d has %d fields, not %d", n, len(fields), columns)
		}
		if n == 1 {
			if fields[5] != "date" || fields[16] != "server" {
				return nil, fmt.Errorf("line 1 is not the header of a trace: its columns 6 and 17 are %q and %q, not date and server", fields[5], fields[16])
			}
			continue
		}
		if len(calls) == maxConversations {
			return nil, fmt.Errorf("line %d: there are more than %d calls; split the trace", n, maxConversations)
		}
		c, err := parseCall(fields, zone)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		calls = append(calls, c)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", len(calls)+2, err)
	}
	return calls, nil
}

// parseCall turns the fields of a row into a call. The trace is dirty: a step with an earlier time than the step ahead
// of it takes that step's time.
func parseCall(f []string, zone *time.Location) (Call, error) {
	date, err := time.ParseInLocation(dateForm, f[5], zone)
	if err != nil {
		return Call{}, fmt.Errorf("date: %q is not a date such as 990201", f[5])
	}
	priority, err := strconv.Atoi(f[3])
	if err != nil {
		return Call{}, fmt.Errorf("priority: %q is not a number", f[3])
	}
	c := Call{ID: f[5] + "-" + f[0] + "-" + f[1], Priority: priority, Service: f[4], Outcome: f[12]}
	if f[2] != "0" {
		c.Customer = f[2]
	}
	queued := f[9] != "0:00:00"
	if f[12] == "AGENT" && f[16] != "NO_SERVER" {
		c.Agent = f[16]
	}
	end := 7 // the menu's end
	switch {
	case f[12] == "AGENT":
		end = 14
	case queued:
		end = 10
	}
	at := [4]struct {
		column int
		is     bool
		time   *time.Time
	}{{6, true, &c.Opened}, {9, queued, &c.Queued}, {13, c.Agent != "", &c.Responded}, {end, true, &c.Closed}}
	for _, s := range at {
		if !s.is {
			continue
		}
		if *s.time, err = clock(f[s.column], date); err != nil {
			return Call{}, fmt.Errorf("column %d: %w", s.column+1, err)
		}
	}
	c.order()
	return c, nil
}

// steps are the times of what happened, in the order in which it did.
func (c *Call) steps() []*time.Time {
	all := []*time.Time{&c.Opened, &c.Queued, &c.Responded, &c.Closed}
	return slices.DeleteFunc(all, func(t *time.Time) bool { return t.IsZero() })
}

// order gives a step that is earlier than the one ahead of it that one's time.
func (c *Call) order() {
	var last time.Time
	for _, t := range c.steps() {
		if t.Before(last) {
			*t = last
		}
		last = *t
	}
}

// move puts a call a number of days later, at the same time of the day, and its id with it: the id of a conversation that
// has ended is never used again.
func (c *Call) move(days int) {
	date, err := time.Parse(dateForm, c.ID[:len(dateForm)])
	if err == nil { // it was parsed before
		c.ID = date.AddDate(0, 0, days).Format(dateForm) + c.ID[len(dateForm):]
	}
	for _, t := range c.steps() {
		*t = t.AddDate(0, 0, days)
	}
	c.order() // the clocks may have been changed in between
}

// clock reads a time of the day such as 7:02:47.
func clock(s string, date time.Time) (time.Time, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return time.Time{}, fmt.Errorf("%q is not a time of the day", s)
	}
	var n [3]int
	for i, limit := range []int{24, 60, 60} {
		var err error
		if n[i], err = strconv.Atoi(parts[i]); err != nil || n[i] < 0 || n[i] >= limit {
			return time.Time{}, fmt.Errorf("%q is not a time of the day", s)
		}
	}
	return time.Date(date.Year(), date.Month(), date.Day(), n[0], n[1], n[2], 0, date.Location()), nil
}
