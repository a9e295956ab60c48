// Package wallboard keeps what a support team's screen shows: who waits, who talks, and what the last hour and the day
// were like. A Board folds the transitions of a workspace's conversations, in whatever order of time they come, and
// answers at any moment for the whole and for each team, channel or account. A Feed keeps the boards of all workspaces
// from the log.
//
// A stay in the queue is a time in the state QUEUED. Waits and handlings belong to the day in which they began, the queue's
// size counts whoever had come and not left at an instant, and everything goes by the time at which it happened, not by
// when it was told.
package wallboard

import (
	"slices"
	"time"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/object"
)

const (
	// keep is how far back the figures of a day may be asked for: the longest day has 25 hours, and a client's clock may
	// be a day ahead.
	keep = 50 * time.Hour
	// MaxGroups bounds the teams, channels and accounts that a board tells apart, each. What belongs to a further one
	// counts in the whole alone.
	MaxGroups = 2000
)

// GroupBy says what the groups of a view are.
type GroupBy string

// What a board can be grouped by. None is the whole alone.
const (
	None      GroupBy = ""
	ByTeam    GroupBy = "team"
	ByChannel GroupBy = "channel"
	ByAccount GroupBy = "account"
)

// Groupings lists what a client may ask for.
func Groupings() []GroupBy { return []GroupBy{ByTeam, ByChannel, ByAccount} }

// Board is the wallboard of one workspace. It is not safe for concurrent use.
type Board struct {
	live   map[string]*talk
	all    tally
	groups map[GroupBy]map[string]*tally
	// horizon is what every tally has forgotten before.
	horizon int64
	// truncated are the groupings that have had more than MaxGroups.
	truncated map[GroupBy]bool
	last      time.Time
}

// talk is a conversation that has not ended.
type talk struct {
	version  int64
	state    conversation.State
	agent    conversation.Party
	team     string
	channel  string
	accounts []string
	// stay is nil outside of the queue.
	stay *stay
}

// stay is time in the queue that has been counted as begun.
type stay struct {
	// began is when it began, and from when the team's part of it did.
	began, from int64
	team        string
	channel     string
	accounts    []string
}

// NewBoard returns a board without conversations, on which nothing older than 50 hours before now is told apart.
func NewBoard(now time.Time) *Board {
	b := &Board{live: map[string]*talk{}, groups: map[GroupBy]map[string]*tally{}, truncated: map[GroupBy]bool{}}
	for _, by := range Groupings() {
		b.groups[by] = map[string]*tally{}
	}
	b.Forget(now)
	return b
}

// Restore puts a conversation onto the board as its newest snapshot has it. Snapshots go first, then transitions: those that are in
// a snapshot already change what is counted, but not the conversation.
func (b *Board) Restore(c *conversation.Conversation) {
	if t := b.live[c.ID]; t == nil || c.Version > t.version {
		b.become(c)
	}
}

// Apply folds a transition. Of one conversation they come in the order of their versions, each once.
func (b *Board) Apply(t *conversation.Transition) {
	talk := b.live[t.ConversationID]
	at := t.OccurredAt.UnixMilli()
	if t.Stay != nil {
		b.leave(t, talk, at)
	}
	c := &t.After
	switch {
	case t.Type == conversation.Responded && t.First != nil && *t.First:
		b.each(c.Team, c.Channel, c.Accounts, func(y *tally) { y.answered.add(second(at), 1, 0) })
	case t.Type == conversation.Closed && !c.FirstRespondedAt.IsZero():
		began := c.FirstRespondedAt.UnixMilli()
		b.each(c.Team, c.Channel, c.Accounts, func(y *tally) { y.handled.add(second(began), 1, at-began) })
	}
	if received := t.ReceivedAt.Time; received.After(b.last) {
		b.last = received
	}
	if talk == nil || t.Version > talk.version {
		b.become(c)
	}
}

// leave counts the end of a stay, and its beginning too where that was not seen.
func (b *Board) leave(t *conversation.Transition, of *talk, at int64) {
	s := &stay{
		began: t.Stay.Began.UnixMilli(), from: t.Stay.From.UnixMilli(), team: t.Stay.Team, channel: t.Stay.Channel, accounts: t.After.Accounts,
	}
	// The stay of a conversation that is beyond the transition already, as a snapshot had it, is another or a later part.
	counted := of != nil && of.version < t.Version && of.stay != nil && of.stay.began == s.began
	if counted && of.stay.from == s.from {
		s = of.stay
	} else {
		b.team(s.team, func(y *tally) { y.queue.add(s.from, 1, 0) })
		if counted {
			s.accounts = of.stay.accounts
		}
	}
	b.team(s.team, func(y *tally) {
		y.queue.add(at, -1, 0)
		y.waited.add(second(s.from), 1, at-s.from)
	})
	abandoned := t.Type == conversation.Closed
	if abandoned {
		b.team(s.team, func(y *tally) { y.abandoned.add(second(at), 1, 0) })
	}
	if t.Stay.Continues {
		return
	}
	b.others(s.channel, s.accounts, func(y *tally) {
		if !counted {
			y.queue.add(s.began, 1, 0)
		}
		y.queue.add(at, -1, 0)
		y.waited.add(second(s.began), 1, at-s.began)
		if abandoned {
			y.abandoned.add(second(at), 1, 0)
		}
	})
	if counted {
		of.stay = nil
	}
}

// become makes a conversation what it is after a transition.
func (b *Board) become(c *conversation.Conversation) {
	if c.State == conversation.StateClosed {
		delete(b.live, c.ID)
		return
	}
	t := b.live[c.ID]
	if t == nil {
		t = &talk{}
		b.live[c.ID] = t
	}
	t.version, t.state, t.team, t.channel, t.accounts, t.agent = c.Version, c.State, c.Team, c.Channel, c.Accounts, conversation.Party{}
	if c.Agent != nil {
		t.agent = *c.Agent
	}
	if c.State != conversation.StateQueued {
		t.stay = nil
		return
	}
	began, from := c.QueuedAt.UnixMilli(), c.TeamQueuedAt.UnixMilli()
	if t.stay == nil {
		t.stay = &stay{began: began, channel: c.Channel, accounts: slices.Clone(c.Accounts)}
		b.others(t.stay.channel, t.stay.accounts, func(y *tally) { y.queue.add(began, 1, 0) })
	}
	if t.stay.from != from || t.stay.team != c.Team {
		t.stay.from, t.stay.team = from, c.Team
		b.team(c.Team, func(y *tally) { y.queue.add(from, 1, 0) })
	}
}

// each visits the whole and every group that something belongs to.
func (b *Board) each(team, channel string, accounts []string, fn func(*tally)) {
	b.team(team, fn)
	b.others(channel, accounts, fn)
}

func (b *Board) team(name string, fn func(*tally)) { b.group(ByTeam, name, fn) }

// others visits the whole, a channel and accounts.
func (b *Board) others(channel string, accounts []string, fn func(*tally)) {
	fn(&b.all)
	b.group(ByChannel, channel, fn)
	for _, a := range accounts {
		b.group(ByAccount, a, fn)
	}
}

func (b *Board) group(by GroupBy, name string, fn func(*tally)) {
	groups := b.groups[by]
	y := groups[name]
	if y == nil {
		if len(groups) >= MaxGroups {
			b.truncated[by] = true
			return
		}
		y = &tally{}
		y.forget(b.horizon)
		groups[name] = y
	}
	fn(y)
}

// Forget drops what no figure needs any more. It is called now and then.
func (b *Board) Forget(now time.Time) {
	b.horizon = max(b.horizon, now.Add(-keep).UnixMilli())
	b.all.forget(b.horizon)
	for _, groups := range b.groups {
		for name, y := range groups {
			if y.forget(b.horizon); y.idle() {
				delete(groups, name)
			}
		}
	}
}

// Live is the number of conversations that have not ended.
func (b *Board) Live() int { return len(b.live) }

// busy says whose conversation it is, where that is an agent's.
func (t *talk) busy() (string, bool) {
	atWork := t.state == conversation.StateAssigned || t.state == conversation.StateActive
	return t.agent.ID + "\x00" + t.agent.ExternalToken, atWork && t.agent.Type == object.User
}

// second rounds down. A queue's size needs the instant, the other figures do not, and a point for each second bounds them.
func second(ms int64) int64 { return ms - (ms%1000+1000)%1000 }
