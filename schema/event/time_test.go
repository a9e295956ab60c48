package event_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/event"
)

func TestTimesAreReadFromBothForms(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		`"2026-01-31T12:00:00Z"`:           `"2026-01-31T12:00:00.000Z"`,
		`"2026-01-31T13:00:00.1239+01:00"`: `"2026-01-31T12:00:00.123Z"`,
		`1769860800000`:                    `"2026-01-31T12:00:00.000Z"`,
		`"1769860800000"`:                  `"2026-01-31T12:00:00.000Z"`,
		`-1`:                               `"1969-12-31T23:59:59.999Z"`,
		`null`:                             `null`,
	}
	for in, want := range tests {
		var got event.Time
		if err := json.Unmarshal([]byte(in), &got); err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if out, err := json.Marshal(got); err != nil || string(out) != want {
			t.Errorf("%s: got %s, %v, want %s", in, out, err, want)
		}
	}
	for _, in := range []string{
		`""`, `"yesterday"`, `1.5`, `1e3`, `true`, `{}`, `"2026-01-31"`, `"2026-01-31T12:00:00"`, `9223372036854775808`,
		// Not absent, but in the year 1.
		`"0001-01-01T00:00:00Z"`, `"0001-01-01T01:00:00.0004+01:00"`, `-62135596800000`, `"-62135596800000"`,
	} {
		var got event.Time
		if err := json.Unmarshal([]byte(in), &got); err == nil {
			t.Errorf("%s: got %s", in, got)
		}
	}
}

func TestTimesBefore1970AreCutAwayFromZeroAlike(t *testing.T) {
	t.Parallel()
	text := time.Date(1950, 6, 1, 0, 0, 0, 123_900_000, time.UTC)
	if got, want := event.TimeOf(text).UnixMilli(), text.UnixMilli(); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
}

func TestCheckTimeKeepsWhatClickHouseCanHold(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		t  time.Time
		ok bool
	}{
		"1900":                       {event.Earliest(), true},
		"a millisecond before 1900":  {event.Earliest().Add(-time.Millisecond), false},
		"now":                        {now, true},
		"a day ahead":                {now.Add(24 * time.Hour), true},
		"a day and a millisecond":    {now.Add(24*time.Hour + time.Millisecond), false},
		"the end of what Go can say": {time.Unix(1<<55, 0), false},
	}
	for name, tt := range tests {
		if err := event.CheckTime(event.TimeOf(tt.t), now); (err == nil) != tt.ok {
			t.Errorf("%s: got %v, want ok = %t", name, err, tt.ok)
		}
	}
}

func FuzzTimeSurvivesItsOwnText(f *testing.F) {
	f.Add(`"2026-01-31T12:00:00.5Z"`)
	f.Add(`253402300800000`)
	f.Add(`-62135596800000`)
	f.Fuzz(func(t *testing.T, in string) {
		var got event.Time
		if json.Unmarshal([]byte(in), &got) != nil || event.CheckTime(got, time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)) != nil {
			return
		}
		out, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var again event.Time
		if err := json.Unmarshal(out, &again); err != nil || !again.Equal(got.Time) {
			t.Fatalf("%s was written as %s and read as %s, %v", in, out, again, err)
		}
	})
}
