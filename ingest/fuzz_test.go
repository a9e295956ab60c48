package ingest

import (
	"net/http"
	"testing"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
)

// FuzzBodiesAreTakenOrRefused checks every decoder of a body: what it takes obeys the rules, what it refuses is a problem
// of the client's.
func FuzzBodiesAreTakenOrRefused(f *testing.F) {
	f.Add([]byte(`{"externalId":"x","name":"Ann","attributes":{"a":1},"relations":[{"objectType":"account","externalId":"y"}]}`))
	f.Add([]byte(`{"objectType":"USER (AGENT)","objectId":"u","name":null,"relations":null}`))
	f.Add([]byte(`{"type":"transferred","conversationId":"k","team":"t","expectedVersion":0,"agents":["a",{"externalId":"b"}]}`))
	f.Add([]byte(`{"type":"rated","conversationId":"k","rating":6,"labels":[]}`))
	f.Add([]byte(`{"attributes":[1e400]}`))
	f.Add([]byte(`{"relations":[{}]}`))
	ref := object.Ref{Type: object.Customer, ID: "c1"}
	f.Fuzz(func(t *testing.T, data []byte) {
		object1, p1 := decodeObject(data, ref)
		object2, p2 := decodeNamedObject(data)
		command, p3 := decodeTransition(data, "", http.Header{}, testTime())
		_, p4 := decodePatch(data, ref)
		for _, p := range []*problem.Problem{p1, p2, p3, p4} {
			if p != nil && p.Type != problem.MalformedJSON && p.Type != problem.InvalidMember {
				t.Errorf("refused with %s: %s", p.Type, p.Detail)
			}
		}
		for _, o := range []struct {
			object  *object.Object
			refused bool
		}{{object1, p1 != nil}, {object2, p2 != nil}} {
			if !o.refused && len(o.object.Validate()) > 0 {
				t.Errorf("taken though %v", o.object.Validate())
			}
		}
		if p3 == nil && object.ValidateID(command.ConversationID) != nil {
			t.Errorf("a transition of conversation %q was taken", command.ConversationID)
		}
	})
}

func FuzzCursorsOfOtherListsAreRefused(f *testing.F) {
	f.Add(*writeCursor("api-keys", "acme", "k1"))
	f.Add(*writeCursor("api-keys", "other", "k1"))
	f.Add("AA")
	f.Fuzz(func(t *testing.T, text string) {
		after, err := readCursor("api-keys", "acme", text)
		if err != nil || text == "" {
			return
		}
		if again, err := readCursor("api-keys", "acme", *writeCursor("api-keys", "acme", after)); again != after || err != nil {
			t.Errorf("%q was read back as %q, %v", after, again, err)
		}
	})
}
