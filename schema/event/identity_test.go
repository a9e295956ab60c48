package event_test

import (
	"testing"
	"time"

	"github.com/throughline/throughline/schema/event"
)

func TestPlaceIDIsFixedAndDiffersByPlaceAndTime(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_800_000_000_000)
	got := event.PlaceID("throughline.submissions.v1", 2, 40, at)
	// Ids stand in the log for ever: this one must never change.
	if want := "c2560689-eca3-5a77-9ee3-abad90a88af9"; got != want {
		t.Errorf("PlaceID = %s, want %s", got, want)
	}
	for _, other := range []string{
		event.PlaceID("throughline.submissions.v1", 2, 41, at), event.PlaceID("throughline.submissions.v1", 24, 0, at),
		event.PlaceID("throughline.events.v1", 2, 40, at), event.PlaceID("throughline.submissions.v1", 2, 40, at.Add(time.Second)),
	} {
		if other == got {
			t.Errorf("two places share the id %s", got)
		}
	}
}
