package conversation_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	conv "github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/schematest"
)

// asked is a transition that a client asked for, as often as it took to get an answer.
type asked struct {
	conversation string
	command      conv.Command
}

// told is the answer.
type told struct {
	answer

	// retried says that the client asked more than once, so that the answer may be that of a repeat.
	retried bool
}

// model is one conversation that decides one command after the other by the rules.
func model() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byID := map[string][]porcupine.Operation{}
			for _, op := range history {
				id := op.Input.(asked).conversation
				byID[id] = append(byID[id], op)
			}
			var parts [][]porcupine.Operation
			for _, part := range byID {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return &conv.Snapshot{} },
		Step: func(state, input, output any) (bool, any) {
			s, in, out := state.(*conv.Snapshot), input.(asked), output.(told)
			d := conv.Decide(s, &in.command, partiesOf(&in.command))
			if d.Refusal != nil {
				return out.Status == http.StatusConflict && out.Version == d.Version && out.State == d.State, s
			}
			after := s.Conversation
			for _, t := range d.Transitions {
				if err := t.Complete(after); err != nil {
					return false, s
				}
				after = t.After
			}
			same := out.Status == http.StatusOK && out.Version == d.Version
			if out.retried {
				// The first answer may have been lost; then this one says nothing of what it was.
				return same && (!out.Changed || d.Changed), s.Advance(after, &in.command)
			}
			return same && out.State == d.State && out.Changed == d.Changed, s.Advance(after, &in.command)
		},
		Equal: func(a, b any) bool {
			x, y := a.(*conv.Snapshot), b.(*conv.Snapshot)
			return x.Version == y.Version && x.State == y.State && x.Agent.Same(y.Agent) && x.Team == y.Team && x.Rating == y.Rating
		},
		DescribeOperation: func(input, output any) string {
			in, out := input.(asked), output.(told)
			expected := ""
			if in.command.ExpectedVersion != nil {
				expected = fmt.Sprintf(" at %d", *in.command.ExpectedVersion)
			}
			return fmt.Sprintf("%s %s%s → %d version %d %s changed %t retried %t",
				in.conversation, in.command.Type, expected, out.Status, out.Version, out.State, out.Changed, out.retried)
		},
		DescribeState: func(state any) string {
			s := state.(*conv.Snapshot)
			return fmt.Sprintf("%d %s", s.Version, s.State)
		},
	}
}

const (
	// linearClients ask at the same time, about linearConversations.
	linearClients       = 6
	linearConversations = 3
)

// history lets clients change few conversations at once, each asking until it is answered, and gives what they saw.
func (e *edge) history(ctx context.Context, each int) []porcupine.Operation {
	var mu sync.Mutex
	var all []porcupine.Operation
	var wg sync.WaitGroup
	start := time.Now()
	for client := range linearClients {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(client), 3))
			seen := map[string]int64{}
			for i := range each {
				in := request(random, client, i, seen)
				called := time.Since(start)
				out, ok := e.ask(ctx, in)
				if !ok {
					return
				}
				seen[in.conversation] = out.Version
				mu.Lock()
				all = append(all, porcupine.Operation{
					ClientId: client, Input: in, Call: int64(called), Output: out, Return: int64(time.Since(start)),
				})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return all
}

// request is something that a client may want, now and then of the version that it saw last.
func request(random *rand.Rand, client, n int, seen map[string]int64) asked {
	types := []conv.Type{conv.Queued, conv.Assigned, conv.Responded, conv.Transferred, conv.Surveyed}
	in := asked{conversation: fmt.Sprintf("k%d", random.IntN(linearConversations))}
	in.command = conv.Command{
		Workspace: "acme", ConversationID: in.conversation, ID: fmt.Sprintf("c%d-%d", client, n), Type: types[random.IntN(len(types))],
		ReceivedAt: event.TimeOf(time.Now()),
	}
	switch c := &in.command; c.Type {
	case conv.Assigned, conv.Responded:
		c.Agent = &conv.Reference{ID: fmt.Sprintf("u%d", random.IntN(2))}
	case conv.Transferred:
		c.ToQueue = true
	case conv.Surveyed:
		c.Rating = 1 + random.IntN(5)
	default:
	}
	if version, ok := seen[in.conversation]; ok && random.IntN(3) == 0 {
		in.command.ExpectedVersion = &version
	}
	return in
}

// ask repeats a request with the same id until it is answered one way or the other.
func (e *edge) ask(ctx context.Context, in asked) (told, bool) {
	c := in.command
	body := map[string]any{"type": c.Type, "id": c.ID}
	if c.ExpectedVersion != nil {
		body["expectedVersion"] = *c.ExpectedVersion
	}
	if c.Agent != nil {
		body["agent"] = c.Agent.ID
	}
	if c.ToQueue {
		body["toQueue"] = true
	}
	if c.Rating != 0 {
		body["rating"] = c.Rating
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for tries := 0; ; tries++ {
		a, err := e.post(ctx, in.conversation, body)
		switch {
		case ctx.Err() != nil:
			e.t.Errorf("%s was not answered in time", c.ID)
			return told{}, false
		case err == nil && (a.Status == http.StatusOK || a.Status == http.StatusConflict):
			return told{a, tries > 0}, true
		case err == nil && a.Status != http.StatusAccepted && a.Status != http.StatusServiceUnavailable:
			e.t.Errorf("%s was answered %d", c.ID, a.Status)
			return told{}, false
		}
		<-tick.C
	}
}

// checkLinear fails where no order of the operations explains what the clients saw, and keeps that history in a file.
func checkLinear(t *testing.T, history []porcupine.Operation) {
	t.Helper()
	result, info := porcupine.CheckOperationsVerbose(model(), history, 2*time.Minute)
	if result == porcupine.Ok {
		return
	}
	// It outlives the test, for whoever looks into it.
	path := filepath.Join(os.TempDir(), fmt.Sprintf("throughline-history-%d.html", time.Now().UnixNano()))
	if err := porcupine.VisualizePath(model(), info, path); err != nil {
		t.Error(err)
	}
	t.Errorf("the history of %d operations is %s; it is kept in %s", len(history), result, path)
}

// TestTransitionsAreLinearizable has processors come and go beside each other while clients change few conversations.
func TestTransitionsAreLinearizable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.Kfake(t), true)
	first := w.start()
	e := w.edge()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	done := make(chan []porcupine.Operation, 1)
	go func() { done <- e.history(ctx, 60) }()
	second := *w
	second.dir, second.cfg.Instance = t.TempDir(), "conversations-1"
	stop := second.start()
	<-time.After(500 * time.Millisecond)
	first()
	third := *w
	third.dir, third.cfg.Instance = t.TempDir(), "conversations-2"
	third.start()
	<-time.After(500 * time.Millisecond)
	stop()
	checkLinear(t, <-done)
}

// TestTransitionsAreLinearizableThoughProcessorsAreKilled is the same against Apache Kafka, with processors of their own
// that are killed (-9) and come back, with their local store and without it.
func TestTransitionsAreLinearizableThoughProcessorsAreKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.ApacheKafka(t), false)
	e := w.edge()
	other := *w
	other.dir, other.cfg.Instance = t.TempDir(), "conversations-1"
	one, two := w.spawn(child{}), other.spawn(child{})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	done := make(chan []porcupine.Operation, 1)
	go func() { done <- e.history(ctx, 60) }()
	var history []porcupine.Operation
	kills := 0
	tick := time.NewTicker(4 * time.Second)
	defer tick.Stop()
	for history == nil {
		select {
		case history = <-done:
		case <-tick.C:
			if kills++; kills > 4 {
				continue // the rest has to come to an end
			}
			if kills%2 == 1 {
				w.Kill(one)
				one = w.spawn(child{})
				continue
			}
			other.Kill(two)
			if err := os.RemoveAll(other.dir); err != nil {
				t.Fatal(err)
			}
			two = other.spawn(child{})
		}
	}
	w.Kill(one)
	other.Kill(two)
	if kills == 0 {
		t.Error("the clients were done before anything was killed: this test proves nothing")
	}
	checkLinear(t, history)
}

func TestTheCheckerFindsAHistoryThatNoOrderExplains(t *testing.T) {
	t.Parallel()
	op := func(client int, id string, version int64, call, end int64) porcupine.Operation {
		c := conv.Command{Workspace: "acme", ConversationID: "k1", ID: id, Type: conv.Queued, ReceivedAt: event.TimeOf(time.Now())}
		a := answer{Status: http.StatusOK, Version: version, State: conv.StateQueued, Changed: true}
		return porcupine.Operation{ClientId: client, Input: asked{"k1", c}, Output: told{answer: a}, Call: call, Return: end}
	}
	if !porcupine.CheckOperations(model(), []porcupine.Operation{op(1, "a", 2, 0, 10)}) {
		t.Error("one transition is refused")
	}
	for name, history := range map[string][]porcupine.Operation{
		"two that both made version 2": {op(1, "a", 2, 0, 10), op(2, "b", 2, 5, 15)},
		"a version that was left out":  {op(1, "a", 3, 0, 10)},
	} {
		if porcupine.CheckOperations(model(), history) {
			t.Errorf("%s: no fault was found", name)
		}
	}
}
