package access

import (
	"sync"

	"github.com/throughline/throughline/schema/workspace"
)

// maxKnown bounds the keys that are remembered; with more in use the memory starts anew now and then.
const maxKnown = 1 << 14

// holder is whose key a secret is.
type holder struct {
	key       *workspace.APIKey
	workspace *workspace.Workspace
}

// known remembers the holders of secrets, by their hashes: every request asks, and reading the answer from the store
// takes as long as the rest of a small request. What it remembers holds as long as the view stands where it stood, so
// one record of the topic empties it, and a deleted key is refused as soon as the view has its tombstone. Only keys that
// are there are remembered, so nobody can fill it with inventions.
type known struct {
	mu      sync.RWMutex
	at      int64
	holders map[string]holder
}

func newKnown() *known { return &known{holders: map[string]holder{}} }

// get is the holder of a hash, if it is known for a view that stands at this offset.
func (k *known) get(at int64, hash string) (holder, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.at != at {
		return holder{}, false
	}
	h, ok := k.holders[hash]
	return h, ok
}

// put remembers what was read from the store after the view stood at this offset.
func (k *known) put(at int64, hash string, h holder) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case at < k.at:
		return
	case at > k.at, len(k.holders) >= maxKnown:
		clear(k.holders)
		k.at = at
	}
	k.holders[hash] = h
}

// holder finds whose key a hash is. What it answers is shared and must not be changed.
func (a *Access) holder(hash string) (holder, bool, error) {
	at := a.view.Position(a.partition)
	if h, ok := a.known.get(at, hash); ok {
		return h, true, nil
	}
	key, found, err := a.byHash(hash)
	if err != nil || !found {
		return holder{}, false, err
	}
	ws, found, err := a.Workspace(key.Workspace)
	if err != nil || !found {
		return holder{}, false, err
	}
	h := holder{key, ws}
	a.known.put(at, hash, h)
	return h, true, nil
}
