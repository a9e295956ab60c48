// Package calendar cuts time as people in a time zone do: into days that begin at their midnight, weeks that begin on
// Monday, months.
package calendar

import (
	"errors"
	"fmt"
	"time"
)

// Interval is a length of time in a calendar.
type Interval string

// The intervals. Those below a day are counted from midnight, so that they begin with the clock's hour wherever the zone
// lies; on a day whose clock is set, the last one or two may be shorter.
const (
	FiveMinutes     Interval = "5m"
	QuarterOfAnHour Interval = "15m"
	Hour            Interval = "1h"
	Day             Interval = "1d"
	Week            Interval = "1w"
	Month           Interval = "1mo"
)

// Intervals lists all, from the shortest on.
func Intervals() []Interval {
	return []Interval{FiveMinutes, QuarterOfAnHour, Hour, Day, Week, Month}
}

// ErrTooMany says that a range has more intervals than were allowed.
var ErrTooMany = errors.New("too many intervals")

// StartOfDay is the first instant of the day that a moment falls in. Where the clock skips midnight, that is when it does
// so.
func StartOfDay(at time.Time, zone *time.Location) time.Time {
	y, m, d := at.In(zone).Date()
	return day(y, m, d, zone)
}

// day is the first instant of a date, whose numbers need not be normal.
func day(y int, m time.Month, d int, zone *time.Location) time.Time {
	// Noon exists on every day of every zone.
	y, m, d = time.Date(y, m, d, 12, 0, 0, 0, zone).Date()
	midnight := time.Date(y, m, d, 0, 0, 0, 0, zone)
	if midnight.Day() != d {
		_, midnight = midnight.ZoneBounds()
	}
	return midnight
}

// Cut returns the instants at which a range is to be cut: its beginning, then each beginning of an interval within it. At
// most limit are returned; a range that has more is ErrTooMany.
func Cut(from, to time.Time, interval Interval, zone *time.Location, limit int) ([]time.Time, error) {
	cuts := []time.Time{from}
	for next := after(from, interval, zone); next.Before(to); next = after(next, interval, zone) {
		if len(cuts) == limit {
			return nil, fmt.Errorf("%w: more than %d", ErrTooMany, limit)
		}
		cuts = append(cuts, next)
	}
	return cuts, nil
}

// after is the first beginning of an interval after an instant.
func after(at time.Time, interval Interval, zone *time.Location) time.Time {
	y, m, d := at.In(zone).Date()
	switch interval {
	case Day:
		return day(y, m, d+1, zone)
	case Week:
		// A week begins on Monday (ISO 8601).
		sinceMonday := (int(at.In(zone).Weekday()) + 6) % 7
		return day(y, m, d-sinceMonday+7, zone)
	case Month:
		return day(y, m+1, 1, zone)
	default:
	}
	step := interval.length()
	midnight, tomorrow := day(y, m, d, zone), day(y, m, d+1, zone)
	next := midnight.Add(at.Sub(midnight).Truncate(step) + step)
	if next.After(tomorrow) {
		return tomorrow
	}
	return next
}

func (i Interval) length() time.Duration {
	switch i {
	case FiveMinutes:
		return 5 * time.Minute
	case QuarterOfAnHour:
		return 15 * time.Minute
	default:
		return time.Hour
	}
}
