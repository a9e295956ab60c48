package projector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// keysVersion is the version of the form of the view's store.
const keysVersion = 1

// ErrMasterKey says that a data key was wrapped by another master key than this process has. To go on would make every
// row a redacted one.
var ErrMasterKey = errors.New("data keys are wrapped by another master key: check THROUGHLINE_MASTER_KEY")

// openKeys opens the view of data keys. Every record is kept as it is, under its own key.
func openKeys(ctx context.Context, dir string, deps Deps) (*stream.View, error) {
	view, err := stream.OpenView(ctx, deps.Kafka, stream.ViewConfig{
		Name:    "projector-keys",
		Dir:     dir,
		Topics:  []topic.Name{topic.SubjectKeys},
		Version: keysVersion,
		Apply: func(b *pebble.Batch, r *stream.Record) error {
			if len(r.Key) == 0 || r.Key[0] == 0 {
				return nil // nobody can ask for a key of no subject
			}
			if r.Value == nil {
				return b.Delete(r.Key, nil)
			}
			return b.Set(r.Key, r.Value, nil)
		},
	}, stream.Deps{Log: deps.Log, Reg: deps.Reg})
	if err != nil {
		return nil, fmt.Errorf("open view of data keys: %w", err)
	}
	return view, nil
}

// keyring opens sealed parts for one table. It is safe for concurrent use.
//
// A key record is acknowledged before the first record that uses it. So after a barrier that began when a record was
// polled, a key that is missing is gone: one barrier decides for everything that was polled before it.
type keyring struct {
	view    *stream.View
	master  *seal.Master
	missing func()

	// polls counts polls. What is transformed now was polled before it was counted last.
	polls atomic.Int64

	mu sync.Mutex
	// opened are keys that were used since the poll numbered seen. They are forgotten then, so that an erasure takes hold.
	opened map[string]*seal.DataKey
	seen   int64
	// fresh is the number of the last poll after which the view was brought to its end.
	fresh int64
}

func newKeyring(view *stream.View, master *seal.Master, missing func()) *keyring {
	return &keyring{view: view, master: master, missing: missing, opened: map[string]*seal.DataKey{}, fresh: -1}
}

// polled is called after every poll, before anything that it brought is transformed. It never waits for a barrier.
func (k *keyring) polled() { k.polls.Add(1) }

// Open implements projections.Opener.
func (k *keyring) Open(ctx context.Context, s projections.Sealed) ([]byte, bool, error) {
	key, err := k.key(ctx, s)
	if err != nil {
		return nil, false, err
	}
	if key == nil {
		k.missing()
		return nil, false, nil
	}
	plain, err := key.Open(s.Bytes, s.Additional)
	if err != nil {
		// The key is the record's own: it is the bytes that are wrong, and stay so.
		return nil, false, fmt.Errorf("%w: %w", projections.ErrPoison, err)
	}
	return plain, true, nil
}

// key is the data key, or nil where it is gone.
func (k *keyring) key(ctx context.Context, s projections.Sealed) (*seal.DataKey, error) {
	name := topic.Key(s.Workspace, string(s.Subject.Type), s.Subject.ID, s.KeyID)
	k.mu.Lock()
	defer k.mu.Unlock()
	poll := k.polls.Load()
	if k.seen != poll {
		clear(k.opened)
		k.seen = poll
	}
	if key, ok := k.opened[string(name)]; ok {
		return key, nil
	}
	value, ok, err := k.view.Get(name)
	if err == nil && !ok && k.fresh < poll {
		if err = k.catchUp(ctx); err != nil {
			return nil, err
		}
		k.fresh = poll
		value, ok, err = k.view.Get(name)
	}
	if err != nil {
		return nil, fmt.Errorf("look up data key: %w", err)
	}
	if !ok {
		k.opened[string(name)] = nil
		return nil, nil
	}
	rec, err := seal.ParseKeyRecord(value)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", projections.ErrPoison, err)
	}
	key, err := k.master.Unwrap(rec)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMasterKey, err)
	}
	k.opened[string(name)] = key
	return key, nil
}

// catchUp brings the view to the end of its topic, however long that takes: a miss in a view that is behind proves
// nothing.
func (k *keyring) catchUp(ctx context.Context) error {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		err := k.view.Barrier(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, stream.ErrClosed) {
			return fmt.Errorf("bring data keys up to date: %w", err)
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// The shortest and the longest wait between two tries of anything.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 5 * time.Second
)

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
