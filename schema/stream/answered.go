package stream

import "math/bits"

// AnsweredInputs says which inputs of a partition are answered: all below Below, and beyond it those whose bits are set:
// bit n%8 of byte n/8 is that of offset Below-Below%8+n. A handler keeps it in its checkpoint together with how far it has
// read the outputs: from there on they tell the rest.
type AnsweredInputs struct {
	Below  int64
	Beyond []byte
}

// From is what is left to say once every input below an offset is answered.
func (a AnsweredInputs) From(offset int64) AnsweredInputs {
	if offset <= a.Below {
		return a
	}
	a.Beyond = a.Beyond[min(offset/8-a.Below/8, int64(len(a.Beyond))):]
	if len(a.Beyond) == 0 {
		a.Beyond = nil
	}
	a.Below = offset
	return a
}

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

// include adds what a checkpoint says.
func (a *answered) include(in AnsweredInputs) {
	a.raise(min(in.Below, a.limit))
	for i, b := range in.Beyond {
		for ; b != 0; b &= b - 1 {
			a.add(in.Below&^7 + int64(i)*8 + int64(bits.TrailingZeros8(b)))
		}
	}
}

// inputs is the set in the form in which a checkpoint keeps it.
func (a *answered) inputs() AnsweredInputs {
	in := AnsweredInputs{Below: a.floor}
	for i, word := range a.bits {
		for ; word != 0; word &= word - 1 {
			n := a.floor%8 + int64(i)*64 + int64(bits.TrailingZeros64(word))
			for int64(len(in.Beyond)) <= n/8 {
				in.Beyond = append(in.Beyond, make([]byte, n/8+1-int64(len(in.Beyond)))...)
			}
			in.Beyond[n/8] |= 1 << (n % 8)
		}
	}
	return in
}
