package dispatcher

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/sanitize"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
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
		body, err := linkedBody(e, &tt.personal, "", sanitize.New())
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

// TestAnEventIsToldWithItsObjectsName has one object with a name and one that nobody knows.
func TestAnEventIsToldWithItsObjectsName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.Kfake(t), true, 1)
	hook := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	w.endpoint("crm", hook.URL)
	rec, key, err := w.master.NewKey("ws", object.Ref{Type: object.Customer, ID: "c0"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	named := object.Record{Version: 1, Workspace: "ws", Type: object.Customer, ID: "c0", UpdatedAt: time.Now(), KeyID: rec.ID}
	named.Sealed = key.Seal([]byte(`{"name":"Ann"}`), named.AdditionalData())
	for name, r := range map[topic.Name]struct {
		key   []byte
		value any
	}{
		topic.SubjectKeys: {topic.Key("ws", "CUSTOMER", "c0", rec.ID), rec},
		topic.Objects:     {topic.Key("ws", "CUSTOMER", "c0"), named},
	} {
		value, err := json.Marshal(r.value)
		if err != nil {
			t.Fatal(err)
		}
		w.put(&stream.Record{Topic: w.kafka.Topic(name), Key: r.key, Value: value})
	}
	w.events(0, 2)
	w.start()
	for _, d := range w.planned(func(d *webhook.Delivery) bool { return d.Event == "e1" }) {
		body, want := d.Body, `"name":null}`
		if d.Event == "e0" {
			plain, err := key.Open(d.Sealed, webhook.BodyData("ws", d.Type, d.Subject, d.Event))
			if err != nil || d.KeyID != rec.ID {
				t.Fatalf("the name is not sealed with the key of its object: %v", err)
			}
			body, want = string(plain), `"name":"Ann"}`
		}
		if !strings.Contains(body, want) {
			t.Errorf("%s is told as %s, want %s", d.Event, body, want)
		}
	}
	w.eventually("both are posted", func() bool { return len(hook.counts()) == 2 })
}
