package demo

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the trace is part of the binary, so that the demo runs from an empty folder
	"fmt"
	"slices"
	"time"

	"github.com/throughline/throughline/deploy/replay"
)

//go:embed data/calls-1999-02-01-to-14.tsv.gz
var trace []byte

// The days that the trace covers.
const (
	FirstDay = "1999-02-01"
	LastDay  = "1999-02-14"
)

// Calls returns the calls of one day, given as 1999-02-01, in the order of the trace.
func Calls(day string) ([]replay.Call, error) {
	date, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return nil, fmt.Errorf("day %q is not a date such as %s", day, FirstDay)
	}
	all, err := Trace()
	if err != nil {
		return nil, err
	}
	calls := slices.DeleteFunc(all, func(c replay.Call) bool { return !c.Opened.Truncate(24 * time.Hour).Equal(date) })
	if len(calls) == 0 {
		return nil, fmt.Errorf("day %s is not in the trace, which covers %s to %s", day, FirstDay, LastDay)
	}
	return calls, nil
}

// Trace returns the calls of all days, in the order of the trace. Its clock is taken for UTC.
func Trace() ([]replay.Call, error) {
	z, err := gzip.NewReader(bytes.NewReader(trace))
	if err != nil {
		return nil, fmt.Errorf("open call trace: %w", err)
	}
	calls, err := replay.ReadCalls(z, time.UTC)
	if err != nil {
		return nil, fmt.Errorf("read call trace: %w", err)
	}
	return calls, nil
}
