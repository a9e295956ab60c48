package stream

import "testing"

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
