package dispatcher

import (
	"fmt"
	"time"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/sanitize"
	"github.com/throughline/throughline/schema/webhook"
)

// exampleTime is the time of the first example, or of one that many seconds later.
func exampleTime(seconds int) event.Time {
	return event.TimeOf(time.Date(2026, 3, 1, 12, 0, seconds, 0, time.UTC))
}

// examples are bodies of every type, written by what writes those that are sent.
func examples() (map[string][]byte, error) {
	all := map[string][]byte{}
	customer := object.Ref{Type: object.Customer, ID: "c19a7d78"}
	var err error
	if all[webhook.EventLinked], err = linkedBody(&event.Event{
		ID: "0195513a-8f00-7000-8000-000000000000", Type: customer.Type, ObjectID: customer.ID, Name: "Viewed an article",
		Source: "helpcenter", OccurredAt: exampleTime(0), ReceivedAt: exampleTime(0),
		Links: []event.Link{
			{Type: customer.Type, ID: customer.ID, Kind: event.LinkPrimary},
			{Type: object.Account, ID: "a77", Kind: event.LinkRelated, Via: []object.Ref{customer}},
		},
	}, &event.Personal{Description: "How does it work?", Icon: "📖", Payload: `{"company":"Atlas"}`}, "Ann Example", sanitize.New()); err != nil {
		return nil, err
	}
	joined := webhook.QueueChange{
		Team: "sales", ConversationID: "chat-4711", ConversationVersion: 2, Transition: "queued", Joined: true, OccurredAt: exampleTime(20),
	}
	if all[webhook.QueueFormed], err = queueBody(queueNews{&joined, 3, 3}); err != nil {
		return nil, err
	}
	left := webhook.QueueChange{
		Team: "sales", ConversationID: "chat-4711", ConversationVersion: 4, Transition: "assigned", OccurredAt: exampleTime(60),
	}
	if all[webhook.QueueCleared], err = queueBody(queueNews{&left, 2, 3}); err != nil {
		return nil, err
	}
	if all[webhook.EndpointDisabled], err = encodeBody(webhook.EndpointDisabled, exampleTime(0), disabledData{disabledEndpoint{
		ID: "crm", Reason: webhook.ReasonFailing, DisabledAt: exampleTime(0), FailingSince: event.TimeOf(exampleTime(0).Add(-giveUpAfter)),
	}}); err != nil {
		return nil, err
	}
	if all[webhook.DeliveryExhausted], err = encodeBody(webhook.DeliveryExhausted, exampleTime(0), exhaustedData{exhaustedDelivery{
		ID: "msg_000102030405060708090a0b0c0d0e0f", Endpoint: "crm", Type: webhook.EventLinked, Subject: customer,
		Event: "0195513a-8f00-7000-8000-000000000000", Attempts: len(schedule()) + 1, Outcome: webhook.OutcomeServerError,
	}}); err != nil {
		return nil, err
	}
	return all, story(all)
}

// story adds what is told of a conversation that goes through every transition.
func story(all map[string][]byte) error {
	ann := conversation.Party{Type: object.User, ID: "ann"}
	labels := []string{"billing"}
	var state conversation.Conversation
	for i, step := range []struct {
		conversation.Command
		who conversation.Parties
	}{
		{
			conversation.Command{Type: conversation.Opened, Team: "sales", Channel: "web"},
			conversation.Parties{Customer: &conversation.Party{Type: object.Customer, ID: "c19a7d78"}},
		},
		{conversation.Command{Type: conversation.Queued}, conversation.Parties{}},
		{conversation.Command{Type: conversation.Broadcasted}, conversation.Parties{Agents: []conversation.Party{ann, {Type: object.User, ID: "bob"}}}},
		{conversation.Command{Type: conversation.Assigned, Proactive: true}, conversation.Parties{Agent: &ann}},
		{conversation.Command{Type: conversation.Responded}, conversation.Parties{Agent: &ann}},
		{conversation.Command{Type: conversation.Labeled, Labels: &labels}, conversation.Parties{}},
		{conversation.Command{Type: conversation.Transferred, Team: "support"}, conversation.Parties{}},
		{conversation.Command{Type: conversation.Closed, Reason: "solved"}, conversation.Parties{}},
		{conversation.Command{Type: conversation.Surveyed, Rating: 5}, conversation.Parties{}},
	} {
		step.Workspace, step.ConversationID, step.ID = "default", "chat-4711", fmt.Sprintf("step-%d", i+1)
		step.OccurredAt, step.ReceivedAt = exampleTime(20*i), exampleTime(20*i)
		decided := conversation.Decide(&conversation.Snapshot{Conversation: state}, &step.Command, step.who)
		for _, t := range decided.Transitions {
			if err := t.Complete(state); err != nil {
				return err
			}
			state = t.After
			body, err := transitionBody(t, &conversation.Personal{Comment: step.Comment})
			if err != nil {
				return err
			}
			all[conversationEvent(t.Type)] = body
		}
	}
	return nil
}
