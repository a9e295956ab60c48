package dispatcher

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/sanitize"
	"github.com/throughline/throughline/schema/webhook"
)

func TestAnEventIsToldAsItsTimelineShowsIt(t *testing.T) {
	t.Parallel()
	e := &event.Event{
		ID: "e1", Workspace: "ws", Type: object.Customer, ObjectID: "c1", Name: "Viewed", OccurredAt: exampleTime(0), ReceivedAt: exampleTime(1),
		Links: []event.Link{{Type: object.Customer, ID: "c1", Kind: event.LinkPrimary}},
	}
	compiled := schemas(t)[webhook.EventLinked]
	type shown struct {
		Description, DescriptionHTML, Icon, ExternalID *string
		Payload                                        json.RawMessage
	}
	text := func(s string) *string { return &s }
	for name, tt := range map[string]struct {
		personal event.Personal
		want     shown
	}{
		"HTML": {
			event.Personal{Description: `<b onclick="x()">How</b><script>y()</script>`, Icon: "📖", ExternalID: "77", Payload: `{"a":1.0}`},
			shown{text(`<b onclick="x()">How</b><script>y()</script>`), text("<b>How</b>"), text("📖"), text("77"), json.RawMessage(`{"a":1.0}`)},
		},
		"text":   {event.Personal{Description: "1 < 2\nyes"}, shown{text("1 < 2\nyes"), text("1 &lt; 2<br>yes"), nil, nil, json.RawMessage("null")}},
		"erased": {event.Personal{}, shown{Payload: json.RawMessage("null")}},
	} {
		body, err := linkedBody(e, &tt.personal, sanitize.New())
		if err != nil {
			t.Fatal(err)
		}
		conforms(t, compiled, body)
		var got struct{ Data struct{ Event shown } }
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got.Data.Event); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
