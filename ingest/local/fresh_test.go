package local

import (
	"fmt"
	"testing"
)

func TestFreshNeverForgetsAKey(t *testing.T) {
	t.Parallel()
	const keys = 10_000
	f := NewFresh(3 * keys)
	unsure := 0
	key := func(i int) []byte { return fmt.Appendf(nil, "key %d", i) }
	for i := range keys {
		if !f.First(key(i)) {
			unsure++
		}
	}
	if unsure > keys/50 {
		t.Errorf("%d of %d new keys were taken for known ones", unsure, keys)
	}
	for i := range keys {
		if f.First(key(i)) {
			t.Fatalf("key %d was taken for a new one", i)
		}
	}
	// The rest of what it was made for.
	for i := range keys {
		f.First(key(keys + i))
	}
	if f.First(key(4 * keys)) {
		t.Error("it answers for more than what it was made for")
	}
	if NewFresh(0).First(key(0)) {
		t.Error("without a load a key was taken for a new one")
	}
}
