package projections_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
)

// talk takes a conversation through commands and gives the records of its transitions.
type talk struct {
	t     *testing.T
	state conversation.Conversation
}

func (k *talk) step(typ conversation.Type, after time.Duration, personal conversation.Personal, change func(*conversation.Command, *conversation.Parties)) projections.Record {
	k.t.Helper()
	at := event.TimeOf(stamp().Add(after))
	c := &conversation.Command{Workspace: "ws", ConversationID: "k1", ID: "cmd-" + string(typ), Type: typ, OccurredAt: at, ReceivedAt: at}
	var who conversation.Parties
	if change != nil {
		change(c, &who)
	}
	d := conversation.Decide(&conversation.Snapshot{Conversation: k.state}, c, who)
	if len(d.Transitions) != 1 {
		k.t.Fatalf("%s gave %d transitions: %+v", typ, len(d.Transitions), d.Refusal)
	}
	tr := d.Transitions[0]
	tr.Links = []event.Link{
		{Type: object.Conversation, ID: "k1", Kind: event.LinkPrimary},
		{Type: object.Customer, ID: "c1", Kind: event.LinkRelated},
	}
	tr.KeyID = "key"
	if err := tr.Complete(k.state); err != nil {
		k.t.Fatal(err)
	}
	k.state = tr.After
	tr.Sealed = encode(k.t, personal)
	value, err := tr.Encode()
	if err != nil {
		k.t.Fatal(err)
	}
	return record(topic.Conversations, "ws/CONVERSATION/k1", value)
}

func (k *talk) all() []projections.Record {
	agent := func(c *conversation.Command, who *conversation.Parties) {
		c.Agent = &conversation.Reference{ID: "MICHAL"}
		who.Agent = &conversation.Party{Type: object.User, ID: "MICHAL"}
	}
	return []projections.Record{
		k.step(conversation.Opened, 0, conversation.Personal{Attributes: `{"a": 1.0,"b":"<é>"}`},
			func(c *conversation.Command, who *conversation.Parties) {
				c.Team, c.Attributes = "sales", `{"a": 1.0,"b":"<é>"}`
				who.Customer = &conversation.Party{Type: object.Customer, ID: "c1"}
			}),
		k.step(conversation.Queued, time.Second, conversation.Personal{}, nil),
		k.step(conversation.Responded, 95*time.Second, conversation.Personal{}, agent),
		k.step(conversation.Labeled, 96*time.Second, conversation.Personal{}, func(c *conversation.Command, _ *conversation.Parties) {
			c.Labels = &[]string{"billing", "vip"}
		}),
		k.step(conversation.Surveyed, 97*time.Second, conversation.Personal{Comment: "thanks"}, func(c *conversation.Command, _ *conversation.Parties) {
			c.Rating, c.Comment = 5, "thanks"
		}),
		k.step(conversation.Closed, 2*time.Hour, conversation.Personal{}, nil),
	}
}

func TestTransitionsStandOnTimelinesInWords(t *testing.T) {
	t.Parallel()
	k := &talk{t: t}
	type row struct{ Name, Description string }
	var got []row
	for i, rec := range k.all() {
		rows := transform(t, projections.Timeline(), rec, false)
		if len(rows) != 2 || rows[0]["object_type"] != "CONVERSATION" || rows[1]["object_id"] != "c1" || rows[1]["link"] != "related" ||
			rows[1]["kind"] != "transition" || rows[1]["primary_id"] != "k1" {
			t.Fatalf("rows of transition %d: %v", i+1, rows)
		}
		got = append(got, row{rows[1]["name"].(string), rows[1]["description"].(string)})
	}
	want := []row{
		{"Conversation opened", "Team sales"},
		{"Conversation queued", "Waiting, team sales"},
		{"Conversation answered", "By MICHAL, after 1 min 34 s in the queue"},
		{"Conversation labeled", "billing, vip"},
		{"Conversation rated", "5 of 5: thanks"},
		{"Conversation closed", "1 h 58 min after the first response"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("timeline (-want +got):\n%s", diff)
	}
}

func TestATransitionIsAnsweredAsItWasSent(t *testing.T) {
	t.Parallel()
	k := &talk{t: t}
	records := k.all()
	text := func(i int, gone bool) string {
		return transform(t, projections.Transitions(), records[i], gone)[0]["transition"].(string)
	}
	for i, want := range map[int]string{
		0: `{"conversationId":"k1","version":1,"type":"opened","id":"cmd-opened","to":"OPEN","occurredAt":"2026-07-31T12:00:00.005Z",` +
			`"receivedAt":"2026-07-31T12:00:00.005Z","customer":{"objectType":"CUSTOMER","objectId":"c1"},"team":"sales",` +
			`"attributes":{"a": 1.0,"b":"<é>"}}`,
		2: `{"conversationId":"k1","version":3,"type":"responded","id":"cmd-responded","from":"QUEUED","to":"ACTIVE",` +
			`"occurredAt":"2026-07-31T12:01:35.005Z","receivedAt":"2026-07-31T12:01:35.005Z","first":true,` +
			`"agent":{"objectType":"USER","objectId":"MICHAL"},"waitedSeconds":94}`,
	} {
		if got := text(i, false); got != want {
			t.Errorf("transition %d is\n%s, want\n%s", i+1, got, want)
		}
	}
	var rated map[string]any
	if err := json.Unmarshal([]byte(text(4, true)), &rated); err != nil {
		t.Fatal(err)
	}
	if rated["comment"] != nil || rated["rating"] != 5.0 {
		t.Errorf("an erased conversation's survey: %v", rated)
	}
}

func TestTransitionRowsHaveTheStayThatTheyEnd(t *testing.T) {
	t.Parallel()
	k := &talk{t: t}
	records := k.all()
	opened := transform(t, projections.Transitions(), records[0], false)[0]
	answered := transform(t, projections.Transitions(), records[2], false)[0]
	for column, want := range map[string]any{
		"stay_ended": uint8(1), "stay_continues": uint8(0), "stay_number": int32(1), "stay_began": stamp().Add(time.Second),
		"stay_team": "sales", "first": uint8(1), "responded": uint8(1), "first_responded_at": stamp().Add(95 * time.Second),
		"customer_id": "c1", "last_agent_id": "MICHAL", "opened_at": stamp(), "version": int64(3),
	} {
		if diff := cmp.Diff(want, answered[column]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", column, diff)
		}
	}
	if opened["stay_ended"] != uint8(0) || opened["responded"] != uint8(0) || opened["first_responded_at"] != time.UnixMilli(0).UTC() {
		t.Errorf("the first row: %v", opened)
	}
	last := transform(t, projections.Conversations(), records[5], false)[0]
	var state conversation.Conversation
	if err := json.Unmarshal([]byte(last["conversation"].(string)), &state); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(k.state, state); diff != "" || last["state"] != "CLOSED" || last["version"] != int64(6) {
		t.Errorf("%v (-want +got):\n%s", last, diff)
	}
	for _, p := range []projections.Projection{projections.Transitions(), projections.Conversations(), projections.Timeline()} {
		var rows table.Block
		rec := record(topic.Conversations, "ws/CONVERSATION/k1", []byte(`{"v":1}`))
		if err := p.Transform(t.Context(), rec, keys{}, &rows); !errors.Is(err, projections.ErrPoison) || rows.Rows() != 0 {
			t.Errorf("%s: a record that says nothing gave %d rows and %v", p.Table, rows.Rows(), err)
		}
	}
}
