package projections

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/words"
)

// Transitions gives one row for each transition of a conversation.
func Transitions() Projection {
	return Projection{
		Table:     table.Transitions,
		Topics:    []topic.Name{topic.Conversations},
		Version:   1,
		Transform: transitionRows,
	}
}

// Conversations gives the latest state of every conversation: one row for each transition, where the greatest offset wins.
func Conversations() Projection {
	return Projection{
		Table:     table.Conversations,
		Topics:    []topic.Name{topic.Conversations},
		Version:   1,
		Replacing: true,
		Key:       []string{"workspace", "conversation_id"},
		Transform: conversationRows,
	}
}

func transitionRows(ctx context.Context, rec Record, open Opener, to *table.Block) error {
	t, p, err := openTransition(ctx, rec, open)
	if err != nil {
		return err
	}
	c := &t.After
	row := table.TransitionRow{
		Workspace: t.Workspace, OccurredAt: within(t.OccurredAt.Time), ConversationID: t.ConversationID, Version: t.Version,
		Type: string(t.Type), From: string(t.From), To: string(t.To), First: t.First != nil && *t.First, Rating: int32(t.Rating),
		StayNumber: int32(c.Stays), Team: c.Team, Channel: c.Channel,
		OpenedAt: c.OpenedAt.Time, Responded: !c.FirstRespondedAt.IsZero(), FirstRespondedAt: c.FirstRespondedAt.Time,
		ReceivedAt: within(t.ReceivedAt.Time), StoredAt: rec.StoredAt(), Source: rec.source(0),
	}
	row.AgentType, row.AgentID = party(t.Agent)
	row.LastAgentType, row.LastAgentID = party(c.Agent)
	_, row.CustomerID = party(c.Customer)
	if s := t.Stay; s != nil {
		row.StayEnded, row.StayContinues = true, s.Continues
		row.StayFrom, row.StayBegan, row.StayTeam, row.StayChannel = s.From.Time, s.Began.Time, s.Team, s.Channel
	}
	text, err := t.Answer(p)
	if err != nil {
		return poison(err)
	}
	row.Transition = string(text)
	to.Add(&row)
	return nil
}

func conversationRows(_ context.Context, rec Record, _ Opener, to *table.Block) error {
	t, err := conversation.ParseTransition(rec.Value)
	if err != nil {
		return poison(err)
	}
	c := &t.After
	state, err := json.Marshal(c)
	if err != nil {
		return poison(err)
	}
	row := table.ConversationRow{
		Workspace: c.Workspace, ConversationID: c.ID, Version: c.Version, State: string(c.State), Team: c.Team, Channel: c.Channel,
		OpenedAt: c.OpenedAt.Time, QueuedAt: c.QueuedAt.Time, LastTransitionAt: within(c.LastTransitionAt.Time),
		Stays: int32(c.Stays), Conversation: string(state), From: rec.source(0),
	}
	_, row.CustomerID = party(c.Customer)
	_, row.AgentID = party(c.Agent)
	to.Add(&row)
	return nil
}

// transitionTimeline gives one row for each object that a transition is linked to.
func transitionTimeline(ctx context.Context, rec Record, open Opener, to *table.Block) error {
	t, p, err := openTransition(ctx, rec, open)
	if err != nil {
		return err
	}
	text, err := t.Answer(p)
	if err != nil {
		return poison(err)
	}
	name, description := transitionWords(t, p)
	row := table.TimelineRow{
		Workspace: t.Workspace, OccurredAt: within(t.OccurredAt.Time), EventID: t.ID(),
		PrimaryType: string(object.Conversation), PrimaryID: t.ConversationID, Kind: "transition",
		Name: name, Description: description, Words: words.Column(name, description), Transition: string(text),
		ReceivedAt: within(t.ReceivedAt.Time), StoredAt: rec.StoredAt(),
	}
	for i, link := range t.Links {
		row.ObjectType, row.ObjectID, row.Link = string(link.Type), link.ID, string(link.Kind)
		row.Via = refs(link.Via)
		row.From = rec.source(i)
		to.Add(&row)
	}
	return nil
}

// openTransition reads a record of the topic conversations.
func openTransition(ctx context.Context, rec Record, open Opener) (*conversation.Transition, *conversation.Personal, error) {
	t, err := conversation.ParseTransition(rec.Value)
	if err != nil {
		return nil, nil, poison(err)
	}
	p, err := opened(ctx, open, Sealed{
		Workspace: t.Workspace, Subject: t.Ref(), KeyID: t.KeyID, Bytes: t.Sealed, Additional: t.AdditionalData(),
	}, parseTransitionPersonal)
	if err != nil {
		return nil, nil, err
	}
	if p == nil {
		p = &conversation.Personal{}
	}
	return t, p, nil
}

// parseTransitionPersonal reads the sealed part of a transition, once it is opened.
func parseTransitionPersonal(plain []byte) (*conversation.Personal, error) {
	var p conversation.Personal
	if err := json.Unmarshal(plain, &p); err != nil {
		return nil, fmt.Errorf("parse sealed part of transition: %w", err)
	}
	return &p, nil
}

// party is nothing where there is none, and has no id where it named nobody that is known.
func party(p *conversation.Party) (typ, id string) {
	if p == nil {
		return "", ""
	}
	return string(p.Type), p.ID
}
