package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// Resolve finds the object that a lookup names, exactly: an answer takes into account every write that was acknowledged
// before the call. The object id is tried first, the external id where the object id is absent or unknown.
//
// A hit by object id alone is answered from the view as it is, because ids are never re-pointed. A miss waits for the
// key's partition. As soon as an external id is named the whole topic is waited for: it may have been
// re-pointed from any partition.
//
// Errors: ErrNotFound, ErrMismatch, ErrBehind.
func (r *Registry) Resolve(ctx context.Context, workspace string, l object.Lookup) (*object.Record, error) {
	if l.ExternalID != "" {
		if err := r.barrier(ctx, r.objectPartitions()...); err != nil {
			return nil, err
		}
		return r.ResolveLocal(workspace, l)
	}
	rec, err := r.ResolveLocal(workspace, l)
	if !errors.Is(err, ErrNotFound) {
		return rec, err
	}
	if err := r.barrier(ctx, r.objectPartition(workspace, object.Ref{Type: l.Type, ID: l.ID})); err != nil {
		return nil, err
	}
	return r.ResolveLocal(workspace, l)
}

// ResolveLocal is Resolve on the view as it is. It is for a caller that has brought the view up to date for a whole
// batch with one Barrier.
func (r *Registry) ResolveLocal(workspace string, l object.Lookup) (*object.Record, error) {
	var token string
	if l.ExternalID != "" {
		token = r.master.ExternalToken(workspace, l.Type, l.ExternalID)
	}
	return r.find(workspace, l.Type, l.ID, token)
}

// RelatedLocal finds the object that a stored relation names, on the view as it is.
func (r *Registry) RelatedLocal(workspace string, rel object.Relation) (*object.Record, error) {
	rec, err := r.find(workspace, rel.Type, rel.ID, rel.ExternalToken)
	if errors.Is(err, ErrMismatch) {
		// The relation was written when both named the same object, or neither: the id never changes its object.
		return r.find(workspace, rel.Type, rel.ID, "")
	}
	return rec, err
}

func (r *Registry) find(workspace string, t object.Type, id, token string) (*object.Record, error) {
	var byID *object.Record
	if id != "" {
		rec, found, err := r.Object(workspace, object.Ref{Type: t, ID: id})
		if err != nil {
			return nil, err
		}
		if found {
			byID = rec
		}
	}
	if token == "" {
		if byID == nil {
			return nil, ErrNotFound
		}
		return byID, nil
	}
	owners, err := r.ByExternal(workspace, t, token)
	switch {
	case err != nil:
		return nil, err
	case len(owners) == 0 && byID == nil:
		return nil, ErrNotFound
	case len(owners) == 0:
		return byID, nil
	case byID != nil && owners[0].ID != byID.ID:
		return nil, fmt.Errorf("%w: objectId is %q, externalId is that of %q", ErrMismatch, byID.ID, owners[0].ID)
	case byID != nil:
		return byID, nil
	}
	rec, found, err := r.Object(workspace, object.Ref{Type: t, ID: owners[0].ID})
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, ErrNotFound
	}
	return rec, nil
}

// objectPartition is where the record of an object stands.
func (r *Registry) objectPartition(workspace string, ref object.Ref) stream.TopicPartition {
	key := topic.Key(workspace, string(ref.Type), ref.ID)
	return stream.TopicPartition{Topic: r.objects, Partition: stream.PartitionOf(key, r.view.Partitions(topic.Objects))}
}

func (r *Registry) objectPartitions() []stream.TopicPartition {
	return partitions(r.objects, r.view.Partitions(topic.Objects))
}

func (r *Registry) keyPartitions() []stream.TopicPartition {
	return partitions(r.keys, r.view.Partitions(topic.SubjectKeys))
}

func partitions(name string, n int) []stream.TopicPartition {
	all := make([]stream.TopicPartition, n)
	for i := range all {
		all[i] = stream.TopicPartition{Topic: name, Partition: int32(i)}
	}
	return all
}
