package registry

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/throughline/throughline/schema/object"
)

// The keys of the store. Parts are separated by a zero byte, which no part may contain (ids have no control
// characters), so that a prefix never matches a longer id.
const (
	objectSpace   = 'o' // workspace, type, id → record time, what the record says
	externalSpace = 'x' // workspace, type, token, id → record time
	subjectSpace  = 'k' // workspace, type, id, key id → what the key record says
)

// timeBytes is the length of the record time before an object's value: milliseconds, big-endian.
const timeBytes = 8

func storeKey(space byte, parts ...string) []byte {
	size := len(parts)
	for _, p := range parts {
		size += len(p)
	}
	key := append(make([]byte, 0, size), space)
	for i, p := range parts {
		if i > 0 {
			key = append(key, 0)
		}
		key = append(key, p...)
	}
	return key
}

func objectKey(workspace string, ref object.Ref) []byte {
	return storeKey(objectSpace, workspace, string(ref.Type), ref.ID)
}

func externalPrefix(workspace string, t object.Type, token string) []byte {
	return storeKey(externalSpace, workspace, string(t), token, "")
}

func subjectPrefix(workspace string, ref object.Ref) []byte {
	return storeKey(subjectSpace, workspace, string(ref.Type), ref.ID, "")
}

func subjectKey(workspace string, ref object.Ref, keyID string) []byte {
	return append(subjectPrefix(workspace, ref), keyID...)
}

// Object reads what was PUT of one object from the view as it is.
func (r *Registry) Object(workspace string, ref object.Ref) (*object.Record, bool, error) {
	value, found, err := r.view.Get(objectKey(workspace, ref))
	if err != nil {
		return nil, false, fmt.Errorf("read object: %w", err)
	}
	if !found {
		return nil, false, nil
	}
	rec, err := decodeObject(workspace, ref, value)
	if err != nil {
		return nil, false, fmt.Errorf("read object: %w", err)
	}
	return rec, true, nil
}

// has says whether there is an object, on the view as it is.
func (r *Registry) has(workspace string, ref object.Ref) (bool, error) {
	found, err := r.view.Has(objectKey(workspace, ref))
	if err != nil {
		return false, fmt.Errorf("look for object: %w", err)
	}
	if !found && ref.Type == object.Conversation {
		return r.KnowsConversation(workspace, ref.ID)
	}
	return found, nil
}

// Owner is an object that holds an external id.
type Owner struct {
	ID string
	// Time is that of the record by which the object last said so.
	Time time.Time
}

// ByExternal lists the objects that hold an external id, by its token, on the view as it is. The first owns it: the latest
// by record time, then by object id. There are several only where writes raced on different edges.
func (r *Registry) ByExternal(workspace string, t object.Type, token string) ([]Owner, error) {
	prefix := externalPrefix(workspace, t, token)
	var owners []Owner
	err := r.scan(prefix, func(key, value []byte) {
		owners = append(owners, Owner{ID: string(key[len(prefix):]), Time: readTime(value)})
	})
	if err != nil {
		return nil, fmt.Errorf("read external id: %w", err)
	}
	slices.SortFunc(owners, func(a, b Owner) int {
		return cmp.Or(b.Time.Compare(a.Time), strings.Compare(b.ID, a.ID))
	})
	return owners, nil
}

// scan calls fn for every entry under a prefix; fn must not keep its arguments.
func (r *Registry) scan(prefix []byte, fn func(key, value []byte)) error {
	it, err := r.view.DB().NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return fmt.Errorf("open iterator: %w", err)
	}
	for it.First(); it.Valid(); it.Next() {
		fn(it.Key(), it.Value())
	}
	return errors.Join(it.Error(), it.Close())
}

// last is the rest of the key, and the value, of the last entry under a prefix.
func (r *Registry) last(prefix []byte) (rest string, value []byte, found bool, err error) {
	it, err := r.view.DB().NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return "", nil, false, fmt.Errorf("open iterator: %w", err)
	}
	if found = it.Last(); found {
		rest, value = string(it.Key()[len(prefix):]), bytes.Clone(it.Value())
	}
	return rest, value, found, errors.Join(it.Error(), it.Close())
}

// after is the least key beyond a prefix. Prefixes end in a zero byte, so the increment never carries.
func after(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	end[len(end)-1]++
	return end
}

func readTime(value []byte) time.Time {
	if len(value) < timeBytes {
		return time.Time{}
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(value)))
}
