package conversation_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest/golden"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/topic"
)

func must(t *testing.T, value []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func origin(offset int64) topic.Header {
	return topic.Header{Key: topic.HeaderOrigin, Value: topic.Origin("throughline.conversation-commands.v1", 2, offset)}
}

func TestGoldenCommandsAreStillRead(t *testing.T) {
	t.Parallel()
	zero := int64(0)
	whole := conversation.Command{
		Form: 1, Workspace: "acme", ConversationID: "k/1", Request: "r1", ID: "cmd-1", Type: conversation.Opened, ExpectedVersion: &zero,
		OccurredAt: event.TimeOf(noon().Add(-time.Minute)), ReceivedAt: event.TimeOf(noon()),
		Customer: &conversation.Reference{ID: "c1", ExternalID: "195959"}, Team: "sales", Channel: "web",
		Attributes: `{"page": "https://example.com/?a=1&b=2","price":1.10}`,
	}
	labeled := conversation.Command{
		Form: 1, Workspace: "acme", ConversationID: "k1", Request: "r2", ID: "cmd-2", Type: conversation.Labeled,
		ReceivedAt: event.TimeOf(noon()), Labels: &[]string{},
	}
	broadcast := conversation.Command{
		Form: 1, Workspace: "acme", ConversationID: "k1", Request: "r3", ID: "cmd-3", Type: conversation.Broadcasted,
		ReceivedAt: event.TimeOf(noon()), Agents: []conversation.Reference{{ID: "u1"}, {ExternalID: "u-2"}},
	}
	for name, want := range map[string]conversation.Command{"command-opened": whole, "command-labeled": labeled, "command-broadcasted": broadcast} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			record := golden.Read(t, name, func() golden.Record {
				value, err := want.Encode()
				envelope := want.Envelope()
				return golden.Of(topic.ConversationCommands, conversation.Key("acme", want.ConversationID), &envelope, must(t, value, err))
			})
			got, err := conversation.ParseCommand(record.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("command (-want +got):\n%s", diff)
			}
		})
	}
}

func transitionRecord(t *testing.T, tr *conversation.Transition) golden.Record {
	t.Helper()
	value, err := tr.Encode()
	envelope := tr.Envelope()
	return golden.Of(topic.Conversations, conversation.Key(tr.Workspace, tr.ConversationID), &envelope, must(t, value, err), origin(41))
}

// goldenKey is the data key of the conversation k1, whose record is golden as well.
func goldenKey(t *testing.T) (string, *seal.DataKey) {
	t.Helper()
	m, err := seal.ParseMaster(golden.MasterKey)
	if err != nil {
		t.Fatal(err)
	}
	record := golden.Read(t, "conversation-key", func() golden.Record {
		rec, _, err := m.NewKey("acme", object.Ref{Type: object.Conversation, ID: "k1"}, noon())
		if err != nil {
			t.Fatal(err)
		}
		value, err := json.Marshal(rec)
		return golden.Of(topic.SubjectKeys, topic.Key("acme", "CONVERSATION", "k1", rec.ID),
			&topic.Envelope{ID: rec.ID, Type: topic.TypeSubjectKey, Workspace: "acme", Time: noon()}, must(t, value, err))
	})
	wrapped, err := seal.ParseKeyRecord(record.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	key, err := m.Unwrap(wrapped)
	if err != nil {
		t.Fatal(err)
	}
	return wrapped.ID, key
}

func opened(keyID string) *conversation.Transition {
	tr := &conversation.Transition{
		Form: 1, Workspace: "acme", ConversationID: "k1", Version: 1, Type: conversation.Opened, CommandID: "cmd-1", To: conversation.StateOpen,
		OccurredAt: event.TimeOf(noon().Add(-time.Minute)), ReceivedAt: event.TimeOf(noon()),
		Customer: &conversation.Party{Type: object.Customer, ID: "c1"}, Team: "sales", Channel: "web",
		Links: []event.Link{
			{Type: object.Conversation, ID: "k1", Kind: event.LinkPrimary},
			{Type: object.Customer, ID: "c1", Kind: event.LinkRelated},
			{Type: object.Account, ID: "a1", Kind: event.LinkRelated, Via: []object.Ref{{Type: object.Customer, ID: "c1"}}},
		},
		KeyID: keyID,
	}
	if err := tr.Complete(conversation.Conversation{}); err != nil {
		panic(err)
	}
	return tr
}

func TestGoldenTransitionsAreStillReadAndOpened(t *testing.T) {
	t.Parallel()
	keyID, key := goldenKey(t)
	want := opened(keyID)
	personal := conversation.Personal{
		Attributes: `{"page": "https://example.com","price":1.10}`,
		Named:      []object.Lookup{{Type: object.Customer, ID: "c1", ExternalID: "195959"}},
		Missing:    []object.Lookup{{Type: object.User, ExternalID: "nobody"}},
	}
	record := golden.Read(t, "transition-sealed", func() golden.Record {
		plain, err := json.Marshal(personal)
		tr := *want
		tr.Sealed = key.Seal(must(t, plain, err), tr.AdditionalData())
		return transitionRecord(t, &tr)
	})
	got, err := conversation.ParseTransition(record.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(conversation.Transition{}, "Sealed")); diff != "" {
		t.Errorf("transition (-want +got):\n%s", diff)
	}
	plain, err := key.Open(got.Sealed, got.AdditionalData())
	if err != nil {
		t.Fatal(err)
	}
	var opened conversation.Personal
	if err := json.Unmarshal(plain, &opened); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(personal, opened); diff != "" {
		t.Errorf("personal part (-want +got):\n%s", diff)
	}
	if got.ID() != "k1:1" || record.Header(topic.HeaderID) != "k1:1" || record.Key != "acme/CONVERSATION/k1" {
		t.Errorf("the record is %s under %s", record.Header(topic.HeaderID), record.Key)
	}
}

func TestGoldenTransitionsOfEachTypeAreStillRead(t *testing.T) {
	t.Parallel()
	s := &conversation.Snapshot{}
	for i, c := range []*conversation.Command{
		at(0, conversation.Queued, team("sales")),
		at(1, conversation.Broadcasted),
		at(2, conversation.Transferred, team("support")),
		at(3, conversation.Assigned, func(c *conversation.Command) { c.Proactive = true }),
		at(4, conversation.Responded, func(c *conversation.Command) { c.Agent, c.Bot = nil, &conversation.Reference{ID: "b1"} }),
		at(5, conversation.Labeled),
		at(6, conversation.Closed, func(c *conversation.Command) { c.Reason = "solved" }),
		at(7, conversation.Surveyed),
	} {
		next, d := take(t, s, c)
		for _, want := range d.Transitions {
			name := "transition-" + string(want.Type)
			if want.Implied {
				name += "-implied"
			}
			want.Form = conversation.RecordVersion
			record := golden.Read(t, name, func() golden.Record { return transitionRecord(t, want) })
			got, err := conversation.ParseTransition(record.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%d %s (-want +got):\n%s", i, name, diff)
			}
		}
		s = next
	}
}

func TestGoldenSnapshotsAreStillRead(t *testing.T) {
	t.Parallel()
	open, _ := take(t, &conversation.Snapshot{}, at(0, conversation.Queued, team("sales")))
	closed, _ := take(t, open, at(9, conversation.Closed))
	for name, want := range map[string]*conversation.Snapshot{"snapshot-queued": open, "snapshot-closed": closed} {
		record := golden.Read(t, name, func() golden.Record {
			value, err := want.Encode()
			envelope := want.Envelope()
			return golden.Of(topic.ConversationState, conversation.Key("acme", want.ID), &envelope, must(t, value, err), origin(41))
		})
		got, err := conversation.ParseSnapshot(record.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		want.Form = 1
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestGoldenRepliesAreStillRead(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]*conversation.Reply{
		"reply-accepted": {
			Form: 1, Request: "r1", Workspace: "acme", ConversationID: "k1", CommandID: "cmd-1", Version: 4, State: conversation.StateQueued,
			Changed: true, Missing: []object.Lookup{{Type: object.User, ExternalID: "nobody"}},
		},
		"reply-refused": {
			Form: 1, Request: "r2", Workspace: "acme", ConversationID: "k1", CommandID: "cmd-2", Version: 4, State: conversation.StateClosed,
			Refusal: &conversation.Refusal{Kind: conversation.AlreadyClosed, Detail: "The conversation is CLOSED."},
		},
	} {
		record := golden.Read(t, name, func() golden.Record {
			value, err := want.Encode()
			envelope := want.Envelope(event.TimeOf(noon()))
			return golden.Of(topic.CommandReplies, conversation.Key("acme", "k1"), &envelope, must(t, value, err), origin(41),
				topic.Header{Key: topic.HeaderRequest, Value: want.Request})
		})
		got, err := conversation.ParseReply(record.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestRecordsNeedAKnownFormAndAnIdentity(t *testing.T) {
	t.Parallel()
	transition := `"workspace":"w","conversationId":"k","version":1,"type":"opened","to":"OPEN","links":[{}],"after":{"workspace":"w","conversationId":"k","version":1}`
	snapshot := `"workspace":"w","conversationId":"k","version":1,"state":"OPEN"`
	reply := `"request":"r","conversationId":"k"`
	for name, tt := range map[string]struct {
		whole string
		parse func([]byte) error
	}{
		"transition": {transition, func(b []byte) error { _, err := conversation.ParseTransition(b); return err }},
		"snapshot":   {snapshot, func(b []byte) error { _, err := conversation.ParseSnapshot(b); return err }},
		"reply":      {reply, func(b []byte) error { _, err := conversation.ParseReply(b); return err }},
	} {
		if err := tt.parse([]byte(`{"v":1,` + tt.whole + `,"from the":"future"}`)); err != nil {
			t.Errorf("%s with an unknown member: %v", name, err)
		}
		for _, value := range []string{`{"v":2,` + tt.whole + `}`, `{` + tt.whole + `}`, `{"v":1}`, `{`, `null`, `[]`} {
			if tt.parse([]byte(value)) == nil {
				t.Errorf("%s: %s was read", name, value)
			}
		}
	}
	if _, err := conversation.ParseTransition([]byte(`{"v":1,` + strings.Replace(transition, `"after":{"workspace":"w"`, `"after":{"workspace":"x"`, 1) + `}`)); err == nil {
		t.Error("a transition with another's state was read")
	}
}

// FuzzRecordsSurviveTheirOwnForm reads any bytes as each kind of record: what is read is written and read alike, and folds.
func FuzzRecordsSurviveTheirOwnForm(f *testing.F) {
	tr := opened("key")
	value, err := tr.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	f.Add([]byte(`{"v":1,"workspace":"w","conversationId":"k","version":3,"state":"QUEUED","queuedAt":1,"commands":[{"c":"x","n":1,"t":5}]}`))
	f.Add([]byte(`{"v":1,"request":"r","conversationId":"k","version":4,"refusal":{"kind":"closed","detail":"d"}}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		if tr, err := conversation.ParseTransition(value); err == nil {
			again(t, tr, tr.Encode, conversation.ParseTransition)
			var gap *conversation.GapError
			if _, err := (conversation.Conversation{}).Apply(tr); err != nil && !errors.As(err, &gap) {
				t.Fatal(err)
			}
		}
		if s, err := conversation.ParseSnapshot(value); err == nil {
			again(t, s, s.Encode, conversation.ParseSnapshot)
			_ = s.Waiting(noon())
			_ = s.Handling(noon())
			_, _ = s.Recall("i", noon())
		}
		if r, err := conversation.ParseReply(value); err == nil {
			again(t, r, r.Encode, conversation.ParseReply)
		}
	})
}

func again[T any](t *testing.T, want *T, encode func() ([]byte, error), parse func([]byte) (*T, error)) {
	t.Helper()
	value, err := encode()
	if err != nil {
		// A year beyond 9999 is read and cannot be written: nothing of ours has it.
		return
	}
	got, err := parse(value)
	if err != nil {
		t.Fatalf("%s: %v", value, err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", value, diff)
	}
}
