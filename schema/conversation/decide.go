package conversation

import (
	"fmt"
	"slices"

	"github.com/throughline/throughline/schema/event"
)

// Parties are those that a command names, after they were looked up. Each is nil, or empty, where the command names none.
type Parties struct {
	Customer *Party
	// Agent is the USER or the CHATBOT that the command names.
	Agent *Party
	// Agents are those of a broadcast.
	Agents []Party
}

// RefusalKind says which rule refused a command.
type RefusalKind string

// The kinds of refusals.
const (
	// NotAllowed: the state does not allow the transition.
	NotAllowed RefusalKind = "not-allowed"
	// AlreadyClosed is NotAllowed because the conversation has ended: its id is never used again.
	AlreadyClosed RefusalKind = "closed"
	// VersionConflict: the conversation is not at the version that was expected.
	VersionConflict RefusalKind = "version-conflict"
	// TooLarge: with what its links and its state add, the transition exceeds what a record may hold.
	TooLarge RefusalKind = "too-large"
)

// Refusal is why a command did not become a transition.
type Refusal struct {
	Kind   RefusalKind `json:"kind"`
	Detail string      `json:"detail"`
}

// Decision is what a command leads to.
type Decision struct {
	// Transitions is empty, or has the one that was asked for, behind an implied opened where that is needed. They lack
	// what only the log's keeper knows: links, the sealed part, and the state after them (Complete).
	Transitions []*Transition
	// Version and State are what the answer says: those after the last transition. Of a repeat the version is that of the
	// first time.
	Version int64
	State   State
	// Changed says that the conversation has a new version.
	Changed bool
	// Repeated says that the command's id is known: it was answered before.
	Repeated bool
	// Refusal is nil where the command is accepted.
	Refusal *Refusal
}

// Decide answers a command to a conversation: with transitions, with nothing to do, or with a refusal. A repeated command
// id is answered before the expected version is looked at, and that before the state.
func Decide(s *Snapshot, c *Command, who Parties) Decision {
	d := Decision{Version: s.Version, State: s.State}
	if before, ok := s.Recall(c.ID, c.ReceivedAt.Time); ok {
		d.Version, d.Repeated = before.Version, true
		return d
	}
	if c.ExpectedVersion != nil && *c.ExpectedVersion != s.Version {
		d.Refusal = conflict(s.Version, *c.ExpectedVersion)
		return d
	}
	to, answer := next(&s.Conversation, c, who)
	switch answer {
	case refused:
		d.Refusal = refusal(s.State, c.Type)
		return d
	case nothing:
		return d
	default:
	}
	at := c.Occurred()
	if at.Before(s.LastTransitionAt.Time) {
		// Time never goes backwards in a conversation.
		at = s.LastTransitionAt
	}
	from, version := s.State, s.Version
	if from == StateNone && c.Type != Opened {
		version++
		d.Transitions = append(d.Transitions, &Transition{
			Workspace: c.Workspace, ConversationID: c.ConversationID, Version: version, Type: Opened, To: StateOpen,
			OccurredAt: at, ReceivedAt: c.ReceivedAt, Implied: true,
		})
		from = StateOpen
	}
	t := transition(&s.Conversation, c, who, at)
	t.Version, t.From, t.To = version+1, from, to
	d.Transitions = append(d.Transitions, t)
	d.Version, d.State, d.Changed = t.Version, to, true
	return d
}

func conflict(version, expected int64) *Refusal {
	switch {
	case expected == 0:
		return &Refusal{VersionConflict, fmt.Sprintf("The conversation is not new: it is at version %d.", version)}
	case version == 0:
		return &Refusal{VersionConflict, fmt.Sprintf("The conversation is new, and not at version %d.", expected)}
	default:
		return &Refusal{VersionConflict, fmt.Sprintf("The conversation is at version %d, not %d.", version, expected)}
	}
}

func refusal(s State, t Type) *Refusal {
	if s == StateClosed {
		return &Refusal{AlreadyClosed, fmt.Sprintf("The conversation is CLOSED, which does not allow %s; its id is never used again.", t)}
	}
	return &Refusal{NotAllowed, fmt.Sprintf("The conversation is %s, which does not allow %s.", s, t)}
}

// verdict is what the table says of a state and a command.
type verdict int

const (
	refused verdict = iota
	// nothing: allowed, and without effect.
	nothing
	moves
)

// next is the table: the state that a command leads to.
func next(s *Conversation, c *Command, who Parties) (State, verdict) {
	state := s.State
	if state == StateNone && c.Type != Opened {
		// An implied opened comes first.
		state = StateOpen
	}
	switch c.Type {
	case Opened:
		return open(s, c, who)
	case Queued:
		return queue(state)
	case Broadcasted:
		if state == StateOpen || state == StateQueued {
			return state, moves
		}
	case Assigned:
		return assign(state, s.Agent, who.Agent)
	case Responded:
		return respond(state)
	case Transferred:
		return transfer(state, s, c, who)
	case Labeled:
		if s.State != StateNone && slices.Equal(s.Labels, distinct(*c.Labels)) {
			return state, nothing
		}
		return state, moves
	case Surveyed:
		// Comments are sealed and cannot be compared; one that comes again is another one.
		if c.Comment == "" && c.Rating == s.Rating {
			return state, nothing
		}
		return state, moves
	case Closed:
		if state == StateClosed {
			return state, nothing
		}
		return StateClosed, moves
	default:
	}
	return state, refused
}

// open allows opened once. Said again of a conversation that is still OPEN it changes nothing, unless it says otherwise.
func open(s *Conversation, c *Command, who Parties) (State, verdict) {
	switch {
	case s.State == StateNone:
		return StateOpen, moves
	case s.State != StateOpen:
		return s.State, refused
	// Attributes are sealed and cannot be compared: a repeat is by far the likelier case.
	case who.Customer != nil && !who.Customer.Same(s.Customer),
		c.Team != "" && c.Team != s.Team, c.Channel != "" && c.Channel != s.Channel:
		return s.State, refused
	default:
		return s.State, nothing
	}
}

func queue(state State) (State, verdict) {
	switch state {
	case StateOpen, StateAssigned, StateActive:
		return StateQueued, moves
	case StateQueued:
		return state, nothing
	default:
		return state, refused
	}
}

func assign(state State, has, gets *Party) (State, verdict) {
	switch state {
	case StateOpen, StateQueued:
		return StateAssigned, moves
	case StateAssigned, StateActive:
		if gets.Same(has) {
			return state, nothing
		}
		return state, moves
	default:
		return state, refused
	}
}

func respond(state State) (State, verdict) {
	switch state {
	case StateOpen, StateQueued, StateAssigned:
		return StateActive, moves
	case StateActive:
		return state, nothing
	default:
		return state, refused
	}
}

func transfer(state State, s *Conversation, c *Command, who Parties) (State, verdict) {
	switch {
	case state == StateClosed:
		return state, refused
	case who.Agent != nil && state == StateAssigned && who.Agent.Same(s.Agent):
		return state, nothing
	case who.Agent != nil:
		return StateAssigned, moves
	case state == StateQueued && (c.Team == "" || c.Team == s.Team):
		return state, nothing
	default:
		return StateQueued, moves
	}
}

// transition is what a command says, as a transition.
func transition(s *Conversation, c *Command, who Parties, at event.Time) *Transition {
	t := &Transition{
		Workspace: c.Workspace, ConversationID: c.ConversationID, CommandID: c.ID, Type: c.Type, OccurredAt: at, ReceivedAt: c.ReceivedAt,
		Customer: who.Customer, Agent: who.Agent, Agents: who.Agents, Team: c.Team, Channel: c.Channel,
		Proactive: c.Proactive, ToQueue: c.ToQueue, Rating: c.Rating, Reason: c.Reason,
	}
	if c.Labels != nil {
		t.Labels = distinct(*c.Labels)
	}
	if c.Type == Responded {
		first := s.FirstRespondedAt.IsZero()
		t.First = &first
	}
	return t
}

// distinct leaves out what a list has said before; an empty list is nil.
func distinct(list []string) []string {
	var out []string
	for _, l := range list {
		if !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	return out
}
