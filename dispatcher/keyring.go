package dispatcher

import (
	"sync"
	"time"

	"github.com/throughline/throughline/schema/seal"
)

// Bounds of what a keyring keeps: twice as many keys, for twice as long at most.
const (
	keyringSize = 5000
	keyringTime = 5 * time.Minute
)

// keyring keeps data keys that were unwrapped, by the records that they are wrapped in. Whoever asks has just found the
// record in the view, so that a key which is kept here and was erased is of no use to anybody, and it is forgotten soon.
//
// It has two generations. A key that is used goes to the young one; when that is full, or has its age, it becomes the old
// one, and what was old and not used since is forgotten.
type keyring struct {
	master *seal.Master
	now    func() time.Time

	mu         sync.Mutex
	young, old map[string]*seal.DataKey
	since      time.Time
}

func newKeyring(master *seal.Master, now func() time.Time) *keyring {
	return &keyring{master: master, now: now, young: map[string]*seal.DataKey{}, since: now()}
}

// open unwraps the data key in a record's value.
func (k *keyring) open(value []byte) (*seal.DataKey, error) {
	if key := k.kept(value); key != nil {
		return key, nil
	}
	rec, err := seal.ParseKeyRecord(value)
	if err != nil {
		return nil, err
	}
	key, err := k.master.Unwrap(rec)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.young[string(value)] = key
	return key, nil
}

func (k *keyring) kept(value []byte) *seal.DataKey {
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if age := now.Sub(k.since); len(k.young) >= keyringSize || age >= keyringTime {
		k.old, k.young, k.since = k.young, map[string]*seal.DataKey{}, now
		if age >= 2*keyringTime {
			k.old = nil
		}
	}
	key := k.young[string(value)]
	if key == nil {
		if key = k.old[string(value)]; key != nil {
			k.young[string(value)] = key
		}
	}
	return key
}
