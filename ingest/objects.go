package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
)

// objectAnswer is an object as a GET shows it. It may be sent back with a PUT.
type objectAnswer struct {
	ObjectType object.Type     `json:"objectType"`
	ObjectID   string          `json:"objectId"`
	ExternalID *string         `json:"externalId"`
	Name       *string         `json:"name"`
	Attributes json.RawMessage `json:"attributes"`
	Relations  []object.Lookup `json:"relations"`
	UpdatedAt  event.Time      `json:"updatedAt"`
}

func answerObject(o *object.Object) objectAnswer {
	attributes := o.Attributes
	if len(attributes) == 0 {
		attributes = json.RawMessage(`{}`)
	}
	return objectAnswer{
		ObjectType: o.Type, ObjectID: o.ID, ExternalID: optional(o.ExternalID), Name: optional(o.Name),
		Attributes: attributes, Relations: o.Relations, UpdatedAt: event.TimeOf(o.UpdatedAt),
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// written is the answer to a write of an object.
type written struct {
	ObjectType object.Type `json:"objectType"`
	ObjectID   string      `json:"objectId"`
	Position   *string     `json:"position"`
}

func (s *Service) getObject(w http.ResponseWriter, r *http.Request) error {
	ref, err := pathRef(r)
	if err != nil {
		return err
	}
	workspace := access.From(r.Context()).Workspace
	q := web.Query(r)
	positions := q.Strings("position")
	if err := q.Err(); err != nil {
		return err
	}
	if err := s.await(r.Context(), workspace, positions); err != nil {
		return err
	}
	rec, err := s.find(r.Context(), workspace, object.Lookup{Type: ref.Type, ID: ref.ID})
	if errors.Is(err, registry.ErrNotFound) {
		return noObject(ref)
	}
	if err != nil {
		return unavailable(err)
	}
	o, err := s.registry.OpenObject(r.Context(), rec)
	if err != nil {
		return unavailable(err)
	}
	return web.WriteJSON(w, http.StatusOK, answerObject(o))
}

func noObject(ref object.Ref) error {
	return problem.Newf(problem.ObjectNotFound, "There is no %s with the objectId %q.", ref.Type, ref.ID)
}

func (s *Service) putObject(w http.ResponseWriter, r *http.Request) error {
	ref, body, err := s.objectRequest(r, web.JSON)
	if err != nil {
		return err
	}
	o, refused := decodeObject(body, ref)
	if refused != nil {
		return refused
	}
	workspace := access.From(r.Context()).Workspace
	return s.upsert(w, r, "put", workspace, ref, o.ExternalID, func(context.Context, *object.Record) (*object.Object, error) {
		return o, nil
	})
}

// patchObject changes what the patch names. Two patches of one object on one edge are applied one after the other; on two
// edges the last write wins.
func (s *Service) patchObject(w http.ResponseWriter, r *http.Request) error {
	ref, body, err := s.objectRequest(r, web.MergePatch, web.JSON)
	if err != nil {
		return err
	}
	p, refused := decodePatch(body, ref)
	if refused != nil {
		return refused
	}
	workspace := access.From(r.Context()).Workspace
	return s.upsert(w, r, "patch", workspace, ref, p.externalID, func(ctx context.Context, rec *object.Record) (*object.Object, error) {
		rec, err := s.patched(ctx, workspace, ref, rec)
		if err != nil {
			return nil, err
		}
		current, err := s.registry.OpenObject(ctx, rec)
		if err != nil {
			return nil, unavailable(err)
		}
		return p.apply(current)
	})
}

// patched is the record that a patch changes. A conversation that has begun is an object although nobody has PUT one.
func (s *Service) patched(ctx context.Context, workspace string, ref object.Ref, rec *object.Record) (*object.Record, error) {
	if rec != nil {
		return rec, nil
	}
	if ref.Type == object.Conversation {
		_, err := s.locate(ctx, workspace, object.Lookup{Type: ref.Type, ID: ref.ID})
		if err == nil {
			return &object.Record{Version: object.RecordVersion, Workspace: workspace, Type: ref.Type, ID: ref.ID}, nil
		}
		if !errors.Is(err, registry.ErrNotFound) {
			return nil, unavailable(err)
		}
	}
	return nil, noObject(ref)
}

// objectRequest reads what PUT and PATCH have in common.
func (s *Service) objectRequest(r *http.Request, media ...string) (object.Ref, []byte, error) {
	ref, err := pathRef(r)
	if err != nil {
		return ref, nil, err
	}
	if err := web.Query(r).Err(); err != nil {
		return ref, nil, err
	}
	if _, err := web.MediaType(r, media...); err != nil {
		return ref, nil, err
	}
	body, err := body(r, object.MaxObjectBytes)
	return ref, body, err
}

func (s *Service) upsert(w http.ResponseWriter, r *http.Request, operation, workspace string, ref object.Ref, externalID string, change change) error {
	offset, err := s.store(r.Context(), workspace, ref, externalID, change)
	if err != nil {
		return err
	}
	s.metrics.objects.WithLabelValues(operation).Inc()
	p := at(topic.Objects, offset, false)
	return web.WriteJSON(w, http.StatusOK, written{ref.Type, ref.ID, p.Encode(workspace)})
}

// deleteObject writes a tombstone, whether the object is there or not: so a repeat is harmless and has a position too.
func (s *Service) deleteObject(w http.ResponseWriter, r *http.Request) error {
	ref, err := pathRef(r)
	if err != nil {
		return err
	}
	if err := web.Query(r).Err(); err != nil {
		return err
	}
	workspace := access.From(r.Context()).Workspace
	offset, err := s.drop(r.Context(), workspace, ref)
	if err != nil {
		return err
	}
	s.metrics.objects.WithLabelValues("delete").Inc()
	p := at(topic.Objects, offset, false)
	return web.WriteJSON(w, http.StatusOK, written{ref.Type, ref.ID, p.Encode(workspace)})
}

// listObjects finds objects by an external id: the one of each type that owns it.
func (s *Service) listObjects(w http.ResponseWriter, r *http.Request) error {
	workspace := access.From(r.Context()).Workspace
	q := web.Query(r)
	types, invalid := typesParam(q)
	externalID := q.String("externalId")
	if externalID == "" {
		q.Fault("externalId", "is required")
	} else if err := object.ValidateID(externalID); err != nil {
		q.Fault("externalId", err.Error())
	}
	limit, after, positions := q.Limit(), q.String("cursor"), q.Strings("position")
	if err := q.Err(); err != nil {
		return err
	}
	if invalid != nil {
		return invalid
	}
	from, err := readCursor("objects", externalID, after)
	if err != nil {
		return err
	}
	if err := s.await(r.Context(), workspace, positions); err != nil {
		return err
	}
	found, err := s.byExternal(r.Context(), workspace, types, externalID)
	if err != nil {
		return err
	}
	page := newList[objectAnswer](s.now())
	for _, o := range found {
		switch {
		case string(o.Type) <= from:
		case len(page.Data) < limit:
			page.Data = append(page.Data, answerObject(o))
		default:
			page.NextCursor = writeCursor("objects", externalID, string(page.Data[limit-1].ObjectType))
			return web.WriteJSON(w, http.StatusOK, page)
		}
	}
	return web.WriteJSON(w, http.StatusOK, page)
}

// byExternal opens the owners of an external id, by the names of their types.
func (s *Service) byExternal(ctx context.Context, workspace string, types []object.Type, externalID string) ([]*object.Object, error) {
	var found []*object.Object
	for i, t := range types {
		l := object.Lookup{Type: t, ExternalID: externalID}
		resolve := func() (*object.Record, error) { return s.registry.ResolveLocal(workspace, l) }
		if i == 0 {
			// The first one brings the whole view up to date.
			resolve = func() (*object.Record, error) { return s.find(ctx, workspace, l) }
		}
		rec, err := resolve()
		if errors.Is(err, registry.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, unavailable(err)
		}
		o, err := s.registry.OpenObject(ctx, rec)
		if err != nil {
			return nil, unavailable(err)
		}
		found = append(found, o)
	}
	return found, nil
}
