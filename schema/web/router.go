// Package web is the HTTP plumbing that every service shares: the router with
// its request ids, problems, access log and metrics; strict bodies; strict
// query parameters. A handler reads with it, returns an error, and never
// writes an error answer itself.
package web

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/traces"
)

// Handler answers a request, or returns why not. A *problem.Problem anywhere
// in the error's chain is written as it is; any other error is logged once and
// becomes a 500, or a 503 where its kind is problem.Retry. A handler that has
// begun its answer may still return an error: the connection is then cut, so
// that the client cannot take half an answer for a whole one.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Middleware wraps a handler, for example with a check of its caller.
type Middleware func(Handler) Handler

// Options are what a router needs.
type Options struct {
	// Log receives one line a request.
	Log *slog.Logger
	// Registerer receives the router's metrics. Two routers on one registry
	// need prometheus.WrapRegistererWith and a label that tells them apart.
	Registerer prometheus.Registerer
	// Traces receives a span for each request; nil means that there are none.
	Traces trace.TracerProvider
}

// Router routes by method and path template and serves HTTP. Routes are added
// before it serves; it must not change afterwards.
type Router struct {
	mux     *mux.Router
	log     *slog.Logger
	metrics *metrics
	tracer  trace.Tracer
	wrap    []Middleware
}

// NewRouter returns a router without routes. It matches the encoded path, so
// that an id may contain a slash (a%2Fb), and cleans nothing, because a
// redirect loses the body of a POST and an id may hold two slashes in a row.
func NewRouter(o Options) *Router {
	r := &Router{
		mux:     mux.NewRouter().UseEncodedPath().SkipClean(true),
		log:     o.Log,
		metrics: newMetrics(o.Registerer),
	}
	if o.Traces != nil {
		r.tracer = o.Traces.Tracer(traces.Scope)
	}
	r.mux.NotFoundHandler = r.adapt("", func(http.ResponseWriter, *http.Request) error {
		return problem.New(problem.NotFound, "")
	})
	r.mux.MethodNotAllowedHandler = r.adapt("", func(_ http.ResponseWriter, req *http.Request) error {
		return problem.NotAllowed(req.Method, r.allowed(req))
	})
	return r
}

// With returns a router that adds its routes to the same tree, each wrapped by
// the middlewares, the first outermost.
func (r *Router) With(wrap ...Middleware) *Router {
	c := *r
	c.wrap = slices.Concat(r.wrap, wrap)
	return &c
}

// Handle adds a route. The template is that of gorilla/mux, as in
// /v1/objects/{objectType}/{objectId}; it also is the route's name in logs and
// metrics. A GET answers HEAD too.
func (r *Router) Handle(method, template string, h Handler) {
	for _, wrap := range slices.Backward(r.wrap) {
		h = wrap(h)
	}
	methods := []string{method}
	if method == http.MethodGet {
		methods = append(methods, http.MethodHead)
	}
	r.mux.Handle(template, r.adapt(template, h)).Methods(methods...)
}

// Mount hands every path below a prefix to a handler of its own, such as the
// app's files. A path of the API never falls through to it: an unknown one
// stays a 404 with a problem. Routes added earlier go first.
func (r *Router) Mount(prefix string, h http.Handler) {
	outsideAPI := func(req *http.Request, _ *mux.RouteMatch) bool {
		return !strings.HasPrefix(req.URL.Path, "/v1/")
	}
	r.mux.PathPrefix(prefix).MatcherFunc(outsideAPI).Handler(
		r.adapt(strings.TrimSuffix(prefix, "/")+"/*", func(w http.ResponseWriter, req *http.Request) error {
			h.ServeHTTP(w, req)
			return nil
		}))
}

// allowed lists the methods that the path of a request has. mux says that a
// method does not fit, but not which would, so each is tried.
func (r *Router) allowed(req *http.Request) []string {
	probe := *req
	var allow []string
	for _, method := range methods() {
		var match mux.RouteMatch
		probe.Method = method
		if r.mux.Match(&probe, &match) && match.MatchErr == nil {
			allow = append(allow, method)
		}
	}
	return allow
}

// methods are the methods of RFC 9110 and 5789 that a route may have.
func methods() []string {
	return []string{
		http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodOptions,
		http.MethodPatch, http.MethodPost, http.MethodPut,
	}
}
