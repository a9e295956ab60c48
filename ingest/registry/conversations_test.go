package registry_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/topic"
)

func talk(id string) object.Lookup { return object.Lookup{Type: object.Conversation, ID: id} }

// snapshot writes the state of a conversation of a customer, or of nobody.
func (l *log) snapshot(t *testing.T, id, customer string) {
	t.Helper()
	s := &conversation.Snapshot{Conversation: conversation.Conversation{
		Workspace: ws, ID: id, Version: 1, State: conversation.StateOpen, KeyID: "key-" + id,
	}}
	if customer != "" {
		s.Customer = &conversation.Party{Type: object.Customer, ID: customer}
	}
	value, err := s.Encode()
	check(t, err)
	l.append(t, topic.ConversationState, conversation.Key(ws, id), value, time.Now())
}

func TestAConversationIsKnownAsSoonAsItsStateIsInTheLog(t *testing.T) {
	t.Parallel()
	l := kafka(t)
	v := l.follow(t, t.TempDir())
	for _, id := range []string{"k1", "k/2", "k 3"} {
		l.snapshot(t, id, "")
		if got, err := v.Locate(t.Context(), ws, talk(id)); got != id || err != nil {
			t.Errorf("located %q, %v, want %s", got, err, id)
		}
	}
	if _, err := v.Locate(t.Context(), ws, talk("k4")); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("one that has not begun: %v", err)
	}
	if _, err := v.Locate(t.Context(), "other", talk("k1")); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("another workspace's: %v", err)
	}
	l.snapshot(t, "k5", "")
	check(t, v.BarrierConversations(t.Context()))
	if known, err := v.KnowsConversation(ws, "k5"); !known || err != nil {
		t.Errorf("after a barrier: %t, %v", known, err)
	}
}

func TestAConversationIsRelatedToItsCustomerAndToWhatWasPut(t *testing.T) {
	t.Parallel()
	l := kafka(t)
	v := l.follow(t, t.TempDir())
	l.snapshot(t, "k1", "c1")
	rec, err := v.Resolve(t.Context(), ws, talk("k1"))
	check(t, err)
	if diff := cmp.Diff([]object.Relation{{Type: object.Customer, ID: "c1"}}, rec.Relations); diff != "" || rec.KeyID != "key-k1" {
		t.Errorf("key %s, relations (-want +got):\n%s", rec.KeyID, diff)
	}
	put := object.Record{
		Version: object.RecordVersion, Workspace: ws, Type: object.Conversation, ID: "k1", UpdatedAt: time.Now(), KeyID: "mine",
		Relations: []object.Relation{{Type: object.Account, ID: "a1"}},
	}
	value, err := json.Marshal(put)
	check(t, err)
	l.append(t, topic.Objects, topic.Key(ws, "CONVERSATION", "k1"), value, time.Now())
	check(t, v.Barrier(t.Context()))
	rec, err = v.Resolve(t.Context(), ws, talk("k1"))
	check(t, err)
	want := []object.Relation{{Type: object.Customer, ID: "c1"}, {Type: object.Account, ID: "a1"}}
	if diff := cmp.Diff(want, rec.Relations); diff != "" || rec.KeyID != "mine" {
		t.Errorf("key %s, relations (-want +got):\n%s", rec.KeyID, diff)
	}
	raw, found, err := v.Object(ws, object.Ref{Type: object.Conversation, ID: "k1"})
	if err != nil || !found || len(raw.Relations) != 1 {
		t.Errorf("what was PUT is %+v, %t, %v", raw, found, err)
	}
}
