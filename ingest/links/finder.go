package links

import (
	"context"
	"errors"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/object"
)

// Objects is what finding needs of the registry. ResolveLocal and RelatedLocal answer from the view as it is.
type Objects interface {
	// ResolveLocal finds the object that a lookup names: by its id, and by its external id where the id is absent or
	// unknown. Errors: registry.ErrNotFound; registry.ErrMismatch where both are known, of different objects.
	ResolveLocal(workspace string, l object.Lookup) (*object.Record, error)
	// RelatedLocal finds the object that a stored relation names. Errors: registry.ErrNotFound.
	RelatedLocal(workspace string, rel object.Relation) (*object.Record, error)
	// Resolve is ResolveLocal on a view that is brought up to date where a miss would otherwise prove nothing. Errors: as
	// ResolveLocal; registry.ErrBehind.
	Resolve(ctx context.Context, workspace string, l object.Lookup) (*object.Record, error)
}

var _ Objects = (*registry.Registry)(nil)

// In is a Finder of the objects of one workspace. Its view must have been brought up to date (registry.Barrier).
type In struct {
	Objects   Objects
	Workspace string
}

// Named implements Finder. An object id and an external id of different objects name nothing.
func (w In) Named(ctx context.Context, l object.Lookup) (*object.Record, error) {
	return known(w.Resolve(ctx, l))
}

// Relation implements Finder.
func (w In) Relation(ctx context.Context, rel object.Relation) (*object.Record, error) {
	rec, err := known(w.Objects.RelatedLocal(w.Workspace, rel))
	if rec == nil && err == nil && rel.Type == object.Conversation && rel.ID != "" {
		return known(w.Resolve(ctx, object.Lookup{Type: rel.Type, ID: rel.ID}))
	}
	return rec, err
}

// Resolve finds an object. For conversations alone it waits where one is missed: the barrier before a batch does not cover
// them, because it would wait for every transaction of theirs. Errors: as Objects.Resolve.
func (w In) Resolve(ctx context.Context, l object.Lookup) (*object.Record, error) {
	if l.Type == object.Conversation {
		return w.Objects.Resolve(ctx, w.Workspace, l)
	}
	return w.Objects.ResolveLocal(w.Workspace, l)
}

// known turns an object that is not there into nil.
func known(rec *object.Record, err error) (*object.Record, error) {
	if errors.Is(err, registry.ErrNotFound) || errors.Is(err, registry.ErrMismatch) {
		return nil, nil
	}
	return rec, err
}
