package wallboard

import (
	"slices"
	"strings"
	"time"

	"github.com/throughline/throughline/query/calendar"
	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
)

// tally counts what has happened in the whole or in a group.
type tally struct {
	// queue has one for each who came, and minus one for each who left.
	queue series
	// waited and handled have the milliseconds of stays and handlings at their beginning.
	waited, handled series
	// answered and abandoned have one for each, when it happened.
	answered, abandoned series
}

func (y *tally) all() []*series {
	return []*series{&y.queue, &y.waited, &y.handled, &y.answered, &y.abandoned}
}

func (y *tally) forget(before int64) {
	for _, s := range y.all() {
		s.forget(before)
	}
}

func (y *tally) idle() bool {
	// What was counted before the horizon matters to the queue alone, where it still stands in it.
	return y.queue.idle() && !slices.ContainsFunc(y.all()[1:], func(s *series) bool { return len(s.blocks) > 0 })
}

// Figures are what a wallboard shows of the whole or of a group.
type Figures struct {
	QueueSize int `json:"queueSize"`
	// LongestWaitSeconds is how long the one has waited who has waited longest; 0 where nobody waits.
	LongestWaitSeconds int64 `json:"longestWaitSeconds"`
	// States counts the conversations that have not ended.
	States       States `json:"states"`
	Answered30m  int64  `json:"answered30m"`
	Answered60m  int64  `json:"answered60m"`
	Abandoned30m int64  `json:"abandoned30m"`
	Abandoned60m int64  `json:"abandoned60m"`
	// WaitAvgSecondsToday is over the stays that began today and have ended, HandleAvgSecondsToday over the
	// conversations that were first responded to today and have ended; null where there are none.
	WaitAvgSecondsToday   *float64 `json:"waitAvgSecondsToday"`
	HandleAvgSecondsToday *float64 `json:"handleAvgSecondsToday"`
	MaxQueueSizeToday     int64    `json:"maxQueueSizeToday"`
	// AgentsBusy is the number of agents to whom a conversation is assigned.
	AgentsBusy int `json:"agentsBusy"`
}

// States counts conversations by state.
type States struct {
	Open     int `json:"OPEN"`
	Queued   int `json:"QUEUED"`
	Assigned int `json:"ASSIGNED"`
	Active   int `json:"ACTIVE"`
}

// Group is one of a view's groups.
type Group struct {
	// Group is null for conversations that have no team or channel.
	Group *string `json:"group"`
	Figures
}

// View is a board at a moment.
type View struct {
	Figures

	GroupBy *GroupBy `json:"groupBy"`
	// Groups is in the order of names, and empty where no grouping was asked for.
	Groups []Group `json:"groups"`
	// GroupsTruncated says that there were more groups than a board tells apart.
	GroupsTruncated bool `json:"groupsTruncated"`
	// LastUpdate is when the last transition was received; null where there was none.
	LastUpdate *event.Time `json:"lastUpdate"`
	// AsOf is the moment. It is left to the caller to say, because a board that is the same a second later differs in it
	// alone.
	AsOf time.Time `json:"-"`
}

// now gathers what conversations that have not ended add to a group's figures.
type now struct {
	states  States
	longest int64
	agents  map[string]struct{}
}

func (n *now) count(t *talk, since, at int64) {
	switch t.state {
	case conversation.StateOpen:
		n.states.Open++
	case conversation.StateQueued:
		n.states.Queued++
		n.longest = max(n.longest, at-since)
	case conversation.StateAssigned:
		n.states.Assigned++
	case conversation.StateActive:
		n.states.Active++
	default:
	}
	if agent, ok := t.busy(); ok {
		if n.agents == nil {
			n.agents = map[string]struct{}{}
		}
		n.agents[agent] = struct{}{}
	}
}

// View is the board at a moment, whose day is that of a time zone.
func (b *Board) View(at time.Time, zone *time.Location, by GroupBy) *View {
	ms := at.UnixMilli()
	var whole now
	groups := map[string]*now{}
	of := func(name string) *now {
		n := groups[name]
		if n == nil {
			n = &now{}
			groups[name] = n
		}
		return n
	}
	for _, t := range b.live {
		var began, from int64
		if t.stay != nil {
			began, from = t.stay.began, t.stay.from
		}
		whole.count(t, began, ms)
		switch by {
		case ByTeam:
			of(t.team).count(t, from, ms)
		case ByChannel:
			of(t.channel).count(t, began, ms)
		case ByAccount:
			for _, a := range t.accounts {
				of(a).count(t, began, ms)
			}
		default:
		}
	}
	today := calendar.StartOfDay(at, zone).UnixMilli()
	v := &View{Figures: figures(&b.all, &whole, ms, today), Groups: []Group{}, GroupsTruncated: b.truncated[by], AsOf: at}
	if !b.last.IsZero() {
		last := event.TimeOf(b.last)
		v.LastUpdate = &last
	}
	if by == None {
		return v
	}
	v.GroupBy = &by
	for name, y := range b.groups[by] {
		g := Group{Figures: figures(y, of(name), ms, today)}
		if name != "" {
			g.Group = &name
		}
		if g.Figures != (Figures{}) {
			v.Groups = append(v.Groups, g)
		}
	}
	slices.SortFunc(v.Groups, func(a, b Group) int { return strings.Compare(a.name(), b.name()) })
	return v
}

func (g *Group) name() string {
	if g.Group == nil {
		return ""
	}
	return *g.Group
}

func figures(y *tally, n *now, at, today int64) Figures {
	const minute = int64(time.Minute / time.Millisecond)
	// What is said to happen later than now is not shown before.
	end := at + 1
	f := Figures{
		QueueSize: n.states.Queued, LongestWaitSeconds: n.longest / 1000, States: n.states, AgentsBusy: len(n.agents),
		MaxQueueSizeToday: y.queue.peak(today, end),
	}
	f.Answered30m, _ = y.answered.total(at-30*minute, end)
	f.Answered60m, _ = y.answered.total(at-60*minute, end)
	f.Abandoned30m, _ = y.abandoned.total(at-30*minute, end)
	f.Abandoned60m, _ = y.abandoned.total(at-60*minute, end)
	f.WaitAvgSecondsToday = average(y.waited.total(today, end))
	f.HandleAvgSecondsToday = average(y.handled.total(today, end))
	return f
}

func average(n, millis int64) *float64 {
	if n == 0 {
		return nil
	}
	seconds := float64(millis) / float64(n) / 1000
	return &seconds
}
