package projections

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// reference is what encoding/json writes without escapes for HTML.
func reference(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// FuzzJSONIsWrittenAsByEncodingJSON holds the writer to what the rows of former releases have, byte for byte.
func FuzzJSONIsWrittenAsByEncodingJSON(f *testing.F) {
	f.Add("a", `<b>&"\`, "\u2028é", int64(1785499200005))
	f.Add("", "\x00\n\xff", "📖", int64(0))
	f.Add("x", "", "[", int64(-62135596800000))
	f.Fuzz(func(t *testing.T, a, b, c string, ms int64) {
		at := event.TimeOf(time.UnixMilli(ms % 1e14))
		via := []object.Ref{{Type: object.Type(a), ID: b}, {Type: object.Type(b), ID: c}}
		related := []object.Lookup{{Type: object.Type(c), ID: a}, {ExternalID: b}}
		all := []event.Link{{Type: object.Type(a), ID: c, Kind: event.LinkKind(b)}, {Via: via}}
		for _, row := range []struct {
			got  string
			want any
		}{
			{refs(via), via},
			{lookups(related), related},
			{links(all), all},
			{submitted{
				Type: object.Type(a), ObjectID: b, ExternalID: c, Name: a, Description: b, Icon: c, OccurredAt: at, Source: a, Related: related,
			}.text(), struct {
				Type        object.Type     `json:"objectType,omitempty"`
				ObjectID    string          `json:"objectId,omitempty"`
				ExternalID  string          `json:"externalId,omitempty"`
				Name        string          `json:"name,omitempty"`
				Description string          `json:"description,omitempty"`
				Icon        string          `json:"icon,omitempty"`
				OccurredAt  event.Time      `json:"occurredAt,omitzero"`
				Source      string          `json:"source,omitempty"`
				Related     []object.Lookup `json:"relatedObjects,omitempty"`
			}{object.Type(a), b, c, a, b, c, at, a, related}},
		} {
			if want := reference(t, row.want); row.got != want {
				t.Errorf("got\n%s, want\n%s", row.got, want)
			}
		}
	})
}

func TestAPayloadThatIsNoJSONIsPutInAsAText(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]string{
		` {"a":1.0} `: `{"payload": {"a":1.0} }`,
		"not <JSON>":  `{"payload":"not <JSON>"}`,
	} {
		if got := (submitted{Payload: payload}).text(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
