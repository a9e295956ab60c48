package conversation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/throughline/throughline/ingest/conversation"
	conv "github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/embedded"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/schematest/golden"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// childEnv holds the configuration of a processor that this binary runs instead of its tests.
const childEnv = "CONVERSATION_TEST_CHILD"

type child struct {
	Kafka  stream.Config
	Config conversation.Config
	Dir    string
	// BrokerDir is the folder of the broker that runs in the same process, if any.
	BrokerDir  string
	BrokerPort int
}

func runChild() int {
	var c child
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	master, err := seal.ParseMaster(golden.MasterKey)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	// It ends by being killed; the time is a bound for the case that the parent died first.
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if c.BrokerDir != "" {
		if _, err := embedded.StartKfake(ctx, embedded.KfakeOptions{DataDir: c.BrokerDir, Port: c.BrokerPort}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
	}
	if err := runProcessor(ctx, c.Kafka, master, c.Config, c.Dir, slog.New(slog.DiscardHandler)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// spawn starts a processor in a process of its own.
func (w *world) spawn(c child) *exec.Cmd {
	w.T.Helper()
	c.Kafka, c.Config, c.Dir = w.Kafka, w.cfg, w.dir
	return w.Spawn(childEnv, c)
}

// load sends commands to a few conversations by chance: many are refused, some change nothing, some come twice.
func (w *world) load(n int) {
	random := rand.New(rand.NewPCG(1, 2))
	types := conv.Types()
	var all []*conv.Command
	for i := range n {
		c := w.command(fmt.Sprintf("k%d", random.IntN(40)), types[random.IntN(len(types))])
		switch c.Type {
		case conv.Broadcasted:
			c.Agents = []conv.Reference{{ID: "u1"}, {ID: "u2"}}
		case conv.Assigned, conv.Responded:
			c.Agent = &conv.Reference{ID: fmt.Sprintf("u%d", random.IntN(3))}
		case conv.Transferred:
			c.ToQueue = true
		case conv.Labeled:
			c.Labels = &[]string{fmt.Sprintf("l%d", i)}
		case conv.Surveyed:
			c.Rating, c.Comment = 1+random.IntN(5), "so so"
		case conv.Closed:
			if i%4 != 0 {
				c.Type = conv.Queued // or nothing would happen for long
			}
		default:
		}
		if i > 0 && random.IntN(5) == 0 {
			again := *all[random.IntN(i)]
			again.Request = c.Request
			c = &again
		}
		all = append(all, c)
	}
	w.send(all...)
}

// check compares what is in the log with what deciding all commands in their order gives.
func (w *world) check() {
	w.T.Helper()
	want := map[string]*conv.Snapshot{}
	transitions := map[string]int{}
	replies := w.replies()
	for _, r := range w.Read(topic.ConversationCommands) {
		c, err := conv.ParseCommand(r.Value)
		if err != nil {
			w.T.Fatal(err)
		}
		s := want[c.ConversationID]
		if s == nil {
			s = &conv.Snapshot{}
		}
		d := conv.Decide(s, c, partiesOf(c))
		after := s.Conversation
		for _, t := range d.Transitions {
			if err := t.Complete(after); err != nil {
				w.T.Fatal(err)
			}
			after = t.After
			transitions[c.ConversationID]++
		}
		if d.Refusal == nil && !d.Repeated {
			want[c.ConversationID] = s.Advance(after, c)
		}
		got := replies[c.Request]
		if len(got) != 1 {
			w.T.Errorf("%s is answered %d times", c.Request, len(got))
		}
		for _, r := range got {
			if r.Version != d.Version || r.State != d.State || r.Changed != d.Changed || (r.Refusal == nil) != (d.Refusal == nil) {
				w.T.Errorf("%s is answered %+v, want %+v", c.Request, r, d)
			}
		}
	}
	for id, all := range w.transitions() {
		for i, t := range all {
			if t.Version != int64(i+1) {
				w.T.Fatalf("%s: version %d stands at place %d", id, t.Version, i+1)
			}
		}
		if len(all) != transitions[id] {
			w.T.Errorf("%s went through %d transitions, want %d", id, len(all), transitions[id])
			continue
		}
		ignored := cmpopts.IgnoreFields(conv.Conversation{}, "KeyID", "Accounts")
		if diff := cmp.Diff(want[id].Conversation, all[len(all)-1].After, ignored); diff != "" {
			w.T.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
	for id, got := range w.snapshots() {
		ignored := cmpopts.IgnoreFields(conv.Conversation{}, "KeyID", "Accounts")
		if diff := cmp.Diff(want[id], got, ignored, cmpopts.IgnoreFields(conv.Snapshot{}, "Form")); diff != "" {
			w.T.Errorf("snapshot of %s (-want +got):\n%s", id, diff)
		}
	}
}

// checkTorn checks what the embedded broker promises though it was killed: no version is missing or there twice, no command
// has taken effect twice, and what was answered is in the log. A command whose reply was lost with its transaction may
// have been decided behind others that came after it: nobody was told otherwise.
func (w *world) checkTorn() {
	w.T.Helper()
	done := map[string]*conv.Transition{}
	for id, all := range w.transitions() {
		state := conv.Conversation{}
		for _, t := range all {
			after, err := state.Apply(t)
			if err != nil || t.Version <= state.Version {
				w.T.Fatalf("%s stands behind version %d: %v", t.ID(), state.Version, err)
			}
			if diff := cmp.Diff(after, t.After); diff != "" {
				w.T.Fatalf("state after %s (-folded +in the record):\n%s", t.ID(), diff)
			}
			state = after
			if t.Implied {
				continue
			}
			if first := done[id+"/"+t.CommandID]; first != nil {
				w.T.Errorf("%s has taken effect as %s and as %s", t.CommandID, first.ID(), t.ID())
			}
			done[id+"/"+t.CommandID] = t
		}
	}
	answered := 0
	for _, all := range w.replies() {
		for _, r := range all {
			answered++
			if t := done[r.ConversationID+"/"+r.CommandID]; r.Changed && (t == nil || t.Version != r.Version) {
				w.T.Errorf("%s was told to be version %d and is %v", r.CommandID, r.Version, t)
			}
		}
	}
	if answered == 0 {
		w.T.Error("nothing was answered")
	}
}

// partiesOf looks nobody up: no object is known in these tests.
func partiesOf(c *conv.Command) conv.Parties {
	var who conv.Parties
	if c.Agent != nil {
		who.Agent = &conv.Party{Type: "USER", ID: c.Agent.ID}
	}
	for _, a := range c.Agents {
		who.Agents = append(who.Agents, conv.Party{Type: "USER", ID: a.ID})
	}
	return who
}

// TestCommandsAreDecidedAsTheRulesSay runs many commands through the processor and compares with the pure rules.
func TestCommandsAreDecidedAsTheRulesSay(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(w *world) {
		w.cfg.MaxBatch = 100
		w.start()
		w.load(1500)
		w.Settle()
		w.check()
	})
}

// TestAProcessorThatIsKilledLosesAndDoublesNothing kills the process with SIGKILL again and again, mostly inside a
// transaction. Half of the times its local store is gone too.
func TestAProcessorThatIsKilledLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.ApacheKafka(t), false)
	w.load(4000)
	w.killAndRestart(child{}, 2)
	w.start()
	w.Settle()
	w.check()
}

// TestAProcessorThatIsKilledWithItsBrokerLosesAndDoublesNothing kills the process that has the embedded broker in it, which
// may leave a transaction committed on some of its partitions only.
func TestAProcessorThatIsKilledWithItsBrokerLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broker, err := embedded.StartKfake(t.Context(), embedded.KfakeOptions{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	_, text, err := net.SplitHostPort(broker.Brokers[0])
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, broker.Brokers, true)
	w.load(4000)
	if err := broker.Close(); err != nil {
		t.Fatal(err)
	}
	w.killAndRestart(child{BrokerDir: dir, BrokerPort: port}, 4)
	broker, err = embedded.StartKfake(t.Context(), embedded.KfakeOptions{DataDir: dir, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	w.start()
	w.Settle()
	w.checkTorn()
}

// killAndRestart runs processors in processes of their own and kills each soon after it began to write.
func (w *world) killAndRestart(c child, kills int) {
	w.T.Helper()
	w.cfg.MaxBatch = 40
	w.KillAndRestart(func() *exec.Cmd { return w.spawn(c) }, topic.Conversations, w.dir, kills)
	// What is left needs no kill to meet a transaction.
	w.cfg.MaxBatch = 1000
}
