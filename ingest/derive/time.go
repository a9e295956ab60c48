package derive

import (
	"time"

	"github.com/throughline/throughline/schema/stream"
)

// ClockSlack is how far the clock that stamps a record may lie behind the one by which the edge checked its times: what
// the edge has accepted is not refused for that.
const ClockSlack = time.Hour

// Latest is the last time that a record is believed to carry. The read side cannot hold times beyond 2261.
func Latest() time.Time { return time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) }

// Time is when a record was appended, as far as its producer's clock can be believed.
func Time(r *stream.Record) time.Time {
	switch {
	case r.Timestamp.Before(time.UnixMilli(0)):
		return time.UnixMilli(0).UTC()
	case r.Timestamp.After(Latest()):
		return Latest()
	default:
		return r.Timestamp.UTC()
	}
}
