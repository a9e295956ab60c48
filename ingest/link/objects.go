package link

import (
	"context"
	"errors"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
)

// Objects is what link needs of the registry. The methods but Barrier and DataKey answer from the view as it is.
type Objects interface {
	// Barrier returns once the view has everything that was acknowledged before the call, objects and data keys.
	Barrier(ctx context.Context) error
	// ResolveLocal finds the object that a lookup names: by its id, and by its external id where the id is absent or
	// unknown. Errors: registry.ErrNotFound; registry.ErrMismatch where both are known, of different objects.
	ResolveLocal(workspace string, l object.Lookup) (*object.Record, error)
	// RelatedLocal finds the object that a stored relation names. Errors: registry.ErrNotFound.
	RelatedLocal(workspace string, rel object.Relation) (*object.Record, error)
	// DataKey is one data key of a subject. Errors: registry.ErrErased; seal.ErrKey where it does not unwrap.
	DataKey(ctx context.Context, workspace string, ref object.Ref, keyID string) (*seal.DataKey, error)
	// CurrentKey is the newest data key of a subject, with its id. Errors as for DataKey.
	CurrentKey(workspace string, ref object.Ref) (string, *seal.DataKey, error)
}

var _ Objects = (*registry.Registry)(nil)

// inWorkspace is a finder of the objects of one workspace.
type inWorkspace struct {
	objects   Objects
	workspace string
}

// Named implements finder. An object id and an external id of different objects name nothing.
func (w inWorkspace) Named(l object.Lookup) (*object.Record, error) {
	rec, err := w.objects.ResolveLocal(w.workspace, l)
	if errors.Is(err, registry.ErrNotFound) || errors.Is(err, registry.ErrMismatch) {
		return nil, nil
	}
	return rec, err
}

// Relation implements finder.
func (w inWorkspace) Relation(rel object.Relation) (*object.Record, error) {
	rec, err := w.objects.RelatedLocal(w.workspace, rel)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, nil
	}
	return rec, err
}
