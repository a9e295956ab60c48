package dispatcher

import (
	"context"
	"strconv"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/webhook"
)

// transitionNews is a transition of a conversation. Its record says what the conversation was like after it, so nothing
// else is needed to tell of it, and what is told does not depend on when it is planned.
type transitionNews struct{ *conversation.Transition }

func readTransition(r *stream.Record) (news, error) {
	t, err := conversation.ParseTransition(r.Value)
	if err != nil {
		return nil, err
	}
	return transitionNews{t}, nil
}

func (n transitionNews) about() string { return n.Workspace }

// conversationEvent is the type of event that tells of a transition.
func conversationEvent(t conversation.Type) string { return "conversation." + string(t) }

func (n transitionNews) eventType() string { return conversationEvent(n.Type) }

// wanted leaves out what was received before the endpoint was made, and every response but the first one. Team and channel
// are those of the conversation after the transition. A chat is proactive once one of its assignments was.
func (n transitionNews) wanted(t *target) bool {
	switch {
	case !t.Wants(n.eventType()), n.ReceivedAt.Before(t.CreatedAt.Time),
		!wants(t.Teams, n.After.Team), !wants(t.Channels, n.After.Channel):
		return false
	case n.Type == conversation.Responded:
		return n.First != nil && *n.First
	case n.Type == conversation.Assigned:
		return n.After.Proactive || t.AssignedScope == webhook.ScopeAll
	default:
		return true
	}
}

func (n transitionNews) occurrence(ctx context.Context, d *directory, at event.Time) (*occurrence, error) {
	o := &occurrence{
		workspace: n.Workspace, eventType: n.eventType(), subject: n.Ref(), of: strconv.FormatInt(n.Version, 10), plannedAt: at,
		keyID: n.KeyID,
	}
	var personal conversation.Personal
	var err error
	o.key, err = sealed{n.Workspace, o.subject, n.KeyID, n.Sealed, n.AdditionalData()}.open(ctx, d, &personal)
	if err != nil {
		return nil, err
	}
	o.body, err = transitionBody(n.Transition, &personal)
	return o, err
}

// transitionID names a transition, as on timelines.
func transitionID(conversationID string, version int64) string {
	return conversationID + ":" + strconv.FormatInt(version, 10)
}

// queueChanges says whose queue a transition has left and whose it has joined: of a conversation that went over from one
// team's queue to another's, both.
func queueChanges(to records, n news) ([]*stream.Record, error) {
	t, ok := n.(transitionNews)
	if !ok {
		return nil, nil
	}
	change := webhook.QueueChange{
		Workspace: t.Workspace, ConversationID: t.ConversationID, ConversationVersion: t.Version, Transition: string(t.Type),
		OccurredAt: t.OccurredAt, ReceivedAt: t.ReceivedAt,
	}
	var out []*stream.Record
	add := func(team string, joined bool) error {
		change.Team, change.Joined = team, joined
		r, err := to.queueChange(&change)
		out = append(out, r)
		return err
	}
	if t.Stay != nil {
		if err := add(t.Stay.Team, false); err != nil {
			return nil, err
		}
	}
	if t.To == conversation.StateQueued && (t.From != conversation.StateQueued || t.Stay != nil) {
		if err := add(t.After.Team, true); err != nil {
			return nil, err
		}
	}
	return out, nil
}
