package registry

import (
	"hash/maphash"
	"math/bits"
)

// fresh tells, while a store is filled for the first time, which objects are certainly not in it yet: a Bloom filter of
// those that are. Before an object is written its old state is looked up, because of the external id that it may have had.
// In a first load nearly every such look-up misses, and a miss in a large store costs a block of its last level; that was a
// third of the load's time.
//
// It answers for the records that were there when the load began and then goes: what comes later is looked up.
type fresh struct {
	seed maphash.Seed
	bits []uint64
	left int64
}

const (
	// bitsPerKey and probes make it wrong for one object of a hundred, which then is looked up in vain.
	bitsPerKey = 10
	probes     = 5
	// maxFreshBytes bounds the memory of the filter: enough for fifty million objects. Beyond it is wrong more often.
	maxFreshBytes = 64 << 20
)

// newFresh makes a filter for so many records; nil where there is nothing to load.
func newFresh(records int64) *fresh {
	if records <= 0 {
		return nil
	}
	words := min(records*bitsPerKey/64+1, maxFreshBytes/8)
	return &fresh{seed: maphash.MakeSeed(), bits: make([]uint64, words), left: records}
}

// first says that a key is certainly seen for the first time, and notes it. A nil filter never says so.
func (f *fresh) first(key []byte) bool {
	if f == nil || f.left <= 0 {
		return false
	}
	f.left--
	h := maphash.Bytes(f.seed, key)
	// Two independent halves give all probes (Kirsch and Mitzenmacher, Less Hashing, Same Performance, 2006).
	step := bits.RotateLeft64(h, 32) | 1
	total := uint64(len(f.bits)) * 64
	seen := true
	for range probes {
		at, _ := bits.Mul64(h, total)
		word, bit := at/64, uint64(1)<<(at%64)
		seen = seen && f.bits[word]&bit != 0
		f.bits[word] |= bit
		h += step
	}
	if f.left == 0 {
		f.bits = nil
	}
	return !seen
}
