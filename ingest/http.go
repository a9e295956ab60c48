package ingest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/position"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

// retryAfter is when a client that found us busy should come back.
const retryAfter = time.Second

// stalledRetryAfter is when a client should come back that was refused because the log does not acknowledge: that is
// tried again as often.
const stalledRetryAfter = 2 * time.Second

// The routes' variables.
const (
	typeVar      = "objectType"
	idVar        = "objectId"
	workspaceVar = "workspaceId"
	keyVar       = "keyId"
)

// routes adds every route of the write side.
func (s *Service) routes() {
	const batch = 0 // its items are counted when they are known
	for _, r := range []struct {
		method, template string
		scope            workspace.Scope
		items            int
		handler          web.Handler
	}{
		{http.MethodPost, "/v1/events", workspace.EventsWrite, 1, s.postEvent},
		{http.MethodPost, "/v1/events/batch", workspace.EventsWrite, batch, s.postEvents},
		{http.MethodPost, "/v1/objects/batch", workspace.ObjectsWrite, batch, s.postObjects},
		{http.MethodPut, "/v1/objects/{objectType}/{objectId}", workspace.ObjectsWrite, 1, s.putObject},
		{http.MethodPatch, "/v1/objects/{objectType}/{objectId}", workspace.ObjectsWrite, 1, s.patchObject},
		{http.MethodDelete, "/v1/objects/{objectType}/{objectId}", workspace.ObjectsWrite, 1, s.deleteObject},
		{http.MethodPost, "/v1/conversations/batch", workspace.ConversationsWrite, batch, s.postTransitions},
		{http.MethodPost, "/v1/conversations/{conversationId}/transitions", workspace.ConversationsWrite, 1, s.postTransition},
	} {
		s.router.Handle(r.method, r.template, s.access.Require(r.scope, s.bounded(s.flowing(s.counted(r.items, r.handler)))))
	}
	read := func(h web.Handler) web.Handler { return s.access.Require(workspace.Read, s.bounded(h)) }
	s.router.Handle(http.MethodGet, "/v1/objects", read(s.listObjects))
	s.router.Handle(http.MethodGet, "/v1/objects/{objectType}/{objectId}", read(s.getObject))
	operator := func(h web.Handler) web.Handler { return s.access.RequireOperator(s.bounded(h)) }
	s.router.Handle(http.MethodGet, "/v1/workspaces", operator(s.listWorkspaces))
	s.router.Handle(http.MethodPut, "/v1/workspaces/{workspaceId}", operator(s.flowing(s.putWorkspace)))
	admin := func(h web.Handler) web.Handler { return s.access.RequireAdmin(workspaceVar, s.bounded(h)) }
	s.router.Handle(http.MethodGet, "/v1/workspaces/{workspaceId}", admin(s.getWorkspace))
	s.router.Handle(http.MethodGet, "/v1/workspaces/{workspaceId}/api-keys", admin(s.listKeys))
	s.router.Handle(http.MethodPost, "/v1/workspaces/{workspaceId}/api-keys", admin(s.flowing(s.postKey)))
	s.router.Handle(http.MethodGet, "/v1/workspaces/{workspaceId}/api-keys/{keyId}", admin(s.getKey))
	s.router.Handle(http.MethodDelete, "/v1/workspaces/{workspaceId}/api-keys/{keyId}", admin(s.flowing(s.deleteKey)))
}

// pathRef reads the object that a path names.
func pathRef(r *http.Request) (object.Ref, error) {
	name, err := web.PathVar(r, typeVar, func(v string) error {
		_, err := object.ParseType(v)
		return err
	})
	if err != nil {
		return object.Ref{}, err
	}
	t, err := object.ParseType(name)
	if err != nil {
		return object.Ref{}, err
	}
	id, err := web.PathVar(r, idVar, object.ValidateID)
	return object.Ref{Type: t, ID: id}, err
}

// faults turns broken rules into a 422, or nil.
func faults(broken []object.Violation) *problem.Problem {
	if len(broken) == 0 {
		return nil
	}
	out := make([]problem.Fault, len(broken))
	for i, v := range broken {
		out[i] = problem.At(v.Pointer, v.Detail)
	}
	return problem.Invalid(out...)
}

// unavailable turns what the log or the registry could not do into a 503 that says when to come back. Everything else is
// returned as it is.
func unavailable(err error) error {
	switch {
	case errors.Is(err, registry.ErrBehind):
		return problem.Busy("The registry of objects has not caught up; nothing was done.", retryAfter).WithCause(err)
	case errors.Is(err, stream.ErrOverloaded):
		return problem.Busy("Too much is waiting to be written; nothing was done.", retryAfter).WithCause(err)
	case errors.Is(err, stream.ErrStalled):
		return problem.Busy("The log does not acknowledge at the moment; nothing was done.", stalledRetryAfter).WithCause(err)
	case errors.Is(err, stream.ErrBarrierTimeout):
		return problem.Busy("The log did not answer in time; nothing was done.", retryAfter).WithCause(err)
	case errors.Is(err, stream.ErrUnavailable):
		return problem.Busy("The log did not acknowledge in time; the request may have been accepted. Repeat it with the same id.",
			retryAfter).WithCause(err)
	case errors.Is(err, context.DeadlineExceeded):
		return problem.Busy("The request took longer than it may; nothing was done.", retryAfter).WithCause(err)
	default:
		return err
	}
}

// at is the position of one record.
func at(name topic.Name, o stream.Offset, pending bool) position.Position {
	var p position.Position
	p.Add(position.Entry{Topic: name, Partition: o.Partition, Offset: o.Offset, Pending: pending})
	return p
}

// prefers reads the Prefer header (RFC 7240).
func prefers(r *http.Request, preference string) bool {
	for _, line := range r.Header.Values("Prefer") {
		for item := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(item, ";")
			if strings.EqualFold(strings.TrimSpace(name), preference) {
				return true
			}
		}
	}
	return false
}
