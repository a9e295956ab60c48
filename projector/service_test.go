package projector

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
)

func TestProjectorFillsEveryTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	for i := range 20 {
		s := w.subject(t, fmt.Sprintf("c%d", i))
		w.events(t, s, fmt.Sprintf("e%d", i), 10, time.Now())
		w.objects(t, s, 3)
	}
	r := w.start(t, w.config())
	w.caughtUp(t)
	w.exact(t, table.Timeline, 20*10*2)
	w.exact(t, table.EventLog, 20*10)
	if n := w.count(t, "SELECT count() FROM objects FINAL"); n != 20*3 {
		t.Errorf("objects has %d latest states, want %d", n, 20*3)
	}
	if n := w.count(t, "SELECT count() FROM timeline WHERE object_type = 'CUSTOMER' AND payload != '{\"n\": 1.0}'"); n != 0 {
		t.Errorf("%d payloads are not what was sent, byte for byte", n)
	}
	if n := r.metric(t, "rows_total", table.Timeline); n != 20*10*2 {
		t.Errorf("rows are counted as %v, want %d", n, 20*10*2)
	}
	if err := r.Ready(t.Context()); err != nil {
		t.Errorf("it gets on and is not ready: %v", err)
	}
}

func TestARecordIsHeldBackForABatchAgeAtMostAndAfterAPauseNotAtAll(t *testing.T) {
	t.Parallel()
	if age := DefaultConfig().BatchAge; age > 250*time.Millisecond {
		t.Errorf("the default age of a batch is %s, want at most 250 ms", age)
	}
	w := newWorld(t, 1)
	cfg := w.config()
	// Long enough to be told from the noise of a machine that has other things to do.
	cfg.BatchAge = 4 * time.Second
	w.start(t, cfg)
	s := w.subject(t, "c1")
	rows := func(n int) func() bool {
		return func() bool { return w.count(t, "SELECT count() FROM timeline") == n }
	}
	// The group is joined when the first is there; whether that one waited cannot be told.
	w.events(t, s, "joined", 1, time.Now())
	w.eventually(t, "the first event is not there", rows(2))
	<-time.After(cfg.BatchAge)

	began := time.Now()
	w.events(t, s, "after-a-pause", 1, began)
	w.eventually(t, "the event after a pause is not there", rows(4))
	if took := time.Since(began); took > cfg.BatchAge/2 {
		t.Errorf("an event after a pause took %s, as if it had been held back", took)
	}
	w.events(t, s, "right-behind", 1, time.Now())
	w.eventually(t, "the event right behind is not there", rows(6))
	if took := time.Since(began); took < cfg.BatchAge/2 || took > 2*cfg.BatchAge {
		t.Errorf("the event right behind it was inserted %s after it, want about %s", took, cfg.BatchAge)
	}
}

func TestProjectorKeepsARecordWhoseKeyIsGoneAndLeavesOutWhatWasSealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	erased, kept := w.subject(t, "erased"), w.subject(t, "kept")
	w.put(t, &stream.Record{
		Topic: w.kafka.Topic(topic.SubjectKeys), Key: topic.Key("ws", string(erased.ref.Type), erased.ref.ID, erased.keyID),
	})
	w.events(t, erased, "e", 5, time.Now())
	w.events(t, kept, "k", 5, time.Now())
	r := w.start(t, w.config())
	w.caughtUp(t)
	w.exact(t, table.Timeline, 2*10)
	w.exact(t, table.EventLog, 10)
	const sealed = " AND (description != '' OR icon != '' OR payload != '')"
	if n := w.count(t, "SELECT count() FROM timeline WHERE primary_id = 'erased'"+sealed); n != 0 {
		t.Errorf("%d rows of the erased subject tell something", n)
	}
	if n := w.count(t, "SELECT count() FROM timeline WHERE primary_id = 'kept'"+sealed); n != 2*5 {
		t.Errorf("%d rows of the other subject are whole, want %d", n, 2*5)
	}
	if n := w.count(t, "SELECT count() FROM event_log WHERE object_id = 'erased' AND submission LIKE '%viewed e%'"); n != 0 {
		t.Errorf("%d rows of the event log tell what the erased subject did", n)
	}
	if n := r.metric(t, "redacted_total", table.Timeline); n != 5 {
		t.Errorf("%v sealed parts are counted as gone, want 5", n)
	}
}

func TestAKeyThatIsWrittenWhileTheProjectorRunsIsNeverMissed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.start(t, w.config())
	// The key's record is acknowledged a moment before the first record that needs it.
	const n = 50
	for i := range n {
		w.events(t, w.subject(t, fmt.Sprintf("c%d", i)), "e", 1, time.Now())
	}
	w.caughtUp(t)
	if have := w.count(t, "SELECT count() FROM timeline WHERE payload != ''"); have != 2*n {
		t.Errorf("%d of %d rows are whole", have, 2*n)
	}
}

func TestProjectorStopsRatherThanRedactEverythingUnderAnotherMasterKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.events(t, w.subject(t, "c1"), "e", 5, time.Now())
	var err error
	w.master, err = seal.NewMaster(make([]byte, seal.KeyBytes))
	must(t, err)
	err = w.fails(t, w.config())
	if err == nil || !strings.Contains(err.Error(), "THROUGHLINE_MASTER_KEY") {
		t.Errorf("error is %v, want one that names the master key", err)
	}
	w.exact(t, table.Timeline, 0)
}

func TestARecordThatCannotBeTransformedBecomesADeadLetterAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := w.subject(t, "c1")
	name := w.kafka.Topic(topic.Events)
	w.events(t, s, "before", 3, time.Now())
	moved := w.event(t, s, "moved", time.Now())
	moved.Value = []byte(strings.Replace(string(moved.Value), `"id":"moved"`, `"id":"other"`, 1)) // bound to another event
	w.put(t,
		&stream.Record{Topic: name, Key: topic.Key("ws", "CUSTOMER", "c1"), Value: []byte("no JSON")},
		&stream.Record{Topic: name, Key: []byte("no % key")},
		moved,
	)
	w.events(t, s, "after", 3, time.Now())
	r := w.start(t, w.config())
	w.caughtUp(t)
	w.exact(t, table.Timeline, 2*6)
	w.exact(t, table.EventLog, 6)
	if n := r.metric(t, "dead_letters_total", table.Timeline); n != 3 {
		t.Errorf("%v dead letters are counted, want 3", n)
	}
	var got []string
	for _, rec := range w.read(t, topic.DeadLetters, 6) {
		d, err := event.ParseDeadLetter(rec.Value)
		must(t, err)
		if d.Group == w.kafka.Group(table.Group(table.Timeline)) {
			got = append(got, fmt.Sprintf("%s/%d/%d of %s: %.7s", strings.TrimPrefix(d.Topic, w.kafka.Prefix+"."), d.Partition, d.Offset, d.Workspace, d.Value))
		}
	}
	want := []string{"events.v1/0/3 of ws: no JSON", "events.v1/0/4 of : ", `events.v1/0/5 of ws: {"v":1,`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
}

func TestCommittedOffsetsPassTrailingMarkersOfTransactions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := w.subject(t, "c1")
	client, err := stream.Open(w.kafka, w.log, nil, kgo.TransactionalID(w.kafka.Prefix+".test"))
	must(t, err)
	defer client.Close()
	r := w.start(t, w.config())
	for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		must(t, client.BeginTransaction())
		must(t, client.ProduceSync(t.Context(), w.event(t, s, fmt.Sprintf("e%d", i), time.Now())).FirstErr())
		must(t, client.EndTransaction(t.Context(), end))
	}
	w.caughtUp(t) // waits for the high watermark, which is behind the last marker
	w.exact(t, table.Timeline, 2*2)
	if n := r.metric(t, "reopened_total"); n != 0 {
		t.Errorf("a group was joined anew %v times", n)
	}
}

func TestProjectorGoesOnWhereTheLogBeginsWhenRecordsAreGone(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		pending int // records of the pending batch
		start   int64
	}{
		{"with nothing pending", 0, 6}, {"with a pending batch", 10, 6}, {"with a pending batch that is gone", 10, 15},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			s := w.subject(t, "c1")
			recs := w.events(t, s, "e", 20, time.Now())
			if row.pending > 0 {
				w.pending(t, recs[:row.pending], nil)
			}
			gone := kadm.Offsets{}
			gone.AddOffset(recs[0].Topic, 0, row.start, -1)
			deleted, err := kadm.NewClient(w.client).DeleteRecords(t.Context(), gone)
			must(t, err)
			must(t, deleted.Error())
			r := w.start(t, w.config())
			w.caughtUp(t)
			w.exact(t, table.Timeline, 2*(20-int(row.start)))
			if n := r.metric(t, "lost_offsets_total", table.Timeline); n != float64(row.start) {
				t.Errorf("%v offsets are counted as lost, want %d", n, row.start)
			}
		})
	}
}

func TestTwoProjectorsShareTheWorkAndTakeItOverFromEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	produced := make(chan int)
	ctx, enough := context.WithCancel(t.Context())
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			w.events(t, w.subject(t, fmt.Sprintf("c%d", n)), fmt.Sprintf("e%d", n), 50, time.Now())
			_ = pause(ctx, 20*time.Millisecond)
		}
		produced <- n
	}()
	for i := range 4 {
		second := *w
		second.dir = t.TempDir()
		second.kafka.ClientID = fmt.Sprintf("second-%d", i)
		before := w.count(t, "SELECT count() FROM timeline")
		a := w.start(t, w.config())
		b := second.start(t, second.config())
		w.eventually(t, "nothing is inserted", func() bool { return w.count(t, "SELECT count() FROM timeline") > before })
		a.stop()
		w.eventually(t, "the second does not take over", func() bool { return b.metric(t, "rows_total", table.Timeline) > 0 })
		b.stop()
	}
	enough()
	n := <-produced
	w.start(t, w.config())
	w.caughtUp(t)
	w.exact(t, table.Timeline, n*50*2)
	w.exact(t, table.EventLog, n*50)
}

func TestProjectorWaitsForAClickHouseThatIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	behind, between := w.behindGate(t)
	cfg := w.config()
	cfg.BatchRows, cfg.BatchAge = 500, time.Millisecond
	r := behind.start(t, cfg)
	s := w.subject(t, "c1")
	n := 0
	for i := range 6 {
		// The connections break while inserts are on their way: some reach the server, and nobody hears of it.
		for range 10 {
			w.events(t, s, fmt.Sprintf("e%d-%d", i, n), 50, time.Now())
			n++
		}
		retries := r.metric(t, "retries_total")
		between.shut()
		w.eventually(t, "nothing is retried", func() bool { return r.metric(t, "retries_total") > retries })
		between.open()
	}
	between.shut()
	w.events(t, s, "last", 50, time.Now())
	w.eventually(t, "it is ready while ClickHouse is away", func() bool { return r.Ready(t.Context()) != nil })
	between.open()
	w.caughtUp(t)
	w.exact(t, table.Timeline, (n+1)*50*2)
	w.exact(t, table.EventLog, (n+1)*50)
	if err := r.Ready(t.Context()); err != nil {
		t.Errorf("it gets on again and is not ready: %v", err)
	}
	if r.metric(t, "retries_total") == 0 {
		t.Error("no insert ever failed, so that nothing is proved")
	}
}

func TestATablePollsNoMoreWhileItsMemoryIsFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	behind, between := w.behindGate(t)
	cfg := w.config()
	cfg.BatchBytes, cfg.MemoryBytes = 2<<20, 2<<20
	r := behind.start(t, cfg)
	s := w.subject(t, "c1")
	w.events(t, s, "first", 1, time.Now())
	w.eventually(t, "nothing is inserted", func() bool { return r.metric(t, "rows_total", table.Timeline) == 2 })

	between.shut()
	const n = 3 * pollRecords
	for i := range 3 {
		w.events(t, s, fmt.Sprintf("e%d", i), pollRecords, time.Now())
	}
	held := func() float64 { return r.metric(t, "held_bytes", table.Timeline) }
	w.eventually(t, "memory does not fill", func() bool { return held() >= float64(cfg.MemoryBytes) })
	w.eventually(t, "no insert is tried", func() bool { return r.metric(t, "retries_total", table.Timeline) > 1 })
	// One poll brings at most pollRecords; a record and its rows take less than 4 KiB.
	if most := float64(cfg.MemoryBytes + pollRecords<<12); held() > most {
		t.Errorf("%.0f bytes are held, want at most %.0f", held(), most)
	}
	between.open()
	w.caughtUp(t)
	w.exact(t, table.Timeline, 2*(n+1))
	if held() != 0 {
		t.Errorf("%.0f bytes are held of what is committed", held())
	}
}
