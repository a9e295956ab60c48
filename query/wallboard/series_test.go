package wallboard

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// naive is a series that is looked at point by point.
type naive []point

func (n naive) total(from, to int64) (count, sum int64) {
	for _, p := range n {
		if p.at >= from && p.at < to {
			count += p.n
			sum += p.sum
		}
	}
	return count, sum
}

func (n naive) peak(from, to int64) int64 {
	at := func(instant int64) int64 {
		var total int64
		for _, p := range n {
			if p.at <= instant {
				total += p.n
			}
		}
		return total
	}
	peak := at(from)
	for _, p := range n {
		if p.at > from && p.at < to {
			peak = max(peak, at(p.at))
		}
	}
	return peak
}

func TestSeriesAnswersLikeASlowOne(t *testing.T) {
	t.Parallel()
	for seed := range uint64(9) {
		r := rand.New(rand.NewPCG(seed, 1))
		var fast series
		var slow naive
		span := []int64{50, 5000, 1_000_000}[seed%3]
		for i := range 900 {
			at, n, sum := r.Int64N(span), r.Int64N(3)-1, r.Int64N(100)
			fast.add(at, n, sum)
			slow = append(slow, point{at, n, sum})
			if i%300 != 0 {
				continue
			}
			for range 5 {
				from := r.Int64N(span)
				to := from + 1 + r.Int64N(span)
				gotN, gotSum := fast.total(from, to)
				wantN, wantSum := slow.total(from, to)
				if gotN != wantN || gotSum != wantSum {
					t.Fatalf("seed %d: total from %d to %d is %d, %d, want %d, %d", seed, from, to, gotN, gotSum, wantN, wantSum)
				}
				if got, want := fast.peak(from, to), slow.peak(from, to); got != want {
					t.Fatalf("seed %d: peak from %d to %d is %d, want %d", seed, from, to, got, want)
				}
			}
		}
	}
}

func TestSeriesForgetsWithoutChangingWhatComesLater(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	var fast series
	var slow naive
	const span = 100_000
	for range 5000 {
		at, n := r.Int64N(span), r.Int64N(3)-1
		fast.add(at, n, 1)
		slow = append(slow, point{at, n, 1})
	}
	kept := len(fast.blocks)
	for _, before := range []int64{10, 30_000, 20_000, 70_000} {
		fast.forget(before)
		late := point{before - 5, 1, 1}
		fast.add(late.at, late.n, late.sum)
		slow = append(slow, late)
		horizon := fast.horizon
		for range 50 {
			from := horizon + r.Int64N(span-horizon)
			to := from + 1 + r.Int64N(span)
			if got, want := fast.peak(from, to), slow.peak(from, to); got != want {
				t.Fatalf("forgotten before %d: peak from %d to %d is %d, want %d", before, from, to, got, want)
			}
		}
	}
	if len(fast.blocks) >= kept/2 {
		t.Errorf("%d of %d blocks are still there", len(fast.blocks), kept)
	}
	fast.forget(span)
	if len(fast.blocks) != 0 {
		t.Error("points are kept beyond the horizon")
	}
}

func TestWhoLeavesAtAnInstantMakesRoomForWhoComesAtIt(t *testing.T) {
	t.Parallel()
	var s series
	for _, p := range []point{{10, 1, 0}, {20, 1, 0}, {20, -1, 0}, {30, 1, 0}, {30, -1, 0}, {40, -1, 0}} {
		s.add(p.at, p.n, p.sum)
	}
	if got := s.peak(0, 100); got != 1 {
		t.Errorf("peak is %d, want 1", got)
	}
	if got := s.peak(0, 10); got != 0 {
		t.Errorf("peak before anybody came is %d, want 0", got)
	}
	if got := s.peak(15, 16); got != 1 {
		t.Errorf("peak of a span in which nobody moves is %d, want 1", got)
	}
}

func BenchmarkSeriesOfADay(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	at := make([]int64, 100_000)
	for i := range at {
		at[i] = r.Int64N(86_400_000)
	}
	slices.Sort(at[:len(at)/2])
	for b.Loop() {
		var s series
		for i, t := range at {
			s.add(t, int64(1-2*(i%2)), 0)
		}
		if s.peak(0, 86_400_000) < 1 {
			b.Fatal("no peak")
		}
	}
}
