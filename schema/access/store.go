package access

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/workspace"
)

// The keys of the store. Ids of workspaces and keys contain no zero byte.
const (
	workspaceSpace = "w" // workspace → the workspace's value
	keySpace       = "k" // workspace, 0, key id → the key's value
	hashSpace      = "h" // hash of the secret, 0, workspace, 0, key id → nothing
)

func workspaceKey(id string) []byte     { return []byte(workspaceSpace + id) }
func keyPrefix(workspace string) []byte { return []byte(keySpace + workspace + "\x00") }
func apiKeyKey(workspace, id string) []byte {
	return []byte(keySpace + workspace + "\x00" + id)
}
func hashPrefix(hash string) []byte { return []byte(hashSpace + hash + "\x00") }
func hashKey(k *workspace.APIKey) []byte {
	return append(hashPrefix(k.Hash), k.Workspace+"\x00"+k.ID...)
}

// errUnreadable marks a record that says nothing to us.
var errUnreadable = errors.New("unreadable record")

// apply puts one record into the store. A record that cannot be read is left out and counted, because stopping would
// keep everybody out.
func (a *Access) apply(b *pebble.Batch, rec *stream.Record) error {
	err := applyRecord(b, rec)
	if !errors.Is(err, errUnreadable) {
		return err
	}
	a.metrics.ignored.Inc()
	a.log.Warn("record ignored", slog.String("topic", rec.Topic), slog.Int("partition", int(rec.Partition)),
		slog.Int64("offset", rec.Offset), slog.String("error", err.Error()))
	return nil
}

func applyRecord(b *pebble.Batch, rec *stream.Record) error {
	parts, err := topic.ParseKey(rec.Key)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errUnreadable, err)
	case workspace.ValidateID(parts[0]) != nil:
		return fmt.Errorf("%w: key %q names no workspace", errUnreadable, rec.Key)
	case len(parts) == 1:
		return applyWorkspace(b, rec, parts[0])
	case len(parts) == 3 && parts[1] == workspace.KeyType && !strings.ContainsRune(parts[2], 0):
		return applyAPIKey(b, rec, parts[0], parts[2])
	default:
		return fmt.Errorf("%w: key %q is neither a workspace's nor an API key's", errUnreadable, rec.Key)
	}
}

func applyWorkspace(b *pebble.Batch, rec *stream.Record, id string) error {
	if rec.Value == nil {
		return remove(b, workspaceKey(id))
	}
	ws, err := workspace.ParseWorkspace(rec.Value)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if ws.ID != id {
		return fmt.Errorf("%w: the record is not that of its key %q", errUnreadable, rec.Key)
	}
	return set(b, workspaceKey(id), rec.Value)
}

func applyAPIKey(b *pebble.Batch, rec *stream.Record, ws, id string) error {
	var next *workspace.APIKey
	if rec.Value != nil {
		var err error
		if next, err = workspace.ParseAPIKey(rec.Value); err != nil {
			return fmt.Errorf("%w: %w", errUnreadable, err)
		}
		if next.Workspace != ws || next.ID != id || strings.ContainsRune(next.Hash, 0) {
			return fmt.Errorf("%w: the record is not that of its key %q", errUnreadable, rec.Key)
		}
	}
	at := apiKeyKey(ws, id)
	old, err := read(b, at)
	if err != nil {
		return err
	}
	if old != nil {
		was, err := workspace.ParseAPIKey(old)
		if err != nil {
			return err
		}
		if err := remove(b, hashKey(was)); err != nil {
			return err
		}
	}
	if next == nil {
		return remove(b, at)
	}
	if err := set(b, hashKey(next), nil); err != nil {
		return err
	}
	return set(b, at, rec.Value)
}

// read is the value of an entry, or nil where there is none.
func read(b *pebble.Batch, key []byte) ([]byte, error) {
	value, closer, err := b.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read store: %w", err)
	}
	value = append([]byte{}, value...)
	if err := closer.Close(); err != nil {
		return nil, fmt.Errorf("read store: %w", err)
	}
	return value, nil
}

func set(b *pebble.Batch, key, value []byte) error {
	if err := b.Set(key, value, nil); err != nil {
		return fmt.Errorf("write store: %w", err)
	}
	return nil
}

func remove(b *pebble.Batch, key []byte) error {
	if err := b.Delete(key, nil); err != nil {
		return fmt.Errorf("write store: %w", err)
	}
	return nil
}
