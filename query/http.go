package query

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/schema/api"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

// routes lists every route of the service: reads, which all need the scope read, and the API's document, which needs no
// key.
func (s *Service) routes() *web.Router {
	router := web.NewRouter(web.Options{
		Log: s.deps.Log,
		// Several services may have a router on one registry.
		Registerer: prometheus.WrapRegistererWith(prometheus.Labels{"service": "query"}, s.deps.Reg),
		Traces:     s.deps.Traces,
	})
	reads := router.With(func(next web.Handler) web.Handler { return s.deps.Require([]workspace.Scope{workspace.Read}, next) })
	reads.Handle(http.MethodGet, "/v1/timeline/{objectType}/{objectId}", s.timeline)
	reads.Handle(http.MethodGet, "/v1/event-log", s.eventLog)
	reads.Handle(http.MethodGet, "/v1/event-log/{id}", s.eventLogEntry)
	reads.Handle(http.MethodGet, "/v1/event-names", s.eventNames)
	reads.Handle(http.MethodGet, "/v1/search", s.search)
	reads.Handle(http.MethodGet, "/v1/conversations", s.conversations)
	reads.Handle(http.MethodGet, "/v1/conversations/{conversationId}", s.conversation)
	reads.Handle(http.MethodGet, "/v1/conversations/{conversationId}/transitions", s.transitions)
	reads.Handle(http.MethodGet, "/v1/reports/conversations", s.reportConversations)
	screens := router.With(func(next web.Handler) web.Handler { return s.deps.Require(wallboardScopes(), next) })
	screens.Handle(http.MethodGet, "/v1/wallboard", s.wallboard)
	screens.Handle(http.MethodGet, "/v1/wallboard/stream", s.wallboardStream)
	api.Serve(router)
	return router
}
