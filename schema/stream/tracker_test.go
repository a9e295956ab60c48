package stream

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// modelLog is a partition for the model: which offsets carry records.
type modelLog []bool

func TestTheTrackerForgetsAndInventsNothingAcrossRestarts(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		log := make(modelLog, 400)
		for i := range log {
			log[i] = r.IntN(5) > 0 // one in five is a marker or a gap
		}
		finished := map[int64]int{}
		committed := Commit{}
		for at := 0; at < len(log); {
			tr, err := newTracker(committed.Offset, committed.Metadata)
			if err != nil {
				t.Fatal(err)
			}
			at = int(committed.Offset)
			var open []int64
			for steps := r.IntN(120); steps > 0 || at >= len(log) && len(open) > 0; steps-- {
				if at < len(log) && r.IntN(2) == 0 {
					switch {
					case log[at]:
						if tr.poll(int64(at)) {
							open = append(open, int64(at))
						}
					case r.IntN(2) == 0:
						tr.skip(int64(at))
					}
					at++
					continue
				}
				done := map[int64]struct{}{}
				for range r.IntN(4) {
					if len(open) == 0 {
						break
					}
					i := r.IntN(len(open))
					done[open[i]] = struct{}{}
					open = slices.Delete(open, i, i+1)
				}
				committed = tr.position(done)
				for o := range done {
					tr.finish(o)
					finished[o]++
				}
				if again := tr.position(nil); again != committed {
					t.Fatalf("seed %d: committed %v, then %v", seed, committed, again)
				}
			}
		}
		for o, carries := range log {
			want := 0
			if carries {
				want = 1
			}
			if finished[int64(o)] != want {
				t.Fatalf("seed %d: offset %d was finished %d times, want %d", seed, o, finished[int64(o)], want)
			}
		}
	}
}

func TestATrackerHandsOutNoMoreThanItCanRemember(t *testing.T) {
	t.Parallel()
	tr, err := newTracker(100, "")
	if err != nil {
		t.Fatal(err)
	}
	last := 100 + maxSlots - 1
	for o := int64(100); o <= last; o++ {
		if !tr.fits(o) || !tr.poll(o) {
			t.Fatalf("offset %d is refused", o)
		}
	}
	if tr.fits(last + 1) {
		t.Error("an offset beyond the bitmap fits")
	}
	for o := int64(101); o <= last; o++ {
		tr.finish(o)
	}
	got := tr.position(nil)
	if got.Offset != 100 || len(got.Metadata) > MaxMetadataBytes {
		t.Fatalf("position %d with %d bytes", got.Offset, len(got.Metadata))
	}
	if tr, err = newTracker(got.Offset, got.Metadata); err != nil {
		t.Fatal(err)
	}
	for o := int64(100); o <= last; o++ {
		if fresh := tr.poll(o); fresh != (o == 100) {
			t.Fatalf("offset %d: new is %t", o, fresh)
		}
	}
}

func TestATrackerTakesOverWhatItsProcessStillWorksOn(t *testing.T) {
	t.Parallel()
	before, err := newTracker(10, "")
	if err != nil {
		t.Fatal(err)
	}
	for o := int64(10); o < 16; o++ {
		before.poll(o)
	}
	before.finish(12)
	at := before.position(nil)
	after, err := newTracker(at.Offset, at.Metadata)
	if err != nil {
		t.Fatal(err)
	}
	if after.keep(12) || after.keep(9) {
		t.Error("what is finished is worked on again")
	}
	if !after.keep(14) || !after.keep(11) {
		t.Error("what is not finished is given up")
	}
	done := map[int64]struct{}{14: {}}
	got := after.position(done)
	after.finish(14)
	if again := after.position(nil); again != got || got.Offset != 10 {
		t.Errorf("position %v, then %v", got, again)
	}
	var fresh []int64
	for o := int64(10); o < 18; o++ {
		if after.poll(o) {
			fresh = append(fresh, o)
		}
	}
	if want := []int64{10, 13, 15, 16, 17}; !slices.Equal(fresh, want) {
		t.Errorf("handed out %v, want %v", fresh, want)
	}
}

func TestMetadataOfAnotherFormIsNotTakenForATracker(t *testing.T) {
	t.Parallel()
	for _, metadata := range []string{"member-1", "2:AAAA", "1:*"} {
		if tr, err := newTracker(5, metadata); err == nil || !tr.poll(5) {
			t.Errorf("%s: %v", metadata, err)
		}
	}
}
