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
// key's partition; that of a CONVERSATION, which its transitions make known, for its partition of states too. As soon as an external id is named the whole topic is waited for: it may have been
// re-pointed from any partition.
//
// Errors: ErrNotFound, ErrMismatch, ErrBehind.
func (r *Registry) Resolve(ctx context.Context, workspace string, l object.Lookup) (*object.Record, error) {
	return exactly(ctx, r, workspace, l, r.ResolveLocal)
}

// Locate is Resolve for a caller that needs no more of the object than its id: the object is not read.
func (r *Registry) Locate(ctx context.Context, workspace string, l object.Lookup) (string, error) {
	return exactly(ctx, r, workspace, l, r.LocateLocal)
}

// exactly looks up in the view as it is, after the view has been brought as far as the lookup needs it.
func exactly[T any](ctx context.Context, r *Registry, workspace string, l object.Lookup, local func(string, object.Lookup) (T, error)) (T, error) {
	var none T
	if l.ExternalID != "" {
		if err := r.barrier(ctx, r.objectPartitions()...); err != nil {
			return none, err
		}
		if l.Type == object.Conversation && l.ID != "" {
			if err := r.barrierConversation(ctx, workspace, l.ID); err != nil {
				return none, err
			}
		}
		return local(workspace, l)
	}
	found, err := local(workspace, l)
	if !errors.Is(err, ErrNotFound) {
		return found, err
	}
	if err := r.barrier(ctx, r.objectPartition(workspace, object.Ref{Type: l.Type, ID: l.ID})); err != nil {
		return none, err
	}
	if l.Type == object.Conversation {
		if err := r.barrierConversation(ctx, workspace, l.ID); err != nil {
			return none, err
		}
	}
	return local(workspace, l)
}

// ResolveLocal is Resolve on the view as it is. It is for a caller that has brought the view up to date for a whole
// batch with one Barrier.
func (r *Registry) ResolveLocal(workspace string, l object.Lookup) (*object.Record, error) {
	return r.find(workspace, l.Type, l.ID, r.token(workspace, l))
}

// LocateLocal is Locate on the view as it is.
func (r *Registry) LocateLocal(workspace string, l object.Lookup) (string, error) {
	return r.locate(workspace, l.Type, l.ID, r.token(workspace, l))
}

func (r *Registry) token(workspace string, l object.Lookup) string {
	if l.ExternalID == "" {
		return ""
	}
	return r.master.ExternalToken(workspace, l.Type, l.ExternalID)
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

// find reads the object that locate finds.
func (r *Registry) find(workspace string, t object.Type, id, token string) (*object.Record, error) {
	if token != "" {
		var err error
		if id, err = r.locate(workspace, t, id, token); err != nil {
			return nil, err
		}
	}
	if id == "" {
		return nil, ErrNotFound
	}
	ref := object.Ref{Type: t, ID: id}
	rec, _, err := r.Object(workspace, ref)
	if err == nil && t == object.Conversation {
		rec, err = r.withConversation(workspace, ref, rec)
	}
	if err == nil && rec == nil {
		err = ErrNotFound
	}
	return rec, err
}

// locate finds out which object is meant: the one of this id, or else the owner of the external id.
func (r *Registry) locate(workspace string, t object.Type, id, token string) (string, error) {
	known := false
	if id != "" {
		var err error
		if known, err = r.has(workspace, object.Ref{Type: t, ID: id}); err != nil {
			return "", err
		}
	}
	if token == "" {
		if !known {
			return "", ErrNotFound
		}
		return id, nil
	}
	owners, err := r.ByExternal(workspace, t, token)
	switch {
	case err != nil:
		return "", err
	case len(owners) == 0 && !known:
		return "", ErrNotFound
	case len(owners) == 0:
		return id, nil
	case known && owners[0].ID != id:
		return "", fmt.Errorf("%w: objectId is %q, externalId is that of %q", ErrMismatch, id, owners[0].ID)
	case known:
		return id, nil
	}
	there, err := r.has(workspace, object.Ref{Type: t, ID: owners[0].ID})
	if err == nil && !there {
		err = ErrNotFound
	}
	return owners[0].ID, err
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
