package projector

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
)

func text(v any) ([]byte, error) { return json.Marshal(v) }

// pending puts the group of timeline into the state that a crash leaves: a batch of records, all of one partition, of
// which nothing but the intent is committed. It returns the batch and the sink by which a test inserts what the crashed
// process had inserted.
func (w *world) pending(t *testing.T, recs []*stream.Record, change func(*intent)) (*batch, *sink) {
	t.Helper()
	batches, sink := w.pendingIn(t, projections.Timeline(), change, recs)
	return batches[0], sink
}

// pendingIn does so for any projection and several batches.
func (w *world) pendingIn(t *testing.T, p projections.Projection, change func(*intent), parts ...[]*stream.Record) ([]*batch, *sink) {
	t.Helper()
	view, err := openKeys(t.Context(), t.TempDir(), w.deps(nil))
	must(t, err)
	keys := run(t, view)
	worker := newWorker(p, w.config(), w.deps(nil), keys, newMetrics(nil), newSlots(1))
	tp := stream.TopicPartition{Topic: parts[0][0].Topic, Partition: parts[0][0].Partition}
	l := &lane{tp: tp, topicID: w.topicID(t, tp.Topic)}
	var batches []*batch
	for _, recs := range parts {
		to := recs[len(recs)-1].Offset + 1
		b, err := worker.whole(t.Context(), l, stream.Batch{TopicPartition: tp, From: recs[0].Offset, To: to, Records: slices.Clone(recs)})
		must(t, err)
		batches = append(batches, b)
	}
	metadata, err := newIntent(p, l.topicID, batches)
	must(t, err)
	if change != nil {
		var in intent
		must(t, json.Unmarshal([]byte(metadata), &in))
		change(&in)
		metadata, err = in.encode()
		must(t, err)
	}
	w.commit(t, table.Group(p.Table), tp, batches[0].from, metadata)
	return batches, worker.sink
}

// commit commits for a group that has no members.
func (w *world) commit(tb testing.TB, group string, tp stream.TopicPartition, at int64, metadata string) {
	tb.Helper()
	client, err := stream.Open(stream.Config{Brokers: w.kafka.Brokers, ClientID: "admin", Prefix: "x"}, w.log, nil)
	must(tb, err)
	defer client.Close()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: tp.Topic, Partition: tp.Partition, At: at, LeaderEpoch: -1, Metadata: metadata})
	must(tb, kadm.NewClient(client).CommitAllOffsets(tb.Context(), w.kafka.Group(group), offsets))
}

func (w *world) topicID(tb testing.TB, name string) [16]byte {
	tb.Helper()
	client, err := stream.Open(stream.Config{Brokers: w.kafka.Brokers, ClientID: "admin", Prefix: "x"}, w.log, nil)
	must(tb, err)
	defer client.Close()
	listed, err := kadm.NewClient(client).ListTopics(tb.Context(), name)
	must(tb, err)
	return listed[name].ID
}

// part is some rows of a batch, as an insert leaves them that was cut off between two partitions of the table.
func part(b *batch, keep func(row int) bool) *table.Block {
	var rows []int
	for row := range b.rows() {
		if keep(row) {
			rows = append(rows, row)
		}
	}
	return b.block.Pick(rows)
}

// firstHalf is part of a batch: the rows of records before an offset.
func firstHalf(b *batch, before int64) *table.Block {
	return part(b, func(row int) bool {
		offset, _ := b.block.Place(row)
		return offset < before
	})
}

func TestProjectorInsertsABatchOfWhichOnlyTheIntentIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := w.subject(t, "c1")
	w.pending(t, w.events(t, s, "e", 50, time.Now()), nil)
	w.events(t, s, "later", 10, time.Now())
	r := w.start(t, w.config())
	w.caughtUp(t)
	w.exact(t, table.Timeline, 2*60)
	if n := r.metric(t, "verifications_total", table.Timeline, outcomeAbsent); n != 1 {
		t.Errorf("the table was found without the batch %v times, want once", n)
	}
}

func TestProjectorSkipsABatchThatIsAlreadyThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := w.subject(t, "c1")
	b, sink := w.pending(t, w.events(t, s, "e", 50, time.Now()), nil)
	must(t, sink.put(t.Context(), b, true))
	// A server that has forgotten the token must not get the rows again either.
	must(t, w.conn.Exec(t.Context(), "ALTER TABLE timeline MODIFY SETTING non_replicated_deduplication_window = 0"))
	must(t, w.conn.Exec(t.Context(), "ALTER TABLE timeline MODIFY SETTING non_replicated_deduplication_window = 10000"))
	w.events(t, s, "later", 10, time.Now())
	r := w.start(t, w.config())
	w.caughtUp(t)
	w.exact(t, table.Timeline, 2*60)
	if n := r.metric(t, "verifications_total", table.Timeline, outcomeComplete); n != 1 {
		t.Errorf("the batch was found %v times, want once", n)
	}
}

func TestProjectorCompletesABatchThatIsThereInPart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := w.subject(t, "c1")
	recs := w.events(t, s, "e", 50, time.Now())
	b, sink := w.pending(t, recs, nil)
	// Half of the rows, under a token that nobody knows.
	must(t, sink.insert(t.Context(), b, firstHalf(b, recs[25].Offset), "forgotten"))
	r := w.start(t, w.config())
	w.caughtUp(t)
	w.exact(t, table.Timeline, 2*50)
	if n := r.metric(t, "verifications_total", table.Timeline, outcomePartial); n != 1 {
		t.Errorf("the batch was found in part %v times, want once", n)
	}
	// And the former owner's insert, had it only been slow, does not come on top.
	must(t, sink.insert(t.Context(), b, b.block, b.token))
	w.exact(t, table.Timeline, 2*50)
}

func TestProjectorCompletesABatchThatTheServerTakesForAKnownOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := w.subject(t, "c1")
	recs := w.events(t, s, "e", 50, time.Now())
	b, sink := w.pending(t, recs, nil)
	// Half of the rows under the batch's own token: the trap in which a server drops the other half and says that all is well.
	must(t, sink.insert(t.Context(), b, firstHalf(b, recs[25].Offset), b.token))
	w.start(t, w.config())
	w.caughtUp(t)
	w.exact(t, table.Timeline, 2*50)
}

func TestProjectorCompletesABatchThatWasCutOffAtAMonthsTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := w.subject(t, "c1")
	july := time.Date(2026, 7, 31, 23, 59, 59, 0, time.UTC)
	recs := slices.Concat(w.events(t, s, "july", 20, july), w.events(t, s, "august", 20, july.Add(2*time.Second)))
	b, sink := w.pending(t, recs, nil)
	if diff := cmp.Diff([]int{202607, 202608}, b.months); diff != "" {
		t.Fatalf("months of the batch (-want +got):\n%s", diff)
	}
	first := part(b, func(row int) bool { return july.Equal(b.block.Value(row, "stored_at").(time.Time)) })
	must(t, sink.insert(t.Context(), b, first, b.token))
	r := w.start(t, w.config())
	w.caughtUp(t)
	w.exact(t, table.Timeline, 2*40)
	if n := r.metric(t, "verifications_total", table.Timeline, outcomePartial); n != 1 {
		t.Errorf("the batch was found in part %v times, want once", n)
	}
	// The former owner wakes up and sends the whole batch: nothing of it counts.
	must(t, sink.insert(t.Context(), b, b.block, b.token))
	w.exact(t, table.Timeline, 2*40)
}

func TestALateInsertOfAFormerOwnerIsDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := w.subject(t, "c1")
	b, sink := w.pending(t, w.events(t, s, "e", 50, time.Now()), nil)
	w.start(t, w.config())
	w.caughtUp(t)
	w.exact(t, table.Timeline, 2*50)
	must(t, sink.insert(t.Context(), b, b.block, b.token))
	w.exact(t, table.Timeline, 2*50)
}
