package demo

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed" // the trace is part of the binary, so that the demo runs from an empty folder
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

//go:embed data/calls-1999-02-01-to-14.tsv.gz
var trace []byte

// The days that the trace covers.
const (
	FirstDay = "1999-02-01"
	LastDay  = "1999-02-14"
)

// columns is the number of fields of a row.
const columns = 17

// Call is one row of the trace. Opened ≤ Queued ≤ Responded ≤ Closed; a step that did not happen is the zero time.
type Call struct {
	// ID is unique over the trace: date, line and number.
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

// Calls returns the calls of one day, given as 1999-02-01, in the order of the trace.
func Calls(day string) ([]Call, error) {
	date, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return nil, fmt.Errorf("day %q is not a date such as %s", day, FirstDay)
	}
	z, err := gzip.NewReader(bytes.NewReader(trace))
	if err != nil {
		return nil, fmt.Errorf("open call trace: %w", err)
	}
	calls, err := readCalls(z, date)
	if err != nil {
		return nil, fmt.Errorf("read call trace: %w", err)
	}
	if len(calls) == 0 {
		return nil, fmt.Errorf("day %s is not in the trace, which covers %s to %s", day, FirstDay, LastDay)
	}
	return calls, nil
}

// readCalls reads the rows of one date. Rows of other dates are only counted, for the line numbers of errors.
func readCalls(r io.Reader, date time.Time) ([]Call, error) {
	want := date.Format("060102")
	var calls []Call
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != columns {
			return nil, fmt.Errorf("line %d has %d fields, not %d", n, len(fields), columns)
		}
		if fields[5] != want {
			continue
		}
		c, err := parseCall(fields, date)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		calls = append(calls, c)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return calls, nil
}

// parseCall turns the fields of a row into a call. The trace is dirty: a step with an earlier time than the step ahead
// of it takes that step's time.
func parseCall(f []string, date time.Time) (Call, error) {
	priority, err := strconv.Atoi(f[3])
	if err != nil {
		return Call{}, fmt.Errorf("priority: %w", err)
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

	var last time.Time
	step := func(column int) time.Time {
		t, clockErr := clock(f[column], date)
		if clockErr != nil && err == nil {
			err = fmt.Errorf("column %d: %w", column+1, clockErr)
		}
		if t.Before(last) {
			t = last
		}
		last = t
		return t
	}
	c.Opened = step(6)
	if queued {
		c.Queued = step(9)
	}
	if c.Agent != "" {
		c.Responded = step(13)
	}
	c.Closed = step(end)
	return c, err
}

// clock reads a time of the day such as 7:02:47.
func clock(s string, date time.Time) (time.Time, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return time.Time{}, fmt.Errorf("%q is not a time of the day", s)
	}
	seconds := 0
	for i, limit := range []int{24, 60, 60} {
		n, err := strconv.Atoi(parts[i])
		if err != nil || n < 0 || n >= limit {
			return time.Time{}, fmt.Errorf("%q is not a time of the day", s)
		}
		seconds = seconds*60 + n
	}
	return date.Add(time.Duration(seconds) * time.Second), nil
}
