package demo

import (
	"strconv"
	"time"

	"github.com/throughline/throughline/deploy/replay"
)

// until is what had happened of the calls by a moment, moved so that the moment is now, as conversations of their own.
func until(calls []replay.Call, moment, now time.Time) []replay.Call {
	shift := now.Sub(moment)
	prefix := strconv.FormatInt(now.Unix(), 10) + "-"
	var so []replay.Call
	for _, c := range calls {
		if c.Opened.After(moment) {
			continue
		}
		c.ID = prefix + c.ID
		for _, t := range []*time.Time{&c.Opened, &c.Queued, &c.Responded, &c.Closed} {
			switch {
			case t.IsZero():
			case t.After(moment):
				*t = time.Time{}
			default:
				*t = t.Add(shift)
			}
		}
		so = append(so, c)
	}
	return so
}

// hungUp are the calls that had not ended, as they end.
func hungUp(calls []replay.Call, at time.Time) []replay.Call {
	var all []replay.Call
	for _, c := range calls {
		if c.Closed.IsZero() {
			c.Closed = at
			all = append(all, c)
		}
	}
	return all
}

// busiest is the customer with the most calls; among equals, the one with the smallest id.
func busiest(calls []replay.Call) string {
	count := make(map[string]int)
	for _, c := range calls {
		if c.Customer != "" {
			count[c.Customer]++
		}
	}
	best := ""
	for id, n := range count {
		if best == "" || n > count[best] || (n == count[best] && id < best) {
			best = id
		}
	}
	return best
}
