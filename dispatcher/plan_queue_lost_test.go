package dispatcher

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// TestQueuesAreCountedAnewWhereTheirChangesAreGone does what operations.md says: no dispatcher ran for as long as changes of
// queues are kept, so the next one ends and says why. The sizes are taken away and the group is set to what is left.
func TestQueuesAreCountedAnewWhereTheirChangesAreGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.Kfake(t), true, 1)
	hook := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	w.queueEndpoint("one", hook.URL, 1)
	ann := conversation.Parties{Agent: &conversation.Party{Type: object.User, ID: "ann"}}
	comes := func(k *talk) {
		k.step(conversation.Command{Type: conversation.Queued, Team: "sales"}, conversation.Parties{})
	}
	leaves := func(k *talk) { k.step(conversation.Command{Type: conversation.Responded}, ann) }
	want := map[string]int{}
	told := func(typ, of string) {
		t.Helper()
		want[webhook.DeliveryID("ws", typ, object.Ref{Type: webhook.QueueType, ID: "sales"}, of, "one")] = 1
		w.eventually("it is told", func() bool { return len(hook.counts()) >= len(want) })
	}
	k1, k2, k3 := w.talk("k1"), w.talk("k2"), w.talk("k3")
	stop := w.run(w.service())
	comes(k1)
	told(webhook.QueueFormed, "k1:2")
	stop()

	client, err := stream.Open(w.kafka, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	admin := kadm.NewClient(client)
	changes, group := w.kafka.Topic(topic.WebhookQueues), w.kafka.Group(rolePlanQueues)
	ends, err := admin.ListEndOffsets(t.Context(), changes)
	if err != nil {
		t.Fatal(err)
	}
	set := func(offset int64) {
		t.Helper()
		at := kadm.Offsets{}
		at.Add(kadm.Offset{Topic: changes, Partition: 0, At: offset, LeaderEpoch: -1})
		if err := admin.CommitAllOffsets(t.Context(), group, at); err != nil {
			t.Fatal(err)
		}
	}
	set(0)
	if gone, err := admin.DeleteRecords(t.Context(), ends.Offsets()); errors.Join(err, gone.Error()) != nil {
		t.Fatal(errors.Join(err, gone.Error()))
	}
	err = w.service().Run(t.Context())
	if lost, ok := errors.AsType[*stream.OffsetLostError](err); !ok || lost.Topic != changes || !strings.Contains(err.Error(), group) {
		t.Fatalf("a planner that has lost its place: %v", err)
	}

	if gone, err := admin.DeleteTopics(t.Context(), w.kafka.Topic(topic.WebhookQueueSizes)); errors.Join(err, gone.Error()) != nil {
		t.Fatal(errors.Join(err, gone.Error()))
	}
	if _, err := stream.EnsureTopics(t.Context(), w.kafka, w.quiet(), topic.Layout(1), 1); err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup(changes, 0)
	set(end.Offset)
	w.run(w.service())
	// k1 waits and is not counted, so that k2 is the first one, and the queue is called empty when k1 leaves it.
	comes(k2)
	told(webhook.QueueFormed, "k2:2")
	leaves(k1)
	told(webhook.QueueCleared, "k1:3")
	// It has been empty once: from here on the count is right.
	leaves(k2)
	comes(k3)
	told(webhook.QueueFormed, "k3:2")
	leaves(k3)
	told(webhook.QueueCleared, "k3:3")
	for id, n := range hook.counts() {
		if want[id] != n {
			t.Errorf("%s was told %d times, want %d", id, n, want[id])
		}
	}
}
