package projector

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
)

// counting is a projection that gives as many rows as a record's value is long.
func counting() projections.Projection {
	return projections.Projection{
		Table: "t", Version: 7,
		Transform: func(_ context.Context, rec projections.Record, _ projections.Opener, to *table.Block) error {
			for i := range rec.Value {
				to.Add(&table.ObjectRow{From: table.Source{Offset: rec.Offset, Row: int32(i)}})
			}
			return nil
		},
	}
}

type cutBatch struct {
	From, To int64
	Rows     int
}

// cutAll makes batches of what comes in several polls.
func cutAll(t *testing.T, rows, bytes int, polls ...stream.Batch) []cutBatch {
	t.Helper()
	l := &lane{next: 5}
	for _, p := range polls {
		l.push(p)
		u := &builder{worker: &worker{p: counting()}, rows: rows, bytes: bytes, months: true, open: l.open}
		must(t, u.include(t.Context(), l.queue))
		l.queue, l.open, l.closed = nil, u.open, append(l.closed, u.closed...)
	}
	if l.open != nil {
		l.close(counting())
	}
	var got []cutBatch
	next := int64(5)
	for _, b := range l.closed {
		if b.from != next {
			t.Errorf("a batch begins at %d, the one before ended at %d", b.from, next)
		}
		if want := token(counting(), b.tp, l.topicID, b.from, b.to); b.rows() > 0 && b.token != want {
			t.Errorf("token is %q, want %q", b.token, want)
		}
		got = append(got, cutBatch{b.from, b.to, b.rows()})
		next = b.to
	}
	return got
}

// polledBatch has records with the given numbers of rows, from an offset on, with a gap at its end.
func polledBatch(from, to int64, at time.Time, rows ...int) stream.Batch {
	b := stream.Batch{From: from, To: to}
	for i, n := range rows {
		b.Records = append(b.Records, &stream.Record{Offset: from + int64(i), Timestamp: at, Value: []byte(strings.Repeat("x", n))})
	}
	return b
}

func TestABatchEndsAtARecord(t *testing.T) {
	t.Parallel()
	now := time.Now()
	got := cutAll(t, 4, 1<<20,
		polledBatch(3, 12, now, 9, 9, 2, 2, 3, 1), // 3 and 4 are behind the lane's position; 9 to 11 are markers and gaps
		polledBatch(12, 14, now),
		polledBatch(14, 15, now, 1),
	)
	want := []cutBatch{{5, 7, 4}, {7, 12, 4}, {12, 15, 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
}

func TestABatchStaysWithinItsBytes(t *testing.T) {
	t.Parallel()
	var one table.Block
	for range 5 {
		one.Add(&table.ObjectRow{})
	}
	got := cutAll(t, 1000, one.Bytes()*3/2, polledBatch(5, 11, time.Now(), 5, 5, 5, 5, 5, 5))
	want := []cutBatch{{5, 7, 10}, {7, 9, 10}, {9, 11, 10}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
}

func TestABatchTouchesTwoMonthsAtMost(t *testing.T) {
	t.Parallel()
	var polls []stream.Batch
	for i := range int64(5) {
		polls = append(polls, polledBatch(5+i, 6+i, time.Date(2026, time.Month(i+1), 1, 0, 0, 0, 0, time.UTC), 1))
	}
	got := cutAll(t, 1000, 1<<20, polls...)
	want := []cutBatch{{5, 7, 2}, {7, 9, 2}, {9, 10, 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
}

// batchOf is a closed batch without an insert behind it.
func batchOf(from, to int64, rows int) *batch {
	b := &batch{from: from, to: to, block: &table.Block{}}
	for range rows {
		b.block.Add(&table.ObjectRow{})
	}
	b.close(counting(), [16]byte{})
	return b
}

func TestAPositionMovesBehindBatchesInOrderHoweverTheyFinish(t *testing.T) {
	t.Parallel()
	recycle := func(*batch) {}
	l := &lane{closed: []*batch{batchOf(0, 5, 1), batchOf(5, 9, 1), batchOf(9, 12, 1)}}
	l.announce()
	if len(l.sent) != ahead || len(l.closed) != 1 {
		t.Fatalf("%d batches are announced and %d wait, want %d and 1", len(l.sent), len(l.closed), ahead)
	}
	l.sent[1].done = true
	if l.finish(recycle) || l.committed != 0 {
		t.Errorf("the position is %d before the first batch is done", l.committed)
	}
	l.sent[0].done = true
	if !l.finish(recycle) || l.committed != 9 {
		t.Errorf("the position is %d, want 9", l.committed)
	}
	l.announce()
	if len(l.sent) != 1 || l.sent[0].from != 9 {
		t.Errorf("announced are %d batches", len(l.sent))
	}
}

func TestAnIntentListsBatchesInOrder(t *testing.T) {
	t.Parallel()
	p, id := counting(), [16]byte{0xab}
	tp := stream.TopicPartition{Topic: "x", Partition: 3}
	batches := []*batch{batchOf(3, 5, 2), batchOf(5, 6, 0), batchOf(6, 9, 1)}
	metadata, err := newIntent(p, id, batches)
	must(t, err)
	want := `{"v":3,"transform":7,"topic":"ab000000000000000000000000000000","batches":[` +
		`{"to":5,"rows":2,"token":"t//0/3-5/7/00000000000000000000000000000000"},{"to":6,"rows":0},` +
		`{"to":9,"rows":1,"token":"t//0/6-9/7/00000000000000000000000000000000"}]}`
	if metadata != want {
		t.Errorf("intent is\n%s, want\n%s", metadata, want)
	}
	in, ok, err := readIntent(stream.Assignment{TopicPartition: tp, Offset: 3, Metadata: metadata}, p, id)
	if err != nil || !ok || len(in.Batches) != 3 {
		t.Errorf("read back: %+v, %t, %v", in, ok, err)
	}
	if none, err := newIntent(p, id, batches[1:2]); none != "" || err != nil {
		t.Errorf("a batch without rows is announced: %q, %v", none, err)
	}
	long := strings.Repeat("t", 249)
	for _, b := range batches {
		b.token = token(p, stream.TopicPartition{Topic: long, Partition: 1 << 30}, id, 1<<60, 1<<61)
		b.joint = jointToken(p, batches)
	}
	metadata, err = newIntent(p, id, batches[:ahead])
	must(t, err)
	if len(metadata) > stream.MaxMetadataBytes {
		t.Errorf("the longest intent has %d bytes, brokers take %d", len(metadata), stream.MaxMetadataBytes)
	}
}

func TestIntentsOfFormerFormsAreReadAndThoseOfLaterOnesAreRefused(t *testing.T) {
	t.Parallel()
	p, id := counting(), [16]byte{0xab}
	want := []announced{{To: 9, Rows: 2, Token: "t/x/3/5-9/7/ab"}}
	const first = `{"v":1,"to":9,"rows":2,"transform":7,"token":"t/x/3/5-9/7/ab","topic":"ab000000000000000000000000000000"}`
	for _, row := range []struct{ name, metadata, says string }{
		{"form 1", first, ""},
		{"form 2", `{"v":2,"transform":7,"topic":"ab000000000000000000000000000000","batches":[{"to":9,"rows":2,"token":"t/x/3/5-9/7/ab"}]}`, ""},
		{"form 4", strings.Replace(first, `"v":1`, `"v":4`, 1), "has form 4, this program knows 1 to 3"},
		{"no form", strings.Replace(first, `"v":1,`, ``, 1), "has form 0"},
		{"another transform", strings.Replace(first, `"transform":7`, `"transform":8`, 1), "made by version 8 of the projection t, this program has 7"},
		{"form 2 without batches", strings.Replace(first, `"v":1`, `"v":2`, 1), "makes no sense"},
		{"form 2 that goes back", `{"v":2,"transform":7,"topic":"ab000000000000000000000000000000","batches":[{"to":9,"rows":1,"token":"x"},{"to":8,"rows":1,"token":"y"}]}`, "makes no sense"},
		{"rows without a token", strings.Replace(first, `"token":"t/x/3/5-9/7/ab",`, ``, 1), "makes no sense"},
		{"no rows and a joint insert", `{"v":3,"transform":7,"topic":"ab000000000000000000000000000000","batches":[{"to":9,"rows":0,"joint":"t/joint/ab/7"}]}`, "makes no sense"},
		{"no JSON", "done", "no intent"},
	} {
		in, ok, err := readIntent(stream.Assignment{Offset: 5, Metadata: row.metadata}, p, id)
		if row.says != "" {
			if !errors.Is(err, ErrIntent) || !strings.Contains(err.Error(), row.says) {
				t.Errorf("%s: error is %v, want one that says %q", row.name, err, row.says)
			}
			continue
		}
		if diff := cmp.Diff(want, in.Batches); diff != "" || !ok || err != nil {
			t.Errorf("%s: %t, %v, batches (-want +got):\n%s", row.name, ok, err, diff)
		}
	}
}

func TestATokenIsTheSameInEveryProcessAndDiffersByBatch(t *testing.T) {
	t.Parallel()
	p, tp, id := counting(), stream.TopicPartition{Topic: "p.events.v1", Partition: 3}, [16]byte{0xab}
	want := "t/p.events.v1/3/10-20/7/ab000000000000000000000000000000"
	if got := token(p, tp, id, 10, 20); got != want {
		t.Errorf("token is %s, want %s", got, want)
	}
	p.Version++
	if token(p, tp, id, 10, 20) == want {
		t.Error("another transform has the same token")
	}
}

// What was polled while the batch before was inserted is not announced by anything but the end of that one.
func TestABatchThatWaitedForTheOneBeforeIsClosedWhenThatIsDone(t *testing.T) {
	t.Parallel()
	tp := stream.TopicPartition{Topic: "t"}
	before := batchOf(0, 1, 1)
	l := &lane{tp: tp, sent: []*batch{before}, open: batchOf(1, 2, 1)}
	s := &session{worker: &worker{p: counting()}, lanes: map[stream.TopicPartition]*lane{tp: l}}
	s.ripen(false)
	if l.open == nil {
		t.Error("the batch was closed while the one before it was on its way")
	}
	before.done = true
	s.ripen(false)
	if l.open != nil || len(l.closed) != 1 {
		t.Error("the batch still waits for one that is done")
	}
}
