package projector

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/stream"
)

// counting is a projection that gives as many rows of ten bytes as a record's value is long.
func counting() projections.Projection {
	return projections.Projection{
		Table: "t", Version: 7,
		Transform: func(_ context.Context, rec projections.Record, _ projections.Opener) ([]projections.Row, error) {
			rows := make([]projections.Row, len(rec.Value))
			for i := range rows {
				rows[i] = projections.Row{Offset: rec.Offset, Index: int32(i), StoredAt: rec.Timestamp, Bytes: 10}
			}
			return rows, nil
		},
	}
}

type cutBatch struct {
	From, To int64
	Rows     int
}

// cutAll cuts a lane until nothing is left.
func cutAll(t *testing.T, l *lane, bounds func() *budget) []cutBatch {
	t.Helper()
	s := &session{worker: &worker{p: counting()}}
	var got []cutBatch
	for len(l.queue) > 0 {
		b, err := s.cut(t.Context(), l, bounds())
		must(t, err)
		if b.from == b.to {
			t.Fatalf("batch is empty at offset %d", b.from)
		}
		got = append(got, cutBatch{b.from, b.to, len(b.rows)})
	}
	return got
}

// polled is a polled batch whose records have the given numbers of rows, from an offset on, with a gap at its end.
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
	l := &lane{next: 5}
	l.push(polledBatch(3, 12, now, 9, 9, 2, 2, 3, 1))
	l.push(polledBatch(12, 14, now))
	got := cutAll(t, l, func() *budget { return &budget{rows: 4, bytes: 1 << 20} })
	// Offsets 3 and 4 are behind the lane's position; 9 to 13 are markers and gaps.
	want := []cutBatch{{5, 7, 4}, {7, 14, 4}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
}

func TestABatchStaysWithinItsBytes(t *testing.T) {
	t.Parallel()
	l := &lane{}
	l.push(polledBatch(0, 6, time.Now(), 5, 5, 5, 5, 5, 5))
	got := cutAll(t, l, func() *budget { return &budget{rows: 1000, bytes: 100} })
	want := []cutBatch{{0, 2, 10}, {2, 4, 10}, {4, 6, 10}} // 55 bytes a record
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
}

func TestABatchTouchesTwoMonthsAtMost(t *testing.T) {
	t.Parallel()
	l := &lane{}
	for i := range int64(5) {
		l.push(polledBatch(i, i+1, time.Date(2026, time.Month(i+1), 1, 0, 0, 0, 0, time.UTC), 1))
	}
	got := cutAll(t, l, func() *budget { return &budget{rows: 1000, bytes: 1 << 20} })
	want := []cutBatch{{0, 2, 2}, {2, 4, 2}, {4, 5, 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
}

func TestTheCommitThatFinishesABatchCarriesTheIntentOfTheNext(t *testing.T) {
	t.Parallel()
	a, b, c := stream.TopicPartition{Partition: 0}, stream.TopicPartition{Partition: 1}, stream.TopicPartition{Partition: 2}
	done := []*batch{{tp: a, from: 0, to: 5, intent: "a1"}, {tp: b, from: 0, to: 3, intent: "b1"}}
	next := []*batch{{tp: a, from: 5, to: 9, intent: "a2"}, {tp: c, from: 7, to: 8, intent: "c1"}}
	want := map[stream.TopicPartition]stream.Commit{
		a: {Offset: 5, Metadata: "a2"}, b: {Offset: 3}, c: {Offset: 7, Metadata: "c1"},
	}
	if diff := cmp.Diff(want, finished(done, next)); diff != "" {
		t.Errorf("commits (-want +got):\n%s", diff)
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
