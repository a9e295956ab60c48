package demo

import (
	"testing"
	"time"
)

func at(clock string) time.Time {
	t, err := time.Parse(time.DateTime, "1999-02-01 "+clock)
	if err != nil {
		return time.Time{}
	}
	return t
}

// The counts are those that the data set's own answers give for the day.
func TestEveryDayOfTheTraceCanBeRead(t *testing.T) {
	t.Parallel()
	total := 0
	for day := range 14 {
		date := at("00:00:00").AddDate(0, 0, day).Format(time.DateOnly)
		calls, err := Calls(date)
		if err != nil {
			t.Fatal(err)
		}
		total += len(calls)
		seen := make(map[string]bool)
		for _, c := range calls {
			if seen[c.ID] {
				t.Errorf("id %s stands twice", c.ID)
			}
			seen[c.ID] = true
			last := c.Opened
			for _, step := range []time.Time{c.Queued, c.Responded, c.Closed} {
				if !step.IsZero() && step.Before(last) {
					t.Errorf("call %s runs backwards", c.ID)
				}
				last = step
			}
		}
	}
	if total != 17456 {
		t.Errorf("got %d calls, want 17456", total)
	}
}

func TestADayOutsideTheTraceIsRefused(t *testing.T) {
	t.Parallel()
	for _, day := range []string{"1999-02-15", "yesterday", ""} {
		if _, err := Calls(day); err == nil {
			t.Errorf("day %q was accepted", day)
		}
	}
}
