package stream

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnsweredHoldsExactlyWhatWasAdded(t *testing.T) {
	t.Parallel()
	a := newAnswered(100, 1000)
	for _, o := range []int64{50, 100, 163, 164, 700, 999, 1000, 1 << 60} {
		a.add(o)
	}
	for o := int64(90); o < 1010; o++ {
		want := o < 100 || o == 100 || o == 163 || o == 164 || o == 700 || o == 999
		if a.has(o) != want {
			t.Errorf("has(%d) = %t", o, a.has(o))
		}
	}
	a.raise(164)
	for o := int64(90); o < 1010; o++ {
		want := o < 164 || o == 164 || o == 700 || o == 999
		if a.has(o) != want {
			t.Errorf("after raise: has(%d) = %t", o, a.has(o))
		}
	}
	a.raise(10)
	if a.floor != 164 || a.count != 3 {
		t.Errorf("floor %d and %d members, want 164 and 3", a.floor, a.count)
	}
}

func TestAnsweredInputsSurviveTheirCheckpoint(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 7))
	for floor := int64(96); floor < 112; floor++ {
		const limit = 400
		before := newAnswered(floor, limit)
		for range 60 {
			before.add(random.Int64N(500))
		}
		in := before.inputs()
		// The group has come further than the checkpoint, or a handler that commits has.
		for at := floor - 20; at < limit; at += 1 + random.Int64N(9) {
			later, after := newAnswered(at, limit), newAnswered(floor, limit)
			later.include(in)
			after.include(in.From(at))
			want := newAnswered(floor, limit)
			*want = answered{floor: before.floor, limit: before.limit, bits: append([]uint64(nil), before.bits...), count: before.count}
			want.raise(min(at, limit))
			for o := int64(80); o < 420; o++ {
				if got := later.has(o); got != want.has(o) {
					t.Fatalf("floor %d, group at %d: has(%d) = %t", floor, at, o, got)
				}
				if got := after.has(o); got != want.has(o) {
					t.Fatalf("floor %d, raised to %d: has(%d) = %t", floor, at, o, got)
				}
			}
		}
	}
	if diff := cmp.Diff(AnsweredInputs{Below: 77}, newAnswered(77, 100).inputs()); diff != "" {
		t.Errorf("with nothing beyond (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(AnsweredInputs{Below: 90}, AnsweredInputs{Below: 77, Beyond: []byte{0x20}}.From(90)); diff != "" {
		t.Errorf("with nothing left (-want +got):\n%s", diff)
	}
}

func TestAnsweredInputsAreBelievedAsFarAsThereAreInputs(t *testing.T) {
	t.Parallel()
	a := newAnswered(5, 20)
	a.include(AnsweredInputs{Below: 1 << 40, Beyond: []byte{255, 255}})
	if a.floor != 20 || a.count != 0 {
		t.Errorf("floor %d and %d members, want 20 and none", a.floor, a.count)
	}
}
