package dispatcher

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

// The routes' variables.
const (
	endpointVar = "endpointId"
	deliveryVar = "deliveryId"
	replayVar   = "replayId"
)

// maxBody bounds the body of a request: the settings with the longest lists, twice over.
const maxBody = 256 << 10

// routes are those of webhooks.
func (s *Service) routes() *web.Router {
	router := web.NewRouter(web.Options{
		Log: s.log, Traces: s.deps.Traces,
		// Several services may have a router on one registry.
		Registerer: prometheus.WrapRegistererWith(prometheus.Labels{"service": "dispatcher"}, s.deps.Reg),
	})
	for _, r := range []struct {
		method, template string
		handler          web.Handler
	}{
		{http.MethodGet, "/v1/webhook-event-types", s.listEventTypes},
		{http.MethodGet, "/v1/webhook-endpoints", s.listEndpoints},
		{http.MethodPut, "/v1/webhook-endpoints/{endpointId}", s.putEndpoint},
		{http.MethodGet, "/v1/webhook-endpoints/{endpointId}", s.getEndpoint},
		{http.MethodDelete, "/v1/webhook-endpoints/{endpointId}", s.deleteEndpoint},
		{http.MethodPost, "/v1/webhook-endpoints/{endpointId}/rotate-secret", s.rotateSecret},
		{http.MethodPost, "/v1/webhook-endpoints/{endpointId}/test", s.testEndpoint},
		{http.MethodGet, "/v1/webhook-endpoints/{endpointId}/deliveries", s.listDeliveries},
		{http.MethodGet, "/v1/webhook-endpoints/{endpointId}/attempts", s.listAttempts},
		{http.MethodPost, "/v1/webhook-endpoints/{endpointId}/replay", s.postReplay},
		{http.MethodGet, "/v1/webhook-endpoints/{endpointId}/replays", s.listReplays},
		{http.MethodGet, "/v1/webhook-replays/{replayId}", s.getReplay},
		{http.MethodDelete, "/v1/webhook-replays/{replayId}", s.cancelReplay},
		{http.MethodPost, "/v1/webhook-deliveries/{deliveryId}/retry", s.retryDelivery},
	} {
		router.Handle(r.method, r.template, s.deps.Require(workspace.WebhooksWrite, r.handler))
	}
	return router
}

// endpointID reads the endpoint that a path names.
func endpointID(r *http.Request) (string, error) {
	return web.PathVar(r, endpointVar, object.ValidateID)
}

// jsonBody reads a small body and no parameters.
func jsonBody(r *http.Request, into any) error {
	if err := web.Query(r).Err(); err != nil {
		return err
	}
	if _, err := web.MediaType(r, web.JSON); err != nil {
		return err
	}
	body, err := web.Body(r, maxBody)
	if err != nil {
		return err
	}
	return web.DecodeJSON(body, into)
}

// unavailable turns what the log could not do into a 503 that says when to come back.
func unavailable(err error) error {
	switch {
	case errors.Is(err, stream.ErrOverloaded), errors.Is(err, stream.ErrStalled), errors.Is(err, stream.ErrBarrierTimeout):
		return problem.Busy("The log does not answer at the moment; nothing was done.", comeBack).WithCause(err)
	case errors.Is(err, stream.ErrUnavailable):
		return problem.Busy("The log did not acknowledge in time; the request may have been accepted. It may be repeated.", comeBack).WithCause(err)
	default:
		return err
	}
}

func noEndpoint() error { return problem.New(problem.NotFound, "There is no such webhook endpoint.") }
