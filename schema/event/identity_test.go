package event_test

import (
	"testing"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/topic"
)

func TestPlaceIDIsFixedAndDiffersByPlace(t *testing.T) {
	t.Parallel()
	got := event.PlaceID(topic.Submissions, 2, 40)
	// Ids stand in the log for ever: this one must never change.
	if want := "3953b348-7d77-5289-8a70-66433e54fa93"; got != want {
		t.Errorf("PlaceID = %s, want %s", got, want)
	}
	for _, other := range []string{
		event.PlaceID(topic.Submissions, 2, 41), event.PlaceID(topic.Submissions, 24, 0), event.PlaceID(topic.Events, 2, 40),
	} {
		if other == got {
			t.Errorf("two places share the id %s", got)
		}
	}
}
