package dispatcher

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// queueEndpoint registers an endpoint for the queues of teams.
func (w *world) queueEndpoint(id, url string, threshold int, teams ...string) {
	w.t.Helper()
	w.endpoint(id, url, func(e *webhook.Endpoint) {
		e.Events, e.QueueThreshold, e.Teams = []string{webhook.QueueFormed, webhook.QueueCleared}, threshold, teams
	})
}

// crossing is a delivery of a queue event, as a test compares it.
type crossing struct{ Endpoint, Type, Team, Of string }

// crossings folds the changes of queues in the order of the log and says what is to be told to endpoints with thresholds.
func (w *world) crossings(changes int, thresholds map[string]int) []crossing {
	w.t.Helper()
	sizes := map[string]int{}
	var want []crossing
	w.read(topic.WebhookQueues, func(r *stream.Record) bool {
		c, err := webhook.ParseQueueChange(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		before := sizes[c.Team]
		kind := webhook.QueueCleared
		if sizes[c.Team]--; c.Joined {
			sizes[c.Team], kind = before+1, webhook.QueueFormed
		}
		for id, threshold := range thresholds {
			if threshold == max(before, sizes[c.Team]) {
				want = append(want, crossing{id, kind, c.Team, transitionID(c.ConversationID, c.ConversationVersion)})
			}
		}
		changes--
		return changes == 0
	})
	return want
}

// TestEveryCrossingOfAThresholdIsToldOnce takes conversations of some teams in several partitions through their queues, and
// stops and starts the dispatcher meanwhile.
func TestEveryCrossingOfAThresholdIsToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.Kfake(t), true, 3)
	hook := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	thresholds := map[string]int{"one": 1, "two": 2, "five": 5}
	for id, threshold := range thresholds {
		w.queueEndpoint(id, hook.URL, threshold)
	}
	random := rand.New(rand.NewPCG(4, 2))
	teams := []string{"sales", "support", ""}
	ann := conversation.Party{Type: object.User, ID: "ann"}
	talks := make([]*talk, 40)
	for i := range talks {
		talks[i] = w.talk(fmt.Sprintf("k%d", i))
	}
	changes := 0
	waiting := map[string]int{}
	move := func(n int) {
		for range n {
			k := talks[random.IntN(len(talks))]
			before := k.state
			switch {
			case before.State != conversation.StateQueued:
				// The team stays where none is named.
				k.step(conversation.Command{Type: conversation.Queued, Team: teams[random.IntN(3)]}, conversation.Parties{})
			case random.IntN(3) == 0:
				k.step(conversation.Command{Type: conversation.Transferred, Team: teams[random.IntN(2)]}, conversation.Parties{})
			default:
				k.step(conversation.Command{Type: conversation.Responded}, conversation.Parties{Agent: &ann})
			}
			if before.State == conversation.StateQueued && (k.state.State != before.State || k.state.Team != before.Team) {
				changes++
				waiting[before.Team]--
			}
			if k.state.State == conversation.StateQueued && (before.State != k.state.State || k.state.Team != before.Team) {
				changes++
				waiting[k.state.Team]++
			}
		}
	}
	move(100)
	stop := w.run(w.service())
	move(100)
	w.crossings(50, thresholds)
	stop()
	move(100)
	stop = w.run(w.service())
	want := w.crossings(changes, thresholds)
	compiled := schemas(t)
	var got []crossing
	w.read(topic.WebhookDeliveries, func(r *stream.Record) bool {
		d, err := webhook.ParseDelivery(r.Value)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, crossing{d.Endpoint, d.Type, d.Subject.ID, d.Event})
		conforms(t, compiled[d.Type], []byte(d.Body))
		return len(got) == len(want)
	})
	less := func(a, b crossing) bool { return fmt.Sprint(a) < fmt.Sprint(b) }
	if diff := cmp.Diff(want, got, cmpopts.SortSlices(less)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	open := map[string]int{}
	for _, c := range got {
		if c.Type == webhook.QueueFormed {
			open[c.Endpoint+"/"+c.Team]++
		} else {
			open[c.Endpoint+"/"+c.Team]--
		}
	}
	for id, threshold := range thresholds {
		for _, team := range teams {
			if formed := open[id+"/"+team] == 1; formed != (waiting[team] >= threshold) || open[id+"/"+team] < 0 {
				t.Errorf("%s: %d wait in team %q; formed and not cleared %d times", id, waiting[team], team, open[id+"/"+team])
			}
		}
	}
	w.eventually("all are posted", func() bool { return len(hook.counts()) == len(want) })
	stop()
	for id, posts := range hook.counts() {
		if posts != 1 {
			t.Errorf("%s was posted %d times", id, posts)
		}
	}
}

// queueRecord is a change of the queue of team sales, as a planner of conversations writes it.
func (w *world) queueRecord(id string, joined bool, source int64) *stream.Record {
	w.t.Helper()
	c := webhook.QueueChange{
		Workspace: "ws", Team: "sales", ConversationID: id, ConversationVersion: 2, Transition: "queued", Joined: joined,
		OccurredAt: event.TimeOf(time.Now()), ReceivedAt: event.TimeOf(time.Now()),
	}
	r, err := records{kafka: w.kafka, queues: 1}.queueChange(&c)
	if err != nil {
		w.t.Fatal(err)
	}
	stream.SetOrigin(r, &stream.Record{Topic: w.kafka.Topic(topic.Conversations), Offset: source})
	return r
}

// TestWhatATornTransactionLeftIsNotCountedTwice has a log as the embedded broker leaves it after a kill: a size of a
// transaction whose position is not committed, and changes that were written twice.
func TestWhatATornTransactionLeftIsNotCountedTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.Kfake(t), true, 1)
	hook := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	w.queueEndpoint("two", hook.URL, 2)
	w.queueEndpoint("support", hook.URL, 2, "support")
	torn, err := records{kafka: w.kafka}.queueSize(0, &webhook.QueueSize{
		Workspace: "ws", Team: "sales", QueueCount: webhook.QueueCount{Size: 7, Counted: map[int32]int64{0: 99}},
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	stream.SetOrigin(torn, &stream.Record{Topic: w.kafka.Topic(topic.WebhookQueues)})
	w.put(torn)
	w.put(
		w.queueRecord("k1", true, 1), w.queueRecord("k1", true, 1), w.queueRecord("k2", true, 2), w.queueRecord("k1", true, 1),
		w.queueRecord("k2", true, 2), w.queueRecord("k2", false, 3), w.queueRecord("k3", true, 4),
	)
	w.start()
	var got []string
	for _, d := range w.planned(func(d *webhook.Delivery) bool { return strings.HasPrefix(d.Event, "k3:") }) {
		got = append(got, d.Endpoint+" "+d.Type+" "+d.Event)
	}
	want := []string{"two queue.formed k2:2", "two queue.cleared k2:2", "two queue.formed k3:2"}
	if !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}
