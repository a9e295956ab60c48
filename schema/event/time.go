package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/throughline/throughline/schema/record"
)

// Time is a time to the millisecond. It is read from RFC 3339 or from epoch milliseconds, and written as RFC 3339 in
// UTC. The zero Time means absent.
type Time struct{ time.Time }

// TimeOf cuts t to the millisecond, in UTC.
func TimeOf(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{t.UTC().Truncate(time.Millisecond)}
}

// MarshalJSON implements json.Marshaler; the zero Time is null.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return record.AppendTime(make([]byte, 0, len(record.TimeFormat)+2), t.Time), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = Time{}
		return nil
	}
	if len(b) > 1 && b[0] == '"' {
		s := string(b[1 : len(b)-1])
		if strings.Contains(s, `\`) {
			if err := json.Unmarshal(b, &s); err != nil {
				return fmt.Errorf("read time: %w", err)
			}
		}
		if s == "" {
			return errors.New(`must be RFC 3339, such as "2026-01-31T12:00:00Z", or epoch milliseconds`)
		}
		parsed, err := ParseTime(s)
		*t = parsed
		return err
	}
	ms, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return errors.New(`must be RFC 3339, such as "2026-01-31T12:00:00Z", or epoch milliseconds`)
	}
	*t, err = given(time.UnixMilli(ms))
	return err
}

// ParseTime reads RFC 3339 or a whole number of epoch milliseconds.
func ParseTime(s string) (Time, error) {
	// Only RFC 3339 has a dash that is no sign; looking for it first saves making an error of every time.
	if strings.LastIndexByte(s, '-') < 1 {
		if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
			return given(time.UnixMilli(ms))
		}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return Time{}, errors.New(`must be RFC 3339, such as "2026-01-31T12:00:00Z", or epoch milliseconds`)
	}
	return given(t)
}

// given is a time that somebody gave. The first moment of the year 1 is the zero Time and would pass for an absent one, so
// it is refused here like its neighbours elsewhere.
func given(t time.Time) (Time, error) {
	at := TimeOf(t)
	if at.IsZero() {
		return Time{}, errOutside()
	}
	return at, nil
}

// Earliest is the first time that an event may carry. ClickHouse's DateTime64 begins there, and the client library
// wraps what lies outside without a word.
func Earliest() time.Time { return time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC) }

// Ahead is how far in the future an event may lie: clocks differ, and some callers send local times.
const Ahead = 24 * time.Hour

// CheckTime says whether a time may be kept.
func CheckTime(t Time, now time.Time) error {
	if t.Before(Earliest()) || t.After(now.Add(Ahead)) {
		return errOutside()
	}
	return nil
}

func errOutside() error {
	return errors.New("must lie between 1900-01-01T00:00:00Z and 24 hours from now")
}
