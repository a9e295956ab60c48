package conversation

import (
	"fmt"
	"slices"

	"github.com/throughline/throughline/schema/object"
)

// maxAccounts bounds the accounts that a conversation is counted under.
const maxAccounts = 50

// GapError says that a transition is not the next one of a conversation: some are missing before it.
type GapError struct {
	Conversation string
	Have, Got    int64
}

// Error names the versions.
func (e *GapError) Error() string {
	return fmt.Sprintf("conversation %s is at version %d and cannot take version %d", e.Conversation, e.Have, e.Got)
}

// Apply folds a transition into the state before it and returns the state after it. One that is in the state already
// changes nothing, so that a log may be read twice. Errors: *GapError.
func (c Conversation) Apply(t *Transition) (Conversation, error) {
	switch {
	case t.Version <= c.Version:
		return c, nil
	case t.Version > c.Version+1:
		return c, &GapError{t.ConversationID, c.Version, t.Version}
	}
	wasQueued := c.State == StateQueued
	if wasQueued && t.To != StateQueued {
		c.WaitedMillis += t.OccurredAt.Sub(c.QueuedAt.Time).Milliseconds()
	}
	if !wasQueued && t.To == StateQueued {
		c.QueuedAt, c.TeamQueuedAt = t.OccurredAt, t.OccurredAt
		c.Stays++
	}
	if wasQueued && t.Team != "" && t.Team != c.Team {
		c.TeamQueuedAt = t.OccurredAt
	}
	c.Workspace, c.ID, c.Version, c.State, c.LastTransitionAt = t.Workspace, t.ConversationID, t.Version, t.To, t.OccurredAt
	if t.Team != "" {
		c.Team = t.Team
	}
	if t.Channel != "" {
		c.Channel = t.Channel
	}
	if t.KeyID != "" {
		c.KeyID = t.KeyID
	}
	c.Accounts = accounts(t)
	c.applyType(t)
	return c, nil
}

// applyType folds what is of one kind of transitions.
func (c *Conversation) applyType(t *Transition) {
	switch t.Type {
	case Opened:
		c.OpenedAt, c.Customer = t.OccurredAt, t.Customer
	case Queued:
		c.Agent = nil
	case Assigned:
		c.Agent, c.Proactive = t.Agent, c.Proactive || t.Proactive
	case Responded:
		c.Agent = t.Agent
		if c.FirstRespondedAt.IsZero() {
			c.FirstRespondedAt = t.OccurredAt
		}
	case Transferred:
		c.Agent = t.Agent
	case Labeled:
		c.Labels = t.Labels
	case Surveyed:
		if t.Rating != 0 {
			c.Rating = t.Rating
		}
	case Closed:
		c.ClosedAt, c.Reason = t.OccurredAt, t.Reason
	case Broadcasted:
	default:
	}
}

func accounts(t *Transition) []string {
	var ids []string
	for _, l := range t.Links {
		if l.Type == object.Account && len(ids) < maxAccounts && !slices.Contains(ids, l.ID) {
			ids = append(ids, l.ID)
		}
	}
	return ids
}

// Complete fills in the state after a transition, given the one before it, and what is derived of both. Links and KeyID
// must be there already. Errors: as Apply.
func (t *Transition) Complete(before Conversation) error {
	after, err := before.Apply(t)
	if err != nil {
		return err
	}
	t.Stay = nil
	if before.State == StateQueued && (t.To != StateQueued || after.Team != before.Team) {
		t.Stay = &Stay{
			From: before.TeamQueuedAt, Began: before.QueuedAt, Team: before.Team, Channel: before.Channel, Continues: t.To == StateQueued,
		}
	}
	t.After = after
	return nil
}
