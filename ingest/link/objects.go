package link

import (
	"context"

	"github.com/throughline/throughline/ingest/links"
	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
)

// Objects is what link needs of the registry. Its CurrentKey answers from the view as it is.
type Objects interface {
	links.Objects

	// Barrier returns once the view has everything that was acknowledged before the call, objects and data keys.
	Barrier(ctx context.Context) error
	// DataKey is one data key of a subject. Errors: registry.ErrErased; seal.ErrKey where it does not unwrap.
	DataKey(ctx context.Context, workspace string, ref object.Ref, keyID string) (*seal.DataKey, error)
	// CurrentKey is the newest data key of a subject, with its id. Errors as for DataKey.
	CurrentKey(workspace string, ref object.Ref) (string, *seal.DataKey, error)
}

var _ Objects = (*registry.Registry)(nil)
