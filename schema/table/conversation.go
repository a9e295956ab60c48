package table

import "time"

// TransitionRow is one row of conversation_transitions.
type TransitionRow struct {
	Workspace      string
	OccurredAt     time.Time
	ConversationID string
	Version        int64
	Type, From, To string
	// First says that it is the conversation's first response.
	First bool
	// AgentType and AgentID name whom the transition names.
	AgentType, AgentID string
	Rating             int32

	// StayEnded says that it has ended a stay in the queue; StayContinues that only a team's part of it has. StayNumber
	// counts the conversation's stays, from 1.
	StayEnded, StayContinues bool
	StayNumber               int32
	StayFrom, StayBegan      time.Time
	StayTeam, StayChannel    string

	// What the conversation was like after it.
	CustomerID, Team, Channel  string
	LastAgentType, LastAgentID string
	OpenedAt                   time.Time
	Responded                  bool
	FirstRespondedAt           time.Time

	// Transition is the JSON of the transition as the API answers it.
	Transition           string
	ReceivedAt, StoredAt time.Time
	Source               Source
}

// ConversationRow is one row of conversations.
type ConversationRow struct {
	Workspace, ConversationID string
	Version                   int64
	State                     string
	CustomerID, AgentID       string
	Team, Channel             string
	// QueuedAt is when the last stay in the queue began, where there was one.
	OpenedAt, QueuedAt, LastTransitionAt time.Time
	Stays                                int32
	// Conversation is the JSON of a conversation.Conversation.
	Conversation string
	From         Source
}

func (r *TransitionRow) write(b *Block) {
	b.word("workspace", r.Workspace)
	b.time("occurred_at", r.OccurredAt)
	b.text("conversation_id", r.ConversationID)
	b.int64("version", r.Version)
	b.word("type", r.Type)
	b.word("from_state", r.From)
	b.word("to_state", r.To)
	b.flag("first", r.First)
	b.word("agent_type", r.AgentType)
	b.text("agent_id", r.AgentID)
	b.int32("rating", r.Rating)
	b.flag("stay_ended", r.StayEnded)
	b.flag("stay_continues", r.StayContinues)
	b.int32("stay_number", r.StayNumber)
	b.optional("stay_from", r.StayFrom)
	b.optional("stay_began", r.StayBegan)
	b.word("stay_team", r.StayTeam)
	b.word("stay_channel", r.StayChannel)
	b.text("customer_id", r.CustomerID)
	b.word("team", r.Team)
	b.word("channel", r.Channel)
	b.word("last_agent_type", r.LastAgentType)
	b.text("last_agent_id", r.LastAgentID)
	b.optional("opened_at", r.OpenedAt)
	b.flag("responded", r.Responded)
	b.optional("first_responded_at", r.FirstRespondedAt)
	b.text("transition", r.Transition)
	b.time("received_at", r.ReceivedAt)
	b.time("stored_at", r.StoredAt)
	b.source(r.Source)
}

func (r *ConversationRow) write(b *Block) {
	b.word("workspace", r.Workspace)
	b.text("conversation_id", r.ConversationID)
	b.int64("version", r.Version)
	b.word("state", r.State)
	b.text("customer_id", r.CustomerID)
	b.text("agent_id", r.AgentID)
	b.word("team", r.Team)
	b.word("channel", r.Channel)
	b.optional("opened_at", r.OpenedAt)
	b.optional("queued_at", r.QueuedAt)
	b.time("last_transition_at", r.LastTransitionAt)
	b.int32("stays", r.Stays)
	b.text("conversation", r.Conversation)
	b.source(r.From)
}

// optional adds a time, that of 1970 where there is none.
func (b *Block) optional(name string, v time.Time) {
	if v.IsZero() {
		v = time.UnixMilli(0)
	}
	b.time(name, v)
}
