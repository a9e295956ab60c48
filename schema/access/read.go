package access

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/throughline/throughline/schema/workspace"
)

// Workspace reads one workspace from the view as it is.
func (a *Access) Workspace(id string) (*workspace.Workspace, bool, error) {
	value, found, err := a.view.Get(workspaceKey(id))
	if err != nil {
		return nil, false, fmt.Errorf("read workspace: %w", err)
	}
	if !found {
		return nil, false, nil
	}
	ws, err := workspace.ParseWorkspace(value)
	return ws, err == nil, err
}

// TimeZone is that of a workspace, or UTC where the view does not know the workspace.
func (a *Access) TimeZone(id string) (*time.Location, error) {
	ws, found, err := a.Workspace(id)
	if err != nil || !found {
		return time.UTC, err
	}
	zone, err := time.LoadLocation(ws.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("load the time zone of workspace %s: %w", id, err)
	}
	return zone, nil
}

// Workspaces lists up to limit workspaces by id, beginning beyond the id after.
func (a *Access) Workspaces(after string, limit int) ([]*workspace.Workspace, error) {
	all := []*workspace.Workspace{}
	// The zero byte makes the least key that is greater than the id's own.
	err := a.scan(workspaceKey(after+"\x00"), end(workspaceSpace), limit, func(_, value []byte) error {
		ws, err := workspace.ParseWorkspace(value)
		all = append(all, ws)
		return err
	})
	return all, err
}

// Key reads one API key of a workspace from the view as it is.
func (a *Access) Key(workspaceID, id string) (*workspace.APIKey, bool, error) {
	value, found, err := a.view.Get(apiKeyKey(workspaceID, id))
	if err != nil {
		return nil, false, fmt.Errorf("read API key: %w", err)
	}
	if !found {
		return nil, false, nil
	}
	key, err := workspace.ParseAPIKey(value)
	return key, err == nil, err
}

// ListKeys lists up to limit API keys of a workspace by id, which is the order in which they were made, beginning beyond
// the id after. Expired keys are among them.
func (a *Access) ListKeys(workspaceID, after string, limit int) ([]*workspace.APIKey, error) {
	keys := []*workspace.APIKey{}
	from := apiKeyKey(workspaceID, after+"\x00")
	if after == "" {
		from = keyPrefix(workspaceID)
	}
	to := append(bytes.TrimSuffix(keyPrefix(workspaceID), []byte{0}), 1)
	err := a.scan(from, to, limit, func(_, value []byte) error {
		key, err := workspace.ParseAPIKey(value)
		keys = append(keys, key)
		return err
	})
	return keys, err
}

// byHash finds the key that a secret has. Where, by chosen secrets, two workspaces came to have the same one, it is
// nobody's: a guess would show one the other's data.
func (a *Access) byHash(hash string) (*workspace.APIKey, bool, error) {
	var ids [][2]string
	prefix := hashPrefix(hash)
	err := a.scan(prefix, append(bytes.TrimSuffix(bytes.Clone(prefix), []byte{0}), 1), 2, func(key, _ []byte) error {
		ws, id, _ := bytes.Cut(key[len(prefix):], []byte{0})
		ids = append(ids, [2]string{string(ws), string(id)})
		return nil
	})
	if err != nil || len(ids) == 0 {
		return nil, false, err
	}
	if ids[0][0] != ids[len(ids)-1][0] {
		return nil, false, nil
	}
	return a.Key(ids[0][0], ids[0][1])
}

// end is the least key beyond a space.
func end(space string) []byte { return []byte{space[0] + 1} }

// scan calls fn for up to limit entries in [from, to); fn must not keep its arguments.
func (a *Access) scan(from, to []byte, limit int, fn func(key, value []byte) error) error {
	it, err := a.view.DB().NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return fmt.Errorf("open iterator: %w", err)
	}
	n := 0
	for it.First(); err == nil && it.Valid() && n < limit; it.Next() {
		err = fn(it.Key(), it.Value())
		n++
	}
	return errors.Join(err, it.Error(), it.Close())
}
