package ingest

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// visibleTimeout is how long a write of an object waits until this edge sees it. The write is durable by then.
const visibleTimeout = 2 * time.Second

// change makes the next state of an object of the record it has now, which is nil where there is none.
type change func(ctx context.Context, now *object.Record) (*object.Object, error)

// store replaces an object: under its lock, on a view that has everything written before. externalID is the one that the
// change is going to take, or empty: it is locked too, so that two objects that want it here cannot both have it.
func (s *Service) store(ctx context.Context, workspace string, ref object.Ref, externalID string, next change) (stream.Offset, error) {
	release, err := s.locks.acquire(ctx, lockNames(workspace, ref, externalID)...)
	if err != nil {
		return stream.Offset{}, unavailable(err)
	}
	defer release()
	if err := s.upToDate(ctx); err != nil {
		return stream.Offset{}, unavailable(err)
	}
	rec, _, err := s.registry.Object(workspace, ref)
	if err != nil {
		return stream.Offset{}, err
	}
	o, err := next(ctx, rec)
	if err != nil {
		return stream.Offset{}, err
	}
	if err := s.free(workspace, o); err != nil {
		return stream.Offset{}, err
	}
	keyID, key, err := s.dataKey(ctx, workspace, ref)
	if err != nil {
		return stream.Offset{}, err
	}
	value, err := s.records.Seal(workspace, o, keyID, key)
	if err != nil {
		return stream.Offset{}, err
	}
	return s.write(ctx, workspace, ref, value)
}

// drop writes the tombstone of an object. Its data keys stay: what was linked to it stays readable.
func (s *Service) drop(ctx context.Context, workspace string, ref object.Ref) (stream.Offset, error) {
	release, err := s.locks.acquire(ctx, lockNames(workspace, ref, "")...)
	if err != nil {
		return stream.Offset{}, unavailable(err)
	}
	defer release()
	return s.write(ctx, workspace, ref, nil)
}

func lockNames(workspace string, ref object.Ref, externalID string) []string {
	names := []string{string(topic.Key(workspace, string(ref.Type), ref.ID))}
	if externalID != "" {
		names = append(names, string(topic.Key(workspace, string(ref.Type), "ext", externalID)))
	}
	return names
}

// free refuses an external id that another object holds.
func (s *Service) free(workspace string, o *object.Object) error {
	if o.ExternalID == "" {
		return nil
	}
	owners, err := s.registry.ByExternal(workspace, o.Type, s.master.ExternalToken(workspace, o.Type, o.ExternalID))
	if err != nil {
		return err
	}
	if len(owners) == 0 || owners[0].ID == o.ID {
		return nil
	}
	return held(o, owners[0].ID)
}

// held refuses an external id and names its holder.
func held(o *object.Object, holder string) error {
	p := problem.Newf(problem.Conflict, "The externalId %q is held by the %s %q.", o.ExternalID, o.Type, holder)
	p.Errors = []problem.Fault{problem.Atf("/externalId", "is held by the %s %q", o.Type, holder)}
	return p.WithExtra("objectType", o.Type).WithExtra("objectId", holder)
}

// dataKey is the newest data key of an object, or a new one. The record of a new one is acknowledged before it seals
// anything, so that nobody meets a sealed record whose key is not in the log.
func (s *Service) dataKey(ctx context.Context, workspace string, ref object.Ref) (string, *seal.DataKey, error) {
	id, key, err := s.registry.CurrentKey(workspace, ref)
	if !errors.Is(err, registry.ErrErased) {
		return id, key, err
	}
	id, key, record, err := s.records.NewKey(workspace, ref)
	if err != nil {
		return "", nil, err
	}
	if _, err := s.producer.Produce(ctx, record); err != nil {
		return "", nil, unavailable(err)
	}
	return id, key, nil
}

// write appends the record of an object, nil for a tombstone, and waits until this edge sees it.
func (s *Service) write(ctx context.Context, workspace string, ref object.Ref, value []byte) (stream.Offset, error) {
	offsets, err := s.producer.Produce(ctx, s.records.Object(workspace, ref, value))
	if err != nil {
		return stream.Offset{}, unavailable(err)
	}
	s.visible(ctx, offsets[0])
	return offsets[0], nil
}

// visible waits until this edge sees a write.
func (s *Service) visible(ctx context.Context, o stream.Offset) {
	wait, cancel := context.WithTimeout(ctx, visibleTimeout)
	defer cancel()
	if err := s.registry.WaitFor(wait, o); err != nil {
		// It is durable, so the answer is yes; whoever needs to read it waits by position or by a barrier.
		s.log.WarnContext(ctx, "write not visible yet", slog.String("error", err.Error()))
	}
}
