package ingest_test

import (
	"net/http"
	"strings"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest/abuse"
	"github.com/throughline/throughline/schema/workspace"
)

// route is one route of the write side, with a request that does something in workspace acme.
type route struct {
	abuse.Route

	scope workspace.Scope // empty: the operator's
}

// target is the path with its query.
func (r route) target() string { return strings.TrimSuffix(r.Path+"?"+r.Query, "?") }

// routes has a row for every route of the write side: TestNoBadRequestHarms fails where one is missing. What a row needs
// is there where those before it were made in this order.
func routes() []route {
	const (
		oneObject = "/v1/objects/{objectType}/{objectId}"
		oneKey    = "/v1/workspaces/{workspaceId}/api-keys/{keyId}"
		event1    = `{"objectType":"CUSTOMER","objectId":"c1","externalId":"x1","name":"n","description":"d","icon":"i","source":"s","id":"e1",` +
			`"payload":{"a":1},"occurredAt":"2026-01-02T03:04:05Z","relatedObjects":[{"objectType":"ACCOUNT","objectId":"a1"}]}`
		// Refused before it reaches the log: nobody decides commands here, and an answer would wait for that.
		command = `{"type":"waltzed","conversationId":"k1","id":"t1","occurredAt":"2026-01-02T03:04:05Z","customer":{"objectId":"c1"},` +
			`"agents":[{"objectId":"a"}],"labels":["l"],"expectedVersion":1,"rating":5,"attributes":{"a":1}}`
	)
	rows := []route{
		{abuse.Route{
			Method: http.MethodPut, Template: oneObject, Path: c1, Limit: object.MaxObjectBytes,
			Body: `{"externalId":"x1","name":"Ann","attributes":{"a":1},"relations":[{"objectType":"ACCOUNT","objectId":"a1"}]}`,
		}, workspace.ObjectsWrite},
		{abuse.Route{Method: http.MethodPatch, Template: oneObject, Path: c1, Limit: object.MaxObjectBytes, Body: `{"attributes":{"a":1}}`}, workspace.ObjectsWrite},
		{abuse.Route{Method: http.MethodGet, Template: oneObject, Path: c1}, workspace.Read},
		{abuse.Route{Method: http.MethodGet, Template: "/v1/objects", Path: "/v1/objects", Query: "objectType=CUSTOMER&externalId=x1"}, workspace.Read},
		{abuse.Route{Method: http.MethodPost, Template: "/v1/events", Path: "/v1/events", Limit: event.MaxEventBytes, Body: event1}, workspace.EventsWrite},
		{abuse.Route{
			Method: http.MethodPost, Template: eventsBatch, Path: eventsBatch, Limit: event.MaxBatchBytes, Streamed: true, Body: `{"events":[` + event1 + `]}`,
		}, workspace.EventsWrite},
		{abuse.Route{
			Method: http.MethodPost, Template: objectsBatch, Path: objectsBatch, Limit: event.MaxBatchBytes, Streamed: true,
			Body: `{"objects":[{"objectType":"ACCOUNT","objectId":"a1","externalId":"y1","name":"Ann"}]}`,
		}, workspace.ObjectsWrite},
		{abuse.Route{
			Method: http.MethodPost, Template: "/v1/conversations/{conversationId}/transitions", Path: "/v1/conversations/k1/transitions",
			Limit: conversation.MaxCommandBytes, Body: command, Status: http.StatusUnprocessableEntity,
		}, workspace.ConversationsWrite},
		{abuse.Route{
			Method: http.MethodPost, Template: "/v1/conversations/batch", Path: "/v1/conversations/batch", Limit: event.MaxBatchBytes, Streamed: true,
			Body: `{"transitions":[` + command + `]}`,
		}, workspace.ConversationsWrite},
		{abuse.Route{Method: http.MethodGet, Template: "/v1/workspaces/{workspaceId}", Path: "/v1/workspaces/acme"}, workspace.Admin},
		{abuse.Route{Method: http.MethodGet, Template: "/v1/workspaces/{workspaceId}/api-keys", Path: "/v1/workspaces/acme/api-keys"}, workspace.Admin},
		{abuse.Route{
			Method: http.MethodPost, Template: "/v1/workspaces/{workspaceId}/api-keys", Path: "/v1/workspaces/acme/api-keys", Limit: 32 << 10,
			Body: `{"name":"n","scopes":["read"],"rateLimitPerSecond":5}`, Status: http.StatusCreated,
		}, workspace.Admin},
		{abuse.Route{Method: http.MethodGet, Template: oneKey, Path: "/v1/workspaces/acme/api-keys/k"}, workspace.Admin},
		{abuse.Route{Method: http.MethodDelete, Template: oneKey, Path: "/v1/workspaces/acme/api-keys/k"}, workspace.Admin},
		{abuse.Route{Method: http.MethodGet, Template: "/v1/workspaces", Path: "/v1/workspaces"}, ""},
		{abuse.Route{
			Method: http.MethodPut, Template: "/v1/workspaces/{workspaceId}", Path: "/v1/workspaces/acme", Limit: 32 << 10,
			Body: `{"name":"Acme","timeZone":"UTC","status":"ACTIVE"}`,
		}, ""},
		{abuse.Route{Method: http.MethodDelete, Template: oneObject, Path: c1}, workspace.ObjectsWrite},
	}
	for i := range rows {
		if rows[i].Status == 0 {
			rows[i].Status = http.StatusOK
		}
	}
	return rows
}
