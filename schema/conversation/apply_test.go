package conversation_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// at is a command of a type at a minute of the hour.
func at(minute int, t conversation.Type, change ...func(*conversation.Command)) *conversation.Command {
	c := command(t)
	c.ID = fmt.Sprintf("%s@%d", t, minute)
	c.OccurredAt = event.TimeOf(noon().Add(time.Duration(minute) * time.Minute))
	for _, f := range change {
		f(c)
	}
	return c
}

func team(name string) func(*conversation.Command) {
	return func(c *conversation.Command) { c.Team, c.ToQueue = name, false }
}

func TestAConversationFromItsBeginningToItsEnd(t *testing.T) {
	t.Parallel()
	s := &conversation.Snapshot{}
	var all []*conversation.Transition
	for _, c := range []*conversation.Command{
		at(0, conversation.Opened, func(c *conversation.Command) { c.Customer, c.Channel = &conversation.Reference{ID: "c1"}, "web" }),
		at(1, conversation.Queued, team("sales")),
		at(4, conversation.Transferred, team("support")),
		at(6, conversation.Assigned, func(c *conversation.Command) { c.Proactive = true }),
		at(7, conversation.Responded),
		at(10, conversation.Transferred),
		at(12, conversation.Responded, func(c *conversation.Command) { c.Agent, c.Bot = nil, &conversation.Reference{ID: "b1"} }),
		at(11, conversation.Labeled, func(c *conversation.Command) { c.Labels = &[]string{"vip", "refund", "vip"} }),
		at(20, conversation.Closed, func(c *conversation.Command) { c.Reason = "solved" }),
		at(21, conversation.Surveyed),
	} {
		var d conversation.Decision
		if s, d = take(t, s, c); !d.Changed {
			t.Fatalf("%s: %+v", c.ID, d)
		}
		all = append(all, d.Transitions...)
	}
	minute := func(n int) event.Time { return event.TimeOf(noon().Add(time.Duration(n) * time.Minute)) }
	want := conversation.Conversation{
		Workspace: "acme", ID: "k1", Version: 10, State: conversation.StateClosed,
		Customer: &conversation.Party{Type: object.Customer, ID: "c1"}, Agent: &conversation.Party{Type: object.Chatbot, ID: "b1"},
		Team: "support", Channel: "web", Proactive: true, Labels: []string{"vip", "refund"}, Rating: 4, Reason: "solved",
		OpenedAt: minute(0), QueuedAt: minute(10), TeamQueuedAt: minute(10), FirstRespondedAt: minute(7), ClosedAt: minute(20),
		LastTransitionAt: minute(21), Stays: 2, WaitedMillis: (7 * time.Minute).Milliseconds(),
	}
	if diff := cmp.Diff(want, s.Conversation); diff != "" {
		t.Errorf("conversation (-want +got):\n%s", diff)
	}
	if got := s.Waiting(noon().Add(time.Hour)); got != 7*time.Minute {
		t.Errorf("waiting: got %s, want 7 min", got)
	}
	if got := s.Handling(noon().Add(time.Hour)); got != 13*time.Minute {
		t.Errorf("handling: got %s, want 13 min", got)
	}
	// What was said to have happened a minute before its predecessor is recorded at the predecessor's time.
	if got := all[7].OccurredAt; !got.Equal(minute(12).Time) {
		t.Errorf("a transition that came late is at %s, want %s", got, minute(12))
	}
	stays := map[int64]*conversation.Stay{}
	firsts := map[int64]bool{}
	for _, tr := range all {
		if tr.Stay != nil {
			stays[tr.Version] = tr.Stay
		}
		if tr.First != nil {
			firsts[tr.Version] = *tr.First
		}
	}
	if diff := cmp.Diff(map[int64]*conversation.Stay{
		3: {From: minute(1), Began: minute(1), Team: "sales", Channel: "web", Continues: true},
		4: {From: minute(4), Began: minute(1), Team: "support", Channel: "web"},
		7: {From: minute(10), Began: minute(10), Team: "support", Channel: "web"},
	}, stays); diff != "" {
		t.Errorf("stays (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[int64]bool{5: true, 7: false}, firsts); diff != "" {
		t.Errorf("first responses (-want +got):\n%s", diff)
	}
}

func TestWaitingGoesOnInTheQueue(t *testing.T) {
	t.Parallel()
	s, _ := take(t, &conversation.Snapshot{}, at(0, conversation.Queued))
	if got := s.Waiting(noon().Add(time.Minute)); got != time.Minute {
		t.Errorf("waiting: got %s, want 1 min", got)
	}
	if got := s.Waiting(noon().Add(-time.Minute)); got != 0 {
		t.Errorf("waiting, by a clock that is behind: got %s, want 0", got)
	}
	if got := s.Handling(noon().Add(time.Minute)); got != 0 {
		t.Errorf("handling without a response: got %s, want 0", got)
	}
	s, _ = take(t, s, at(2, conversation.Responded))
	if got := s.Handling(noon().Add(5 * time.Minute)); got != 3*time.Minute {
		t.Errorf("handling: got %s, want 3 min", got)
	}
}

func TestAccountsAreThoseOfTheLinks(t *testing.T) {
	t.Parallel()
	tr := &conversation.Transition{
		Workspace: "acme", ConversationID: "k1", Version: 1, Type: conversation.Opened, To: conversation.StateOpen,
		OccurredAt: event.TimeOf(noon()), Links: []event.Link{
			{Type: object.Conversation, ID: "k1"}, {Type: object.Account, ID: "a1"}, {Type: object.User, ID: "u1"}, {Type: object.Account, ID: "a2"},
		},
	}
	if err := tr.Complete(conversation.Conversation{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a1", "a2"}, tr.After.Accounts); diff != "" {
		t.Errorf("accounts (-want +got):\n%s", diff)
	}
}

func TestApplyRefusesAGap(t *testing.T) {
	t.Parallel()
	tr := &conversation.Transition{Workspace: "acme", ConversationID: "k1", Version: 4, Type: conversation.Closed, To: conversation.StateClosed}
	s := in(t, conversation.StateQueued)
	after, err := s.Apply(tr)
	var gap *conversation.GapError
	if !errors.As(err, &gap) || gap.Have != 2 || gap.Got != 4 {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(s.Conversation, after); diff != "" {
		t.Errorf("the state after a gap (-want +got):\n%s", diff)
	}
}

// history is what a few conversations went through by chance, in the order of the log.
func history(t *testing.T, random *rand.Rand, n int) (log []*conversation.Transition, states map[string]conversation.Conversation) {
	t.Helper()
	snapshots := map[string]*conversation.Snapshot{}
	types := conversation.Types()
	for i := range n {
		c := at(random.IntN(60), types[random.IntN(len(types))])
		c.ConversationID, c.ID = fmt.Sprintf("k%d", random.IntN(4)), fmt.Sprintf("c%d", random.IntN(n))
		c.ReceivedAt = event.TimeOf(noon().Add(time.Duration(i) * time.Minute))
		if c.Agent != nil {
			c.Agent.ID = fmt.Sprintf("u%d", random.IntN(3))
		}
		if c.Type == conversation.Transferred && random.IntN(2) == 0 {
			c.ToQueue, c.Team = false, fmt.Sprintf("t%d", random.IntN(2))
		}
		s := snapshots[c.ConversationID]
		if s == nil {
			s = &conversation.Snapshot{}
		}
		next, d := take(t, s, c)
		checkDecision(t, s, next, conversation.Decision{
			Changed: d.Changed, Transitions: d.Transitions, Version: next.Version, State: next.State,
		})
		snapshots[c.ConversationID] = next
		log = append(log, d.Transitions...)
	}
	states = map[string]conversation.Conversation{}
	for id, s := range snapshots {
		if s.Version > 0 {
			states[id] = s.Conversation
		}
	}
	return log, states
}

// TestFoldIsTheSameUnderDuplicationAndReorderAcrossConversations is what lets every reader of the log rebuild the state.
func TestFoldIsTheSameUnderDuplicationAndReorderAcrossConversations(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 7))
		log, want := history(t, random, 60)
		// Conversations one after the other, in any order, and in each of them any stretch of the log once more.
		byID := map[string][]*conversation.Transition{}
		var ids []string
		for _, tr := range log {
			if !slices.Contains(ids, tr.ConversationID) {
				ids = append(ids, tr.ConversationID)
			}
			byID[tr.ConversationID] = append(byID[tr.ConversationID], tr)
		}
		random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		got := map[string]conversation.Conversation{}
		for _, id := range ids {
			c := conversation.Conversation{}
			for i, tr := range byID[id] {
				for _, again := range byID[id][random.IntN(i+1) : i+1] {
					var err error
					if c, err = c.Apply(again); err != nil {
						t.Fatal(err)
					}
				}
				if diff := cmp.Diff(tr.After, c); diff != "" {
					t.Fatalf("seed %d: state after %s (-in the record +folded):\n%s", seed, tr.ID(), diff)
				}
			}
			got[id] = c
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: states (-want +got):\n%s", seed, diff)
		}
	}
}

// TestTimesAndVersionsOnlyGrow holds of any history.
func TestTimesAndVersionsOnlyGrow(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		log, _ := history(t, rand.New(rand.NewPCG(seed, 11)), 60)
		last := map[string]*conversation.Transition{}
		for _, tr := range log {
			before := last[tr.ConversationID]
			switch {
			case before == nil && (tr.Version != 1 || tr.From != conversation.StateNone || tr.Type != conversation.Opened):
				t.Fatalf("seed %d: the first transition is %+v", seed, tr)
			case before != nil && (tr.Version != before.Version+1 || tr.From != before.To || tr.OccurredAt.Before(before.OccurredAt.Time)):
				t.Fatalf("seed %d: %+v follows %+v", seed, tr, before)
			}
			last[tr.ConversationID] = tr
		}
	}
}
