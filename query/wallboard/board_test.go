package wallboard

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/query/calendar"
	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// history is what a random day was like: the transitions of each conversation, in the order of their versions.
type history [][]*conversation.Transition

// randomHistory takes conversations through random transitions, decided by the rules of the product.
func randomHistory(t *testing.T, r *rand.Rand, from time.Time, conversations int) history {
	t.Helper()
	var all history
	for i := range conversations {
		id := "k" + strconv.Itoa(i)
		s := &conversation.Snapshot{}
		at := from.Add(time.Duration(r.Int64N(int64(40*time.Hour))) / 1000 * 1000)
		var ts []*conversation.Transition
		for range 1 + r.IntN(9) {
			at = at.Add(time.Duration(r.IntN(3)) * time.Duration(r.IntN(5000)) * time.Second / 4)
			c, who := randomCommand(r, id, at)
			d := conversation.Decide(s, c, who)
			for _, tr := range d.Transitions {
				tr.Links = []event.Link{{Type: object.Conversation, ID: id, Kind: event.LinkPrimary}}
				if i%3 == 0 {
					tr.Links = append(tr.Links, event.Link{Type: object.Account, ID: "a" + strconv.Itoa(i%2), Kind: event.LinkRelated})
				}
				if err := tr.Complete(s.Conversation); err != nil {
					t.Fatal(err)
				}
				s.Conversation = tr.After
				ts = append(ts, tr)
			}
		}
		all = append(all, ts)
	}
	return all
}

func randomCommand(r *rand.Rand, id string, at time.Time) (*conversation.Command, conversation.Parties) {
	types := append(conversation.Types(), conversation.Queued, conversation.Queued, conversation.Transferred, conversation.Closed)
	c := &conversation.Command{
		Workspace: "acme", ConversationID: id, ID: strconv.FormatUint(r.Uint64(), 36), Type: types[r.IntN(len(types))],
		OccurredAt: event.TimeOf(at), ReceivedAt: event.TimeOf(at.Add(time.Second)),
	}
	agent := &conversation.Party{Type: object.User, ID: "u" + strconv.Itoa(r.IntN(4))}
	var who conversation.Parties
	switch c.Type {
	case conversation.Opened, conversation.Queued:
		c.Team, c.Channel = []string{"", "sales", "help"}[r.IntN(3)], []string{"", "web"}[r.IntN(2)]
	case conversation.Assigned, conversation.Responded:
		who.Agent = agent
	case conversation.Transferred:
		if r.IntN(2) == 0 {
			who.Agent = agent
		} else {
			c.Team = []string{"sales", "help"}[r.IntN(2)]
		}
	case conversation.Labeled:
		c.Labels = &[]string{"l" + strconv.Itoa(r.IntN(2))}
	case conversation.Surveyed:
		c.Rating = 1 + r.IntN(5)
	default:
	}
	return c, who
}

// span is time of a conversation, as the slow reference sees it.
type span struct {
	from, to time.Time // to is zero while it lasts
	closed   bool
}

// reference computes the figures of a group from the transitions themselves, with loops over everything.
type reference struct {
	at, today time.Time
	stays     []span
	handled   []span
	answered  []time.Time
	live      []*conversation.Conversation
	since     []time.Time
}

// look collects what belongs to a group of the grouping.
func look(h history, at, today time.Time, by GroupBy, name string) *reference {
	ref := &reference{at: at, today: today}
	in := func(c *conversation.Conversation) bool {
		switch by {
		case ByTeam:
			return c.Team == name
		case ByChannel:
			return c.Channel == name
		case ByAccount:
			return slices.Contains(c.Accounts, name)
		default:
			return true
		}
	}
	for _, ts := range h {
		var before conversation.Conversation
		var stay *span
		end := func(t *conversation.Transition) {
			if stay != nil {
				stay.to, stay.closed = t.OccurredAt.Time, t.Type == conversation.Closed
				ref.stays = append(ref.stays, *stay)
				stay = nil
			}
		}
		for _, t := range ts {
			after := t.After
			queued := after.State == conversation.StateQueued && in(&after)
			if stay != nil && (!queued || by == ByTeam && before.Team != after.Team) {
				end(t)
			}
			if queued && stay == nil {
				stay = &span{from: t.OccurredAt.Time}
			}
			if t.First != nil && *t.First && in(&after) {
				ref.answered = append(ref.answered, t.OccurredAt.Time)
			}
			if t.Type == conversation.Closed && !after.FirstRespondedAt.IsZero() && in(&after) {
				ref.handled = append(ref.handled, span{from: after.FirstRespondedAt.Time, to: t.OccurredAt.Time})
			}
			before = after
		}
		if before.Version > 0 && before.State != conversation.StateClosed && in(&before) {
			ref.live = append(ref.live, &before)
			if stay != nil {
				ref.since = append(ref.since, stay.from)
			}
		}
		if stay != nil {
			ref.stays = append(ref.stays, *stay)
		}
	}
	return ref
}

func (ref *reference) figures() Figures {
	var f Figures
	agents := map[conversation.Party]bool{}
	for _, c := range ref.live {
		switch c.State {
		case conversation.StateOpen:
			f.States.Open++
		case conversation.StateQueued:
			f.States.Queued++
		case conversation.StateAssigned:
			f.States.Assigned++
			agents[*c.Agent] = true
		case conversation.StateActive:
			f.States.Active++
			agents[*c.Agent] = true
		default:
		}
	}
	f.QueueSize, f.AgentsBusy = f.States.Queued, len(agents)
	for _, since := range ref.since {
		f.LongestWaitSeconds = max(f.LongestWaitSeconds, int64(ref.at.Sub(since)/time.Second))
	}
	for _, t := range ref.answered {
		f.Answered30m += ref.within(t, 30)
		f.Answered60m += ref.within(t, 60)
	}
	for _, s := range ref.stays {
		if s.closed {
			f.Abandoned30m += ref.within(s.to, 30)
			f.Abandoned60m += ref.within(s.to, 60)
		}
		f.MaxQueueSizeToday = max(f.MaxQueueSizeToday, ref.size(s.from), ref.size(ref.today))
	}
	f.WaitAvgSecondsToday, f.HandleAvgSecondsToday = ref.mean(ref.stays), ref.mean(ref.handled)
	return f
}

func (ref *reference) within(t time.Time, minutes int) int64 {
	if t.After(ref.at) || t.Before(ref.at.Add(-time.Duration(minutes)*time.Minute)) {
		return 0
	}
	return 1
}

// size is the queue's at an instant of today, or 0 at any other.
func (ref *reference) size(at time.Time) int64 {
	if at.Before(ref.today) || at.After(ref.at) {
		return 0
	}
	var n int64
	for _, s := range ref.stays {
		if !s.from.After(at) && (s.to.IsZero() || s.to.After(at)) {
			n++
		}
	}
	return n
}

func (ref *reference) mean(spans []span) *float64 {
	var n, millis int64
	for _, s := range spans {
		if !s.to.IsZero() && !s.from.Before(ref.today) && !s.from.After(ref.at) {
			n++
			millis += s.to.Sub(s.from).Milliseconds()
		}
	}
	return average(n, millis)
}

// shuffled deals the transitions out in a random order that keeps each conversation's own.
func shuffled(r *rand.Rand, h history) []*conversation.Transition {
	next := make([]int, len(h))
	var turns []int
	for i, ts := range h {
		for range ts {
			turns = append(turns, i)
		}
	}
	r.Shuffle(len(turns), func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
	out := make([]*conversation.Transition, 0, len(turns))
	for _, i := range turns {
		out = append(out, h[i][next[i]])
		next[i]++
	}
	return out
}

// TestBoardSaysWhatASlowReferenceSays also restores conversations from snapshots of any moment, as a start does, of which
// some are older and some newer than the transitions that follow.
func TestBoardSaysWhatASlowReferenceSays(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 28, 4, 0, 0, 0, time.UTC) // Berlin's clocks change in the night to the 29th
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 2))
		h := randomHistory(t, r, start, 60)
		b := NewBoard(start)
		for _, ts := range h {
			if len(ts) > 0 && r.IntN(2) == 0 {
				b.Restore(&ts[r.IntN(len(ts))].After)
			}
		}
		for _, tr := range shuffled(r, h) {
			b.Apply(tr)
		}
		at := start.Add(40 * time.Hour).Add(time.Duration(r.IntN(7200)) * time.Second)
		b.Forget(at)
		today := calendar.StartOfDay(at, berlin)
		for _, by := range append(Groupings(), None) {
			v := b.View(at, berlin, by)
			if diff := cmp.Diff(look(h, at, today, None, "").figures(), v.Figures); diff != "" {
				t.Fatalf("seed %d: the whole (-want +got):\n%s", seed, diff)
			}
			for _, g := range v.Groups {
				if diff := cmp.Diff(look(h, at, today, by, g.name()).figures(), g.Figures); diff != "" {
					t.Fatalf("seed %d: %s %q (-want +got):\n%s", seed, by, g.name(), diff)
				}
			}
		}
	}
}

func TestABoardOfADayForgetsAndBoundsItsGroups(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	b := NewBoard(at)
	for i := range MaxGroups + 10 {
		s := &conversation.Snapshot{}
		for n, typ := range []conversation.Type{conversation.Opened, conversation.Queued, conversation.Closed} {
			c := &conversation.Command{
				Workspace: "acme", ConversationID: strconv.Itoa(i), ID: strconv.Itoa(n), Type: typ,
				OccurredAt: event.TimeOf(at.Add(time.Duration(n) * time.Second)), ReceivedAt: event.TimeOf(at),
			}
			if typ == conversation.Opened {
				c.Team = "team " + strconv.Itoa(i)
			}
			tr := conversation.Decide(s, c, conversation.Parties{}).Transitions[0]
			if err := tr.Complete(s.Conversation); err != nil {
				t.Fatal(err)
			}
			s.Conversation = tr.After
			b.Apply(tr)
		}
	}
	v := b.View(at.Add(time.Minute), time.UTC, ByTeam)
	if len(v.Groups) != MaxGroups || !v.GroupsTruncated || v.Abandoned30m != MaxGroups+10 {
		t.Errorf("%d groups, truncated %t, %d abandoned", len(v.Groups), v.GroupsTruncated, v.Abandoned30m)
	}
	b.Forget(at.Add(4 * 24 * time.Hour))
	if n := len(b.groups[ByTeam]); n != 0 || b.Live() != 0 {
		t.Errorf("%d groups and %d conversations are left after four days", n, b.Live())
	}
}
