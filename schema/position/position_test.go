package position_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/position"
	"github.com/throughline/throughline/schema/topic"
)

func TestPositionKeepsTheGreatestOffsetOfEachPartition(t *testing.T) {
	t.Parallel()
	var p position.Position
	p.Add(position.Entry{Topic: topic.Objects, Partition: 2, Offset: 9})
	p.Add(position.Entry{Topic: topic.Submissions, Partition: 1, Offset: 5})
	p.Add(position.Entry{Topic: topic.Submissions, Partition: 1, Offset: 3})
	p.Add(position.Entry{Topic: topic.Submissions, Partition: 1, Offset: 4, Pending: true})
	got, err := position.Parse(*p.Encode("ws"), "ws")
	if err != nil {
		t.Fatal(err)
	}
	want := []position.Entry{
		{Topic: topic.Submissions, Partition: 1, Offset: 5},
		{Topic: topic.Submissions, Partition: 1, Offset: 4, Pending: true},
		{Topic: topic.Objects, Partition: 2, Offset: 9},
	}
	if diff := cmp.Diff(want, got.Entries()); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// TestPositionsThatClientsHoldKeepTheirMeaning has one of each topic, as it was written once.
func TestPositionsThatClientsHoldKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	var want position.Position
	for i, name := range []topic.Name{
		topic.Submissions, topic.Objects, topic.Workspaces, topic.ConversationCommands,
		topic.WebhookEndpoints, topic.WebhookDeliveries, topic.WebhookReplays,
	} {
		want.Add(position.Entry{Topic: name, Partition: int32(i), Offset: int64(100 * i)})
	}
	const held = "AfQnjOI8rQIAAAQBZAYCyAEIA6wCCgSQAwwF9AMOBtgEdO7ggodQ"
	got, err := position.Parse(held, "ws")
	if err != nil {
		t.Fatalf("%v; it is written now as %s", err, *want.Encode("ws"))
	}
	if diff := cmp.Diff(want.Entries(), got.Entries()); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestAnEmptyPositionHasNoText(t *testing.T) {
	t.Parallel()
	if s := (position.Position{}).Encode("ws"); s != nil {
		t.Errorf("got %q, want nil", *s)
	}
}

func TestParseRefusesWhatIsNoPositionOfTheWorkspace(t *testing.T) {
	t.Parallel()
	var p position.Position
	p.Add(position.Entry{Topic: topic.Submissions, Offset: 1})
	good := *p.Encode("ws")
	changed := []byte(good)
	changed[len(changed)/2] ^= 1
	for name, c := range map[string]struct{ text, workspace string }{
		"another workspace": {good, "other"},
		"empty":             {"", "ws"},
		"not base64":        {"%%%", "ws"},
		"cut":               {good[:len(good)-2], "ws"},
		"changed":           {string(changed), "ws"},
	} {
		if _, err := position.Parse(c.text, c.workspace); !errors.Is(err, position.ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	var p position.Position
	p.Add(position.Entry{Topic: topic.Submissions, Partition: 3, Offset: 77, Pending: true})
	f.Add(*p.Encode("ws"))
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := position.Parse(s, "ws")
		if err != nil || p.Empty() {
			return
		}
		again, err := position.Parse(*p.Encode("ws"), "ws")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p.Entries(), again.Entries()); diff != "" {
			t.Errorf("entries changed (-first +second):\n%s", diff)
		}
	})
}
