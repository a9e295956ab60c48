package dispatcher

import (
	"encoding/json"
	"testing"

	"github.com/atc0005/go-teams-notify/v2/adaptivecard"
	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"

	"github.com/throughline/throughline/schema/webhook"
)

// TestMessagesAreValidToTheLibrariesOfTheirServices has libraries that others keep read what is written here: what they do
// not know of a message, or hold to be wrong, shows.
func TestMessagesAreValidToTheLibrariesOfTheirServices(t *testing.T) {
	t.Parallel()
	for name, body := range bodies(t) {
		message, err := render(webhook.FormatTeams, body)
		if err != nil {
			t.Fatal(err)
		}
		var card adaptivecard.Message
		// It does not know every member that a container has; what it knows it checks.
		if err := json.Unmarshal(message, &card); err != nil {
			t.Fatalf("%s for Teams: %v", name, err)
		}
		if err := card.Validate(); err != nil {
			t.Errorf("%s for Teams: %v", name, err)
		}
		if message, err = render(webhook.FormatSlack, body); err != nil {
			t.Fatal(err)
		}
		var hook slack.WebhookMessage
		if err := strict(message, &hook); err != nil {
			t.Fatalf("%s for Slack: %v", name, err)
		}
		again, err := json.Marshal(hook.Blocks)
		if err != nil {
			t.Fatal(err)
		}
		var want struct {
			Blocks any `json:"blocks"`
		}
		var got any
		if err := json.Unmarshal(message, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(again, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.Blocks, got); diff != "" {
			t.Errorf("%s for Slack: the library reads other blocks (-ours +its):\n%s", name, diff)
		}
		for _, b := range hook.Blocks.BlockSet {
			for _, o := range textsOf(b) {
				if err := o.Validate(); err != nil {
					t.Errorf("%s for Slack: %v", name, err)
				}
			}
		}
	}
}

func textsOf(b slack.Block) []*slack.TextBlockObject {
	switch b := b.(type) {
	case *slack.HeaderBlock:
		return []*slack.TextBlockObject{b.Text}
	case *slack.SectionBlock:
		if b.Text != nil {
			return append(b.Fields, b.Text)
		}
		return b.Fields
	case *slack.ContextBlock:
		var all []*slack.TextBlockObject
		for _, e := range b.ContextElements.Elements {
			if o, ok := e.(*slack.TextBlockObject); ok {
				all = append(all, o)
			}
		}
		return all
	default:
		return nil
	}
}
