package projector

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
)

// jointly leaves one batch of ten records in each of some partitions, all announced as one insert.
func (w *world) jointly(t *testing.T, p projections.Projection, partitions []int, of int) (batches []*batch, k *sink, rows int) {
	t.Helper()
	const n = 10
	for _, partition := range partitions {
		recs, each := w.recordsFor(t, p, partition, of, n)
		var pending []*batch
		pending, k = w.pendingIn(t, p, nil, recs)
		batches = append(batches, pending...)
		rows += each * n
	}
	name := jointToken(p, batches)
	for _, b := range batches {
		b.joint = name
		metadata, err := newIntent(p, w.topicID(t, b.tp.Topic), []*batch{b})
		must(t, err)
		w.commit(t, table.Group(p.Table), b.tp, b.from, metadata)
	}
	return batches, k, rows
}

// whole sends batches as the insert as which they were announced.
func (k *sink) whole(ctx context.Context, batches []*batch) error {
	blocks := make([]*table.Block, len(batches))
	for i, b := range batches {
		blocks[i] = b.block
	}
	return k.send(ctx, "late/"+batches[0].joint, batches[0].joint, blocks...)
}

// TestEveryTableCompletesAJointInsertOfADeadOwner leaves three inserts of three partitions each: one of which nothing is
// there, one that is there, and one of which another owner has taken one partition over. Afterwards the dead owner turns out
// to have been slow, and sends all of them.
func TestEveryTableCompletesAJointInsertOfADeadOwner(t *testing.T) {
	t.Parallel()
	for _, p := range projections.All() {
		t.Run(p.Table, func(t *testing.T) {
			t.Parallel()
			const partitions, n = 9, 10
			w := newWorld(t, partitions)
			absent, _, rows := w.jointly(t, p, []int{0, 1, 2}, partitions)
			there, k, more := w.jointly(t, p, []int{3, 4, 5}, partitions)
			shared, _, most := w.jointly(t, p, []int{6, 7, 8}, partitions)
			rows += more + most
			must(t, k.putTogether(t.Context(), there))
			must(t, k.put(t.Context(), shared[1], false))
			right := func() {
				t.Helper()
				if !p.Replacing {
					w.exact(t, p.Table, rows)
				} else if found := w.count(t, fmt.Sprintf("SELECT countIf(_offset = %d) FROM %s FINAL", n-1, p.Table)); found != partitions {
					t.Errorf("%d objects are in their latest state, want %d", found, partitions)
				}
			}
			w.start(t, w.config())
			w.caughtUp(t)
			right()
			for _, late := range [][]*batch{absent, there, shared} {
				must(t, k.whole(t.Context(), late))
			}
			right()
		})
	}
}

// TestOwnersOfPartsOfAJointInsertDoubleNothingBesideEachOther is every owner that there can be, at the same time: the one that
// announced the insert and sends it again and again, and those that take its partitions over, some of them twice.
func TestOwnersOfPartsOfAJointInsertDoubleNothingBesideEachOther(t *testing.T) {
	t.Parallel()
	const partitions = 6
	w := newWorld(t, partitions)
	batches, k, rows := w.jointly(t, projections.Timeline(), []int{0, 1, 2, 3, 4, 5}, partitions)
	must(t, k.put(t.Context(), batches[0], false))
	owners, ctx := errgroup.WithContext(t.Context())
	for range 3 {
		order := rand.Perm(partitions)
		owners.Go(func() error {
			for _, i := range order {
				if err := k.put(ctx, batches[i], false); err != nil {
					return err
				}
			}
			return nil
		})
	}
	owners.Go(func() error {
		for range 5 {
			// A try that the others stop, or whose place they have, has failed, as it may.
			if err := k.whole(ctx, batches); err != nil && !retryable(err) {
				return err
			}
		}
		return nil
	})
	must(t, owners.Wait())
	w.exact(t, table.Timeline, rows)
}

// TestAJointInsertThatFailsIsCompletedBatchByBatch has no connection for the first try, and one for what comes after it.
func TestAJointInsertThatFailsIsCompletedBatchByBatch(t *testing.T) {
	t.Parallel()
	const partitions = 3
	w := newWorld(t, partitions)
	batches, k, rows := w.jointly(t, projections.Timeline(), []int{0, 1, 2}, partitions)
	behind, between := w.behindGate(t)
	broken := *k
	broken.conn = behind.conn
	between.shut()
	done := make(chan error, 1)
	go func() { done <- broken.putTogether(t.Context(), batches) }()
	w.eventually(t, "the insert did not fail", func() bool { return between.refusedAny() })
	between.open()
	must(t, <-done)
	w.exact(t, table.Timeline, rows)
	must(t, k.whole(t.Context(), batches))
	w.exact(t, table.Timeline, rows)
}

// TestPartitionsShareTheInsertsOfATable counts the parts that are made of a few records in each of many partitions.
func TestPartitionsShareTheInsertsOfATable(t *testing.T) {
	t.Parallel()
	const partitions, n = 12, 5
	w := newWorld(t, partitions)
	must(t, w.conn.Exec(t.Context(), "SYSTEM STOP MERGES timeline"))
	var recs []*stream.Record
	for partition := range partitions {
		s := w.subject(t, w.idIn(t, object.Customer, partition, partitions))
		for i := range n {
			recs = append(recs, w.event(t, s, fmt.Sprint("e", i), time.Now()))
		}
	}
	w.put(t, recs...)
	cfg := w.config()
	cfg.BatchAge = 5 * time.Second
	w.start(t, cfg)
	w.caughtUp(t)
	w.exact(t, table.Timeline, 2*n*partitions)
	parts := w.count(t, "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'timeline' AND active")
	if parts > partitions/2 {
		t.Errorf("%d inserts for a few records in each of %d partitions", parts, partitions)
	}
}

func TestBatchesAreJoinedWithinTheBoundsOfOne(t *testing.T) {
	t.Parallel()
	july, august := []int{202607}, []int{202608}
	of := func(partition int32, from int64, rows int, months []int) *batch {
		b := batchOf(from, from+1, rows)
		b.tp.Partition, b.months = partition, months
		b.token = token(counting(), b.tp, [16]byte{}, b.from, b.to)
		return b
	}
	w := &worker{p: counting(), cfg: Config{BatchRows: 10, BatchBytes: 1 << 20}}
	inserts := w.join([]*batch{
		of(2, 0, 4, july), of(1, 1, 4, july), of(1, 0, 4, july), of(3, 0, 0, nil), of(4, 0, 2, july), of(5, 0, 1, august), of(6, 0, 12, august),
	})
	var got [][]int32
	for _, batches := range inserts {
		var places []int32
		for _, b := range batches {
			places = append(places, b.tp.Partition)
			if (b.joint != "") != (len(batches) > 1) || b.joint != batches[0].joint {
				t.Errorf("a batch of partition %d among %d has the joint token %q", b.tp.Partition, len(batches), b.joint)
			}
		}
		got = append(got, places)
	}
	slices.SortFunc(got, slices.Compare)
	if diff := cmp.Diff([][]int32{{1, 1}, {2, 4}, {3}, {5}, {6}}, got); diff != "" {
		t.Errorf("partitions of the inserts (-want +got):\n%s", diff)
	}
}
