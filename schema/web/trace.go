package web

import (
	"net/http"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline/throughline/schema/traces"
)

// traced begins the span of a request, below the caller's where it sent one. The path stays out of it, as it stays out
// of the log: it names a customer.
func (r *Router) traced(req *http.Request, id string) *http.Request {
	if r.tracer == nil {
		return req
	}
	ctx := traces.Propagator{}.Extract(req.Context(), propagation.HeaderCarrier(req.Header))
	//nolint:spancheck // endTrace ends it
	ctx, _ = r.tracer.Start(ctx, method(req.Method), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", method(req.Method)), attribute.String("request_id", id)))
	return req.WithContext(ctx)
}

// endTrace ends the span of a request. Its name is complete only now: the route was not known before.
func (r *Router) endTrace(req *http.Request, route string, status int) {
	if r.tracer == nil {
		return
	}
	span := trace.SpanFromContext(req.Context())
	span.SetName(method(req.Method) + " " + route)
	span.SetAttributes(attribute.String("http.route", route), attribute.Int("http.response.status_code", status))
	if status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// method is a request's method as metrics and traces name it: a client may send any word.
func method(given string) string {
	if slices.Contains(methods(), given) {
		return given
	}
	return "other"
}
