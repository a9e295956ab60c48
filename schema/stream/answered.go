package stream

// answered is the set of input offsets that outputs name as their origin. Usually it is empty above the committed
// offset; after a torn transaction it holds exactly those inputs whose outputs survived, so that they are not
// answered again while their neighbours are.
type answered struct {
	// floor: everything below is answered.
	floor int64
	// limit: offsets from here on cannot be in the set. It bounds what a forged origin can make us allocate.
	limit int64
	bits  []uint64
	count int
}

func newAnswered(floor, limit int64) *answered { return &answered{floor: floor, limit: limit} }

func (a *answered) add(offset int64) {
	if offset < a.floor || offset >= a.limit {
		return
	}
	i := offset - a.floor
	for int64(len(a.bits)) <= i/64 {
		a.bits = append(a.bits, make([]uint64, max(1, len(a.bits)))...)
	}
	if mask := uint64(1) << (i % 64); a.bits[i/64]&mask == 0 {
		a.bits[i/64] |= mask
		a.count++
	}
}

// raise lifts the floor; the set below it is no longer needed.
func (a *answered) raise(floor int64) {
	if floor <= a.floor {
		return
	}
	next := newAnswered(floor, a.limit)
	for offset := floor; offset < a.floor+int64(len(a.bits))*64; offset++ {
		if a.has(offset) {
			next.add(offset)
		}
	}
	*a = *next
}

func (a *answered) has(offset int64) bool {
	if offset < a.floor {
		return true
	}
	i := offset - a.floor
	return i/64 < int64(len(a.bits)) && a.bits[i/64]&(1<<(i%64)) != 0
}
