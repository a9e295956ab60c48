package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
)

// DataKey is one data key of a subject. A key's record is acknowledged before the first record that uses it, so where
// the view lacks it the view is brought to the end once; only a key that is still missing is ErrErased.
func (r *Registry) DataKey(ctx context.Context, workspace string, ref object.Ref, keyID string) (*seal.DataKey, error) {
	key, err := r.dataKey(workspace, ref, keyID)
	if !errors.Is(err, ErrErased) {
		return key, err
	}
	if err := r.barrier(ctx, r.keyPartitions()...); err != nil {
		return nil, err
	}
	return r.dataKey(workspace, ref, keyID)
}

// CurrentKey is the newest data key of a subject, on the view as it is, and its id; ErrErased where it has none. A subject
// may have several: two edges may have made one each.
func (r *Registry) CurrentKey(workspace string, ref object.Ref) (string, *seal.DataKey, error) {
	id, value, found, err := r.last(subjectPrefix(workspace, ref))
	if err != nil {
		return "", nil, err
	}
	if !found {
		return "", nil, ErrErased
	}
	key, err := r.unwrap(workspace, ref, id, value)
	return id, key, err
}

func (r *Registry) dataKey(workspace string, ref object.Ref, keyID string) (*seal.DataKey, error) {
	value, found, err := r.view.Get(subjectKey(workspace, ref, keyID))
	if err != nil {
		return nil, fmt.Errorf("read data key: %w", err)
	}
	if !found {
		return nil, ErrErased
	}
	return r.unwrap(workspace, ref, keyID, value)
}

func (r *Registry) unwrap(workspace string, ref object.Ref, id string, value []byte) (*seal.DataKey, error) {
	rec, err := decodeKey(workspace, ref, id, value)
	if err != nil {
		return nil, fmt.Errorf("read data key: %w", err)
	}
	return r.master.Unwrap(rec)
}

// OpenObject makes the object in the clear. Where its data key was erased, its personal fields are absent.
func (r *Registry) OpenObject(ctx context.Context, rec *object.Record) (*object.Object, error) {
	if len(rec.Sealed) == 0 {
		return rec.Open(nil), nil
	}
	key, err := r.DataKey(ctx, rec.Workspace, object.Ref{Type: rec.Type, ID: rec.ID}, rec.KeyID)
	if errors.Is(err, ErrErased) {
		return rec.Open(nil), nil
	}
	if err != nil {
		return nil, fmt.Errorf("open object: %w", err)
	}
	plain, err := key.Open(rec.Sealed, rec.AdditionalData())
	if err != nil {
		return nil, fmt.Errorf("open object: %w", err)
	}
	var p object.Personal
	if err := json.Unmarshal(plain, &p); err != nil {
		return nil, fmt.Errorf("open object: %w", err)
	}
	return rec.Open(&p), nil
}
