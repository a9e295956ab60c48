package link

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/ingest/local"
	"github.com/throughline/throughline/schema/stream"
)

// held is what the store has, by identity; it fails the test where the second order has something else.
func held(t *testing.T, w *window) map[identity]seen {
	t.Helper()
	all, byTime := map[identity]seen{}, map[identity]time.Time{}
	for _, space := range []byte{spaceEntry, spaceTime} {
		it, err := w.db.NewIter(&pebble.IterOptions{LowerBound: prefix(space, 0), UpperBound: prefix(space, 1)})
		if err != nil {
			t.Fatal(err)
		}
		for it.First(); it.Valid(); it.Next() {
			if space == spaceEntry {
				all[identity(it.Key()[5:])] = decodeSeen(it.Value())
				continue
			}
			at, id := decodeTimeKey(it.Key())
			if _, twice := byTime[id]; twice {
				t.Errorf("identity %x stands under two times", id)
			}
			byTime[id] = at
		}
		if err := it.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for id, s := range all {
		if !byTime[id].Equal(s.at) {
			t.Errorf("identity %x was received at %s and stands under %s", id, s.at, byTime[id])
		}
	}
	if len(byTime) != len(all) || w.parts[0].checkpoint.Entries != len(all) {
		t.Errorf("%d entries, %d by time, %d counted", len(all), len(byTime), w.parts[0].checkpoint.Entries)
	}
	return all
}

// TestALoadLeavesWhatAddingOneByOneLeaves compares the two ways of filling a window, with repeats inside and outside of a
// day, in any batches, with and without something in the store.
func TestALoadLeavesWhatAddingOneByOneLeaves(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 2))
	for round := range 10 {
		bulk, _ := openWindow(t, t.TempDir(), 150)
		single, _ := openWindow(t, t.TempDir(), 150)
		const events = 600
		if round%2 == 0 {
			bulk.parts[0].fresh = local.NewFresh(events)
		}
		at := noon()
		for done := 0; done < events; {
			batch := make([]replayed, 1+random.IntN(100))
			for i := range batch {
				at = at.Add(time.Duration(random.IntN(20)) * time.Minute)
				received := at.Add(-time.Duration(random.IntN(60)) * time.Minute)
				batch[i] = replayed{id: one(random.IntN(200)), at: received.UnixMilli(), digest: [16]byte{byte(random.IntN(256))}}
			}
			done += len(batch)
			if err := bulk.load(0, batch, func(c *checkpoint) { c.Events = int64(done) }); err != nil {
				t.Fatal(err)
			}
			for i := range batch {
				s := batch[i].seen()
				c, known, err := single.look(0, batch[i].id)
				if err != nil {
					t.Fatal(err)
				}
				if !known || !c.covers(s.at) {
					single.put(0, batch[i].id, c, s)
				}
				single.observe(0, s.at)
			}
			if err := single.commit(0, func(c *checkpoint) { c.Events = int64(done) }); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(held(t, single), held(t, bulk), cmp.AllowUnexported(seen{})); diff != "" {
				t.Fatalf("round %d, after %d events (-one by one +load):\n%s", round, done, diff)
			}
			got, want := bulk.parts[0].checkpoint, single.parts[0].checkpoint
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("round %d, checkpoint (-one by one +load):\n%s", round, diff)
			}
		}
	}
}

// TestALoadDropsAllThatIsTooMuch has more to drop than a transaction drops at once.
func TestALoadDropsAllThatIsTooMuch(t *testing.T) {
	t.Parallel()
	w, _ := openWindow(t, t.TempDir(), 100)
	const events = maxEvictions + 500
	batch := make([]replayed, events)
	for i := range batch {
		batch[i] = replayed{id: one(i), at: noon().Add(time.Duration(i) * time.Millisecond).UnixMilli()}
	}
	if err := w.load(0, batch, func(*checkpoint) {}); err != nil {
		t.Fatal(err)
	}
	if n := len(held(t, w)); n != 100 || !has(t, w, one(events-1)) || has(t, w, one(events-101)) {
		t.Errorf("%d entries are left, want the last 100", n)
	}
}

func TestACheckpointMovesOverOutputsOnlyWithWhatTheyAnswer(t *testing.T) {
	t.Parallel()
	c := checkpoint{Input: 10, Events: 100, Rejections: 50}
	c.move(stream.AnsweredInputs{Below: 20, Beyond: []byte{0, 3}}, 200, 60)
	want := checkpoint{Input: 20, Beyond: []byte{0, 3}, Events: 200, Rejections: 60}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("after a move (-want +got):\n%s", diff)
	}
	c.move(stream.AnsweredInputs{Below: 24, Beyond: make([]byte, maxBeyond+1)}, 300, 70)
	want = checkpoint{Input: 24, Beyond: []byte{3}, Events: 200, Rejections: 60}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("with more than it may say (-want +got):\n%s", diff)
	}
	c.move(stream.AnsweredInputs{Below: 40}, 300, 0)
	want = checkpoint{Input: 40, Events: 300, Rejections: 60}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("with nothing beyond (-want +got):\n%s", diff)
	}
}
