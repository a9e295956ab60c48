package projector

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// TestEveryTableCompletesWhatACrashLeft leaves two announced batches in each partition of a table, in every state in
// which a process can die: the first and the second batch absent, there in part, or there.
func TestEveryTableCompletesWhatACrashLeft(t *testing.T) {
	t.Parallel()
	// The part of the rows of the first and of the second batch that is there, by partition.
	states := [][2]float64{{0, 0}, {1, 0}, {0.5, 1}, {1, 1}}
	for _, p := range projections.All() {
		t.Run(p.Table, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, len(states))
			want := 0
			for partition, state := range states {
				recs, each := w.recordsFor(t, p, partition, len(states), 30)
				want += each * len(recs)
				batches, sink := w.pendingIn(t, p, nil, recs[:20], recs[20:])
				for i, part := range state {
					some := make([]int, int(part*float64(batches[i].rows())))
					for row := range some {
						some[row] = row
					}
					if len(some) > 0 {
						must(t, sink.insert(t.Context(), batches[i], batches[i].block.Pick(some), "forgotten"+batches[i].token))
					}
				}
			}
			w.start(t, w.config())
			w.caughtUp(t)
			if !p.Replacing {
				w.exact(t, p.Table, want)
				return
			}
			// Everything has one state, its latest.
			if n := w.count(t, "SELECT countIf(_offset = 29) FROM "+p.Table+" FINAL"); n != len(states) {
				t.Errorf("%d objects are in their latest state, want %d", n, len(states))
			}
		})
	}
}

// recordsFor appends n records to a partition that a table is made of, and says how many rows each gives.
func (w *world) recordsFor(t *testing.T, p projections.Projection, partition, of, n int) (recs []*stream.Record, each int) {
	t.Helper()
	switch p.Table {
	case table.Objects:
		return w.states(t, w.idIn(t, object.Account, partition, of), n), 1
	case table.Transitions, table.Conversations:
		return w.transitions(t, w.idIn(t, object.Conversation, partition, of), n), 1
	case table.WebhookAttempts:
		return w.deliveries(t, w.idIn(t, object.Account, partition, of), n), 1
	}
	each = 1
	if p.Table == table.Timeline {
		each = 2
	}
	return w.events(t, w.subject(t, w.idIn(t, object.Customer, partition, of)), "e", n, time.Now()), each
}

// idIn is an object's id whose records go to a partition.
func (w *world) idIn(t *testing.T, kind object.Type, partition, of int) string {
	t.Helper()
	for i := range 1000 {
		id := fmt.Sprintf("in%d-%d", partition, i)
		if stream.PartitionOf(topic.Key("ws", string(kind), id), of) == int32(partition) {
			return id
		}
	}
	t.Fatal("no id is in that partition")
	return ""
}

// states appends n states of an object.
func (w *world) states(t *testing.T, id string, n int) []*stream.Record {
	t.Helper()
	recs := make([]*stream.Record, n)
	for i := range recs {
		value, err := text(object.Record{Version: object.RecordVersion, Workspace: "ws", Type: object.Account, ID: id, UpdatedAt: time.Now()})
		must(t, err)
		recs[i] = &stream.Record{Topic: w.kafka.Topic(topic.Objects), Key: topic.Key("ws", string(object.Account), id), Value: value}
	}
	w.put(t, recs...)
	return recs
}

// transitions take a conversation through n labels.
func (w *world) transitions(t *testing.T, id string, n int) []*stream.Record {
	t.Helper()
	var state conversation.Conversation
	recs := make([]*stream.Record, n)
	for i := range recs {
		at := event.TimeOf(time.Now())
		c := &conversation.Command{Workspace: "ws", ConversationID: id, ID: fmt.Sprint("c", i), Type: conversation.Labeled, ReceivedAt: at}
		c.Labels = &[]string{fmt.Sprint("label ", i)}
		if i == 0 {
			c.Type, c.Labels = conversation.Opened, nil
		}
		tr := conversation.Decide(&conversation.Snapshot{Conversation: state}, c, conversation.Parties{}).Transitions[0]
		tr.Links = []event.Link{{Type: object.Conversation, ID: id, Kind: event.LinkPrimary}}
		must(t, tr.Complete(state))
		state = tr.After
		value, err := tr.Encode()
		must(t, err)
		recs[i] = &stream.Record{Topic: w.kafka.Topic(topic.Conversations), Key: conversation.Key("ws", id), Value: value}
	}
	w.put(t, recs...)
	return recs
}

// deliveries are deliveries to an endpoint, in the partition of an account.
func (w *world) deliveries(t *testing.T, id string, n int) []*stream.Record {
	t.Helper()
	recs := make([]*stream.Record, n)
	for i := range recs {
		d := webhook.Delivery{ID: fmt.Sprintf("msg_%d", i), Workspace: "ws", Endpoint: id, Type: webhook.EventLinked, Body: "{}"}
		value, err := d.Encode()
		must(t, err)
		recs[i] = &stream.Record{Topic: w.kafka.Topic(topic.WebhookDeliveries), Key: topic.Key("ws", string(object.Account), id), Value: value}
	}
	w.put(t, recs...)
	return recs
}

// TestAnEvictedTokenCostsNothing has the server forget the batch, as it does once its window is full of later ones. The
// last insert proves that it has.
func TestAnEvictedTokenCostsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	must(t, w.conn.Exec(t.Context(), "ALTER TABLE timeline MODIFY SETTING non_replicated_deduplication_window = 2"))
	s := w.subject(t, "c1")
	b, sink := w.pending(t, w.events(t, s, "e", 30, time.Now()), nil)
	must(t, sink.put(t.Context(), b, true))
	later := &batch{block: b.block.Pick([]int{0})}
	for i := range 4 {
		must(t, sink.insert(t.Context(), later, later.block, fmt.Sprintf("later-%d", i)))
	}
	must(t, w.conn.Exec(t.Context(), "ALTER TABLE timeline DELETE WHERE _offset = 0 AND _row = 0 SETTINGS mutations_sync = 1"))
	must(t, sink.insert(t.Context(), later, later.block, "the first row once more"))
	w.exact(t, table.Timeline, 2*30)

	w.start(t, w.config())
	w.caughtUp(t)
	w.exact(t, table.Timeline, 2*30)

	must(t, sink.insert(t.Context(), b, b.block, b.token))
	if n := w.count(t, "SELECT count() FROM timeline"); n != 2*2*30 {
		t.Errorf("there are %d rows: the server still knew the token, so that nothing is proved", n)
	}
}

// TestABatchStaysOneBlock inserts more rows than the server reads at a time, with settings of the user that would cut
// them: a batch in several blocks could be stored in part, and a retry would be taken for known by its first block.
func TestABatchStaysOneBlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	must(t, w.conn.Exec(t.Context(), "SYSTEM STOP MERGES timeline"))
	const rows = 80_000 // max_block_size is 65,409
	b := &batch{block: &table.Block{}, token: "large"}
	for i := range rows {
		b.block.Add(&table.TimelineRow{Workspace: "ws", OccurredAt: time.UnixMilli(0), ReceivedAt: time.UnixMilli(0), StoredAt: time.UnixMilli(0), From: table.Source{Offset: int64(i)}})
	}
	_, sink := w.pending(t, w.events(t, w.subject(t, "c1"), "e", 1, time.Now()), nil)
	must(t, sink.insert(t.Context(), b, b.block, b.token))
	parts := w.count(t, "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'timeline' AND active")
	if have := w.count(t, "SELECT count() FROM timeline"); parts != 1 || have != rows {
		t.Errorf("%d rows are in %d parts, want %d in one", have, parts, rows)
	}
	// The token stands for the whole.
	must(t, sink.insert(t.Context(), b, b.block, b.token))
	if have := w.count(t, "SELECT count() FROM timeline"); have != rows {
		t.Errorf("%d rows after a repeat, want %d", have, rows)
	}
}

// TestALateInsertOfAFormerOwnerIsDroppedForBothOfItsBatches is the zombie that had announced two batches: it wakes up
// when the next owner has passed both, and sends them.
func TestALateInsertOfAFormerOwnerIsDroppedForBothOfItsBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	recs := w.events(t, w.subject(t, "c1"), "e", 40, time.Now())
	batches, sink := w.pendingIn(t, projections.Timeline(), nil, recs[:20], recs[20:])
	must(t, sink.insert(t.Context(), batches[0], firstHalf(batches[0], recs[10].Offset), batches[0].token))
	w.start(t, w.config())
	w.caughtUp(t)
	w.exact(t, table.Timeline, 2*40)
	for _, b := range batches {
		must(t, sink.insert(t.Context(), b, b.block, b.token))
	}
	w.exact(t, table.Timeline, 2*40)
}

// TestAnIntentOfTheFormerFormIsCarriedOut starts this release where the one before it was killed.
func TestAnIntentOfTheFormerFormIsCarriedOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	recs := w.events(t, w.subject(t, "c1"), "e", 20, time.Now())
	b, _ := w.pending(t, recs[:10], nil)
	w.commit(t, table.Group(table.Timeline), b.tp, b.from, fmt.Sprintf(
		`{"v":1,"to":%d,"rows":%d,"transform":1,"token":%q,"topic":%q}`, b.to, b.rows(), b.token, topicIDText(w.topicID(t, b.tp.Topic))))
	r := w.start(t, w.config())
	w.caughtUp(t)
	w.exact(t, table.Timeline, 2*20)
	if n := r.metric(t, "verifications_total", table.Timeline, outcomeAbsent); n != 1 {
		t.Errorf("the announced batch was looked for %v times, want once", n)
	}
}

func TestProjectorRefusesAnIntentThatItCannotCarryOut(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		change func(*intent)
		says   string
	}{
		{"of another transform", func(i *intent) { i.Transform++ }, "run the release that wrote it"},
		{"of another form", func(i *intent) { i.Version++ }, "run the release that wrote it"},
		{"of another topic", func(i *intent) { i.TopicID = strings.Repeat("0", 32) }, "the topic was made anew"},
		{"of other rows", func(i *intent) { i.Batches[0].Rows++ }, "the log or the projection has changed"},
		{"that makes no sense", func(i *intent) { i.Batches[0].To = 0 }, "makes no sense"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.pending(t, w.events(t, w.subject(t, "c1"), "e", 5, time.Now()), row.change)
			err := w.fails(t, w.config())
			if !errors.Is(err, ErrIntent) || !strings.Contains(err.Error(), row.says) {
				t.Errorf("error is %v, want one that says %q", err, row.says)
			}
			w.exact(t, table.Timeline, 0)
		})
	}
}
