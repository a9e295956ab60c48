package wallboard

import (
	"cmp"
	"math"
	"slices"
)

// blockPoints is how many points a block has before it is halved. A question looks at every block's totals and at the
// points of two blocks, an addition moves the points of one: at 10,000 points both are some hundred steps.
const blockPoints = 128

// point is what happened at an instant.
type point struct {
	at     int64 // epoch milliseconds
	n, sum int64
}

// block is a run of points, with what they come to.
type block struct {
	points []point
	n, sum int64
	// peak is the greatest running total of n behind any of the points, counted from the block's beginning.
	peak int64
}

func (b *block) total() {
	b.n, b.sum, b.peak = 0, 0, math.MinInt64
	for _, p := range b.points {
		b.n += p.n
		b.sum += p.sum
		b.peak = max(b.peak, b.n)
	}
}

// series adds numbers at instants, in any order of time, and answers for any span: how many, how much, and how high the
// running total stood. Numbers of one instant are added up before the total counts, so that whoever leaves at an instant
// makes room for who comes at it, and a stay of no length does not count.
type series struct {
	blocks []*block
	// horizon is the instant before which points are no longer kept apart, and base what they came to.
	horizon, base int64
}

// add notes n and sum at an instant.
func (s *series) add(at, n, sum int64) {
	if at < s.horizon {
		s.base += n
		return
	}
	// The last block that begins at the instant or before it takes the point.
	i, found := slices.BinarySearchFunc(s.blocks, at, func(b *block, at int64) int { return cmp.Compare(b.points[0].at, at) })
	if !found {
		i = max(i-1, 0)
	}
	if len(s.blocks) == 0 {
		s.blocks = append(s.blocks, &block{})
	}
	b := s.blocks[i]
	j, found := slices.BinarySearchFunc(b.points, at, func(p point, at int64) int { return cmp.Compare(p.at, at) })
	if found {
		b.points[j].n += n
		b.points[j].sum += sum
	} else {
		b.points = slices.Insert(b.points, j, point{at, n, sum})
	}
	if len(b.points) > blockPoints {
		half := &block{points: slices.Clone(b.points[blockPoints/2:])}
		b.points = slices.Clip(b.points[:blockPoints/2])
		half.total()
		s.blocks = slices.Insert(s.blocks, i+1, half)
	}
	b.total()
}

// forget folds everything before an instant into the base. The horizon never goes back.
func (s *series) forget(before int64) {
	if before <= s.horizon {
		return
	}
	s.horizon = before
	gone := 0
	for _, b := range s.blocks {
		keep, _ := slices.BinarySearchFunc(b.points, before, func(p point, at int64) int { return cmp.Compare(p.at, at) })
		for _, p := range b.points[:keep] {
			s.base += p.n
		}
		if keep < len(b.points) {
			if keep > 0 {
				b.points = slices.Clone(b.points[keep:])
				b.total()
			}
			break
		}
		gone++
	}
	s.blocks = slices.Clone(s.blocks[gone:])
}

// idle says that nothing is left but the horizon.
func (s *series) idle() bool { return len(s.blocks) == 0 && s.base == 0 }

// total adds up from an instant to another, which is not part of it.
func (s *series) total(from, to int64) (n, sum int64) {
	for _, b := range s.blocks {
		first, last := b.points[0].at, b.points[len(b.points)-1].at
		switch {
		case last < from:
		case first >= to:
			return n, sum
		case first >= from && last < to:
			n += b.n
			sum += b.sum
		default:
			for _, p := range b.points {
				if p.at >= from && p.at < to {
					n += p.n
					sum += p.sum
				}
			}
		}
	}
	return n, sum
}

// peak is the greatest running total of n at any time from an instant to another, which is not part of it: at the least
// what it was when the span began.
func (s *series) peak(from, to int64) int64 {
	running, peak, begun := s.base, int64(0), false
	begin := func() {
		if !begun {
			begun, peak = true, running
		}
	}
	for _, b := range s.blocks {
		first, last := b.points[0].at, b.points[len(b.points)-1].at
		switch {
		case last < from:
			running += b.n
		case first >= to:
			begin()
			return peak
		case first > from && last < to:
			begin()
			peak = max(peak, running+b.peak)
			running += b.n
		default:
			for _, p := range b.points {
				if p.at >= to {
					break
				}
				// A point at the very beginning is part of what the span begins with.
				if p.at > from {
					begin()
				}
				running += p.n
				if p.at > from {
					peak = max(peak, running)
				}
			}
		}
	}
	begin()
	return peak
}
