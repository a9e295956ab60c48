package dispatcher

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest/golden"
	"github.com/throughline/throughline/schema/seal"
)

// wrappedKey is the value of a new data key's record.
func wrappedKey(t *testing.T, m *seal.Master, id string) []byte {
	t.Helper()
	rec, _, err := m.NewKey("acme", object.Ref{Type: object.Customer, ID: id}, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	value, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestAKeyringForgetsKeysThatNobodyUses(t *testing.T) {
	t.Parallel()
	m, err := seal.ParseMaster(golden.MasterKey)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_000_000, 0)
	ring := newKeyring(m, func() time.Time { return now })
	used, unused := wrappedKey(t, m, "used"), wrappedKey(t, m, "unused")
	for _, value := range [][]byte{used, unused} {
		key, err := ring.open(value)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ring.open(value); err != nil || again != key {
			t.Errorf("the key was unwrapped twice, %v", err)
		}
	}
	for range 5 {
		now = now.Add(keyringTime)
		if ring.kept(used) == nil {
			t.Error("a key that is used was forgotten")
		}
	}
	if ring.kept(unused) != nil {
		t.Error("a key that nobody uses is kept")
	}
	now = now.Add(2 * keyringTime)
	if ring.kept(used) != nil {
		t.Error("a key that nobody used for long is kept")
	}
}

func TestAKeyringKeepsNoMoreThanItMay(t *testing.T) {
	t.Parallel()
	m, err := seal.ParseMaster(golden.MasterKey)
	if err != nil {
		t.Fatal(err)
	}
	ring := newKeyring(m, time.Now)
	for i := range 2*keyringSize + 10 {
		if _, err := ring.open(wrappedKey(t, m, strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(ring.young) + len(ring.old); n > 2*keyringSize {
		t.Errorf("%d keys are kept, want at most %d", n, 2*keyringSize)
	}
	if _, err := ring.open([]byte(`{"v":1}`)); err == nil {
		t.Error("a record of no key was opened")
	}
}
