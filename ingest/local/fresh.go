package local

import (
	"hash/maphash"
	"math/bits"
)

// Fresh tells, while a store is filled for the first time, which keys are certainly not in it yet: a Bloom filter of those
// that are. Whoever writes an entry often looks first at what is there. In a first load nearly every such look-up misses,
// and a miss in a large store costs a block of its last level; that was a third of the time of a load of the registry.
//
// It answers for as many keys as it was made for, which are those that were in the log when the load began; what comes
// later is looked up. It is used from one goroutine.
type Fresh struct {
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

// NewFresh makes a filter for so many keys; nil where there is nothing to load.
func NewFresh(keys int64) *Fresh {
	if keys <= 0 {
		return nil
	}
	words := min(keys*bitsPerKey/64+1, maxFreshBytes/8)
	return &Fresh{seed: maphash.MakeSeed(), bits: make([]uint64, words), left: keys}
}

// First says that a key is certainly seen for the first time, and notes it. A nil filter never says so.
func (f *Fresh) First(key []byte) bool {
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
