package conversation_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func agent(id string) *conversation.Party { return &conversation.Party{Type: object.User, ID: id} }

// command is the least command of a type.
func command(t conversation.Type) *conversation.Command {
	c := &conversation.Command{
		Workspace: "acme", ConversationID: "k1", Request: "r", ID: "fresh", Type: t, ReceivedAt: event.TimeOf(noon().Add(time.Hour)),
	}
	switch t {
	case conversation.Broadcasted:
		c.Agents = []conversation.Reference{{ID: "u1"}, {ID: "u2"}}
	case conversation.Assigned, conversation.Responded:
		c.Agent = &conversation.Reference{ID: "u1"}
	case conversation.Transferred:
		c.ToQueue = true
	case conversation.Labeled:
		c.Labels = &[]string{"vip"}
	case conversation.Surveyed:
		c.Rating = 4
	default:
	}
	return c
}

// parties are those that a command names, looked up: all are known under the ids that were named.
func parties(c *conversation.Command) conversation.Parties {
	var who conversation.Parties
	if c.Customer != nil {
		who.Customer = &conversation.Party{Type: object.Customer, ID: c.Customer.ID}
	}
	if c.Agent != nil {
		who.Agent = agent(c.Agent.ID)
	}
	if c.Bot != nil {
		who.Agent = &conversation.Party{Type: object.Chatbot, ID: c.Bot.ID}
	}
	for _, a := range c.Agents {
		who.Agents = append(who.Agents, *agent(a.ID))
	}
	return who
}

// take decides and folds, as the keeper of the log does.
func take(t *testing.T, s *conversation.Snapshot, c *conversation.Command) (*conversation.Snapshot, conversation.Decision) {
	t.Helper()
	d := conversation.Decide(s, c, parties(c))
	after := s.Conversation
	for _, tr := range d.Transitions {
		tr.Links = []event.Link{{Type: object.Conversation, ID: tr.ConversationID, Kind: event.LinkPrimary}}
		if err := tr.Complete(after); err != nil {
			t.Fatal(err)
		}
		after = tr.After
	}
	if d.Refusal != nil || d.Repeated {
		return s, d
	}
	return s.Advance(after, c), d
}

// in is a conversation in a state, by the shortest way; agent u1 has it where somebody does.
func in(t *testing.T, state conversation.State) *conversation.Snapshot {
	t.Helper()
	way := map[conversation.State][]conversation.Type{
		conversation.StateNone:     {},
		conversation.StateOpen:     {conversation.Opened},
		conversation.StateQueued:   {conversation.Opened, conversation.Queued},
		conversation.StateAssigned: {conversation.Opened, conversation.Assigned},
		conversation.StateActive:   {conversation.Opened, conversation.Responded},
		conversation.StateClosed:   {conversation.Opened, conversation.Closed},
	}
	s := &conversation.Snapshot{}
	for i, typ := range way[state] {
		c := command(typ)
		c.ID, c.OccurredAt = fmt.Sprintf("way-%d", i), event.TimeOf(noon())
		var d conversation.Decision
		if s, d = take(t, s, c); !d.Changed {
			t.Fatalf("%s on the way to %s: %+v", typ, state, d)
		}
	}
	if s.State != state {
		t.Fatalf("the way to %s leads to %s", state, s.State)
	}
	return s
}

// TestDecideFollowsTheTable is the whole table: every state and every transition.
func TestDecideFollowsTheTable(t *testing.T) {
	t.Parallel()
	// A state is where the transition leads, "=" is allowed and without effect, "!" is refused. From none, another
	// transition than opened comes behind an implied one.
	const table = `
		              none      OPEN      QUEUED    ASSIGNED  ACTIVE    CLOSED
		opened        OPEN      =         !         !         !         !
		queued        QUEUED    QUEUED    =         QUEUED    QUEUED    !
		broadcasted   OPEN      OPEN      QUEUED    !         !         !
		assigned      ASSIGNED  ASSIGNED  ASSIGNED  =         =         !
		assigned2     ASSIGNED  ASSIGNED  ASSIGNED  ASSIGNED  ACTIVE    !
		responded     ACTIVE    ACTIVE    ACTIVE    ACTIVE    =         !
		transferred   QUEUED    QUEUED    =         QUEUED    QUEUED    !
		transferred1  ASSIGNED  ASSIGNED  ASSIGNED  =         ASSIGNED  !
		transferred2  ASSIGNED  ASSIGNED  ASSIGNED  ASSIGNED  ASSIGNED  !
		transferredT  QUEUED    QUEUED    QUEUED    QUEUED    QUEUED    !
		labeled       OPEN      OPEN      QUEUED    ASSIGNED  ACTIVE    CLOSED
		surveyed      OPEN      OPEN      QUEUED    ASSIGNED  ACTIVE    CLOSED
		closed        CLOSED    CLOSED    CLOSED    CLOSED    CLOSED    =
	`
	lines := strings.Split(strings.TrimSpace(table), "\n")
	states := strings.Fields(lines[0])
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		for i, want := range cells[1:] {
			t.Run(cells[0]+" in "+states[i], func(t *testing.T) {
				t.Parallel()
				state := conversation.State(strings.TrimPrefix(states[i], "none"))
				s := in(t, state)
				c := command(conversation.Type(strings.TrimRight(cells[0], "12T")))
				switch cells[0] {
				case "assigned2":
					c.Agent.ID = "u2"
				case "transferred1", "transferred2":
					c.ToQueue, c.Agent = false, &conversation.Reference{ID: "u" + cells[0][len(cells[0])-1:]}
				case "transferredT":
					c.ToQueue, c.Team = false, "second line"
				}
				after, d := take(t, s, c)
				got := string(after.State)
				switch {
				case d.Refusal != nil:
					got = "!"
				case !d.Changed:
					got = "="
				}
				if got != want {
					t.Fatalf("got %s, want %s", got, want)
				}
				checkDecision(t, s, after, d)
			})
		}
	}
}

// checkDecision checks what holds of every decision.
func checkDecision(t *testing.T, s, after *conversation.Snapshot, d conversation.Decision) {
	t.Helper()
	if !d.Changed {
		if len(d.Transitions) != 0 || d.Version != s.Version || after.Version != s.Version || d.State != s.State {
			t.Errorf("what changes nothing gave %+v", d)
		}
		return
	}
	want := []int64{s.Version + 1}
	if s.Version == 0 && d.Transitions[len(d.Transitions)-1].Type != conversation.Opened {
		want = append(want, 2)
		if first := d.Transitions[0]; !first.Implied || first.Type != conversation.Opened || first.CommandID != "" {
			t.Errorf("the implied transition is %+v", first)
		}
	}
	var got []int64
	for _, tr := range d.Transitions {
		got = append(got, tr.Version)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	if d.Version != after.Version || d.State != after.State {
		t.Errorf("the answer is version %d in %s, the state is %d in %s", d.Version, d.State, after.Version, after.State)
	}
}

func TestRefusalsOfAClosedConversationSaySo(t *testing.T) {
	t.Parallel()
	_, d := take(t, in(t, conversation.StateClosed), command(conversation.Queued))
	if d.Refusal == nil || d.Refusal.Kind != conversation.AlreadyClosed || d.State != conversation.StateClosed || d.Version != 2 {
		t.Errorf("got %+v, %+v", d, d.Refusal)
	}
	_, d = take(t, in(t, conversation.StateActive), command(conversation.Broadcasted))
	if d.Refusal == nil || d.Refusal.Kind != conversation.NotAllowed {
		t.Errorf("got %+v", d.Refusal)
	}
}

func TestOpenedAgainMayNotSayOtherwise(t *testing.T) {
	t.Parallel()
	first := command(conversation.Opened)
	first.ID, first.Customer, first.Team, first.Channel = "first", &conversation.Reference{ID: "c1"}, "sales", "web"
	s, _ := take(t, &conversation.Snapshot{}, first)
	tests := map[string]struct {
		change func(*conversation.Command)
		ok     bool
	}{
		"the same":             {func(*conversation.Command) {}, true},
		"less":                 {func(c *conversation.Command) { c.Customer, c.Team = nil, "" }, true},
		"another customer":     {func(c *conversation.Command) { c.Customer.ID = "c2" }, false},
		"another team":         {func(c *conversation.Command) { c.Team = "support" }, false},
		"another channel":      {func(c *conversation.Command) { c.Channel = "phone" }, false},
		"attributes, probably": {func(c *conversation.Command) { c.Attributes = "{}" }, true},
	}
	for name, tt := range tests {
		again := *first
		customer := *first.Customer
		again.ID, again.Customer = "again", &customer
		tt.change(&again)
		if _, d := take(t, s, &again); d.Changed || (d.Refusal == nil) != tt.ok {
			t.Errorf("%s: got %+v", name, d)
		}
	}
}

func TestExpectedVersionMustBeThatOfTheConversation(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		state    conversation.State
		expected int64
		kind     conversation.RefusalKind
	}{
		"new as expected":             {conversation.StateNone, 0, ""},
		"not new":                     {conversation.StateOpen, 0, conversation.VersionConflict},
		"new but not expected to be":  {conversation.StateNone, 3, conversation.VersionConflict},
		"as expected":                 {conversation.StateQueued, 2, ""},
		"older":                       {conversation.StateQueued, 1, conversation.VersionConflict},
		"newer":                       {conversation.StateQueued, 3, conversation.VersionConflict},
		"conflict before not allowed": {conversation.StateClosed, 1, conversation.VersionConflict},
		"not allowed at its version":  {conversation.StateClosed, 2, conversation.AlreadyClosed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := in(t, tt.state)
			c := command(conversation.Assigned)
			c.ExpectedVersion = &tt.expected
			_, d := take(t, s, c)
			var got conversation.RefusalKind
			if d.Refusal != nil {
				got = d.Refusal.Kind
				if d.Refusal.Detail == "" || d.Version != s.Version || d.State != s.State {
					t.Errorf("the refusal says %+v, %+v", d, d.Refusal)
				}
			}
			if got != tt.kind {
				t.Errorf("got %q, want %q", got, tt.kind)
			}
		})
	}
}

func TestARepeatedCommandIsAnsweredAsTheFirstTime(t *testing.T) {
	t.Parallel()
	c := command(conversation.Queued)
	s, first := take(t, in(t, conversation.StateOpen), c)
	zero := int64(0)
	again := *c
	again.Type, again.ExpectedVersion = conversation.Closed, &zero
	next, d := take(t, s, &again)
	if !d.Repeated || d.Changed || d.Refusal != nil || d.Version != first.Version || next != s {
		t.Errorf("the repeat is answered %+v", d)
	}
	// What changed nothing is remembered too: later it would change something.
	idle := command(conversation.Queued)
	idle.ID = "idle"
	s, d = take(t, s, idle)
	if d.Changed {
		t.Fatalf("queued in QUEUED: %+v", d)
	}
	respond := command(conversation.Responded)
	s, _ = take(t, s, respond2(respond))
	if _, d = take(t, s, idle); !d.Repeated || d.Version != first.Version {
		t.Errorf("the repeat of what changed nothing is answered %+v", d)
	}
}

func respond2(c *conversation.Command) *conversation.Command {
	c.ID = "respond"
	return c
}

func TestCommandsAreForgottenADayAfterAClosedConversationGotThem(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		state conversation.State
		later time.Duration
		known bool
	}{
		{conversation.StateActive, 30 * 24 * time.Hour, true},
		{conversation.StateClosed, conversation.Remember, true},
		{conversation.StateClosed, conversation.Remember + time.Millisecond, false},
	} {
		s := in(t, tt.state)
		survey := command(conversation.Surveyed)
		survey.ID = "survey"
		s, _ = take(t, s, survey)
		survey.ReceivedAt = event.TimeOf(survey.ReceivedAt.Add(tt.later))
		if _, d := take(t, s, survey); d.Repeated != tt.known {
			t.Errorf("%s after %s: repeated is %t, want %t", tt.state, tt.later, d.Repeated, tt.known)
		}
	}
}

func TestTheMemoryOfCommandsIsBounded(t *testing.T) {
	t.Parallel()
	s := in(t, conversation.StateActive)
	for i := range conversation.MaxRemembered + 10 {
		c := command(conversation.Labeled)
		c.ID, c.Labels = fmt.Sprintf("c%d", i), &[]string{fmt.Sprintf("l%d", i)}
		s, _ = take(t, s, c)
	}
	if len(s.Commands) != conversation.MaxRemembered {
		t.Errorf("%d commands are remembered, want %d", len(s.Commands), conversation.MaxRemembered)
	}
	if _, ok := s.Recall("c10", noon()); !ok {
		t.Error("the oldest of the last thousand is forgotten")
	}
	if _, ok := s.Recall("c9", noon()); ok {
		t.Error("the one before the last thousand is remembered")
	}
}
