package calendar_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/query/calendar"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestADayBeginsWhenItsClockDoes(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"UTC":               "2026-09-06T00:00:00Z",
		"Asia/Kolkata":      "2026-09-05T18:30:00Z",
		"America/Santiago":  "2026-09-06T04:00:00Z", // the clock goes from 24:00 to 01:00 there
		"America/Anchorage": "2026-09-06T08:00:00Z",
	} {
		location := zone(t, name)
		noon := time.Date(2026, 9, 6, 12, 0, 0, 0, location)
		if got := calendar.StartOfDay(noon, location).UTC().Format(time.RFC3339); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestARangeIsCutWhereIntervalsBegin(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, zone, from, to string
		interval             calendar.Interval
		want                 []string
	}{
		{
			"hours of a zone that is off by three quarters", "Asia/Kathmandu", "2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z", calendar.Hour,
			[]string{"2026-01-01T00:00:00Z", "2026-01-01T00:15:00Z", "2026-01-01T01:15:00Z"},
		},
		{
			"days around a day of 23 hours", "Europe/Berlin", "2026-03-27T23:00:00Z", "2026-03-30T22:00:00Z", calendar.Day,
			[]string{"2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		},
		{
			"weeks from a Thursday on", "UTC", "2026-01-01T00:00:00Z", "2026-01-13T00:00:00Z", calendar.Week,
			[]string{"2026-01-01T00:00:00Z", "2026-01-05T00:00:00Z", "2026-01-12T00:00:00Z"},
		},
		{
			"months", "America/New_York", "2026-01-31T00:00:00Z", "2026-04-01T00:00:00Z", calendar.Month,
			[]string{"2026-01-31T00:00:00Z", "2026-02-01T05:00:00Z", "2026-03-01T05:00:00Z"},
		},
		{
			"a range within one interval", "UTC", "2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z", calendar.FiveMinutes,
			[]string{"2026-01-01T00:01:00Z"},
		},
		{
			"hours of the night in which the clock is set by half an hour", "Australia/Lord_Howe", "2026-10-03T13:00:00Z", "2026-10-03T17:00:00Z", calendar.Hour,
			[]string{"2026-10-03T13:00:00Z", "2026-10-03T13:30:00Z", "2026-10-03T14:30:00Z", "2026-10-03T15:30:00Z", "2026-10-03T16:30:00Z"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			cuts, err := calendar.Cut(at(t, row.from), at(t, row.to), row.interval, zone(t, row.zone), 100)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range cuts {
				got = append(got, c.UTC().Format(time.RFC3339))
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("cuts (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := calendar.Cut(at(t, "2026-01-01T00:00:00Z"), at(t, "2026-01-02T00:00:00Z"), calendar.FiveMinutes, time.UTC, 287); !errors.Is(err, calendar.ErrTooMany) {
		t.Errorf("288 intervals where 287 are allowed: %v", err)
	}
}
