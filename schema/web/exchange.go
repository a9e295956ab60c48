package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/throughline/throughline/schema/problem"
)

// RequestIDHeader carries the request's id in both directions.
const RequestIDHeader = "X-Request-Id"

// statusClientGone stands in logs for a request whose client left before its
// answer. It is never sent.
const statusClientGone = 499

// exchange is what is known of a request beside the request itself.
type exchange struct {
	id    string
	route string
	// end is how it ended, for the log.
	end outcome

	mu    sync.Mutex
	attrs []slog.Attr
	// room is where attrs begin: a handler that adds few needs no memory for them.
	room   [4]slog.Attr
	values []attached
}

// attached is a value that a middleware knows of the request.
type attached struct{ key, value any }

// RequestID implements problem.Request.
func (x *exchange) RequestID() string { return x.id }

// of is the exchange that a context belongs to, or nil.
func of(ctx context.Context) *exchange {
	x, _ := problem.RequestOf(ctx).(*exchange)
	return x
}

// Attach notes a value of the request for the handlers behind, as
// context.WithValue would, without a new context and a copy of the request. A
// context that belongs to no request gets the value the ordinary way.
func Attach(ctx context.Context, key, value any) context.Context {
	x := of(ctx)
	if x == nil {
		return context.WithValue(ctx, key, value)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.values = append(x.values, attached{key, value})
	return ctx
}

// Attached is the value that was attached last under the key, or nil.
func Attached(ctx context.Context, key any) any {
	if x := of(ctx); x != nil {
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, a := range slices.Backward(x.values) {
			if a.key == key {
				return a.value
			}
		}
	}
	return ctx.Value(key)
}

// Annotate adds attributes to the one line that the request logs, such as the
// workspace and the counts of a batch. Outside a router it does nothing.
func Annotate(ctx context.Context, attrs ...slog.Attr) {
	x := of(ctx)
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.attrs == nil {
		x.attrs = x.room[:0]
	}
	x.attrs = append(x.attrs, attrs...)
}

// RequestID is the id of the request that the context serves, or empty.
func RequestID(ctx context.Context) string { return problem.RequestID(ctx) }

// ServeHTTP answers a request: it gives it an id, routes it, turns an error or
// a panic into a problem, logs one line and counts it.
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	start := time.Now()
	r.metrics.inFlight.Inc()
	defer r.metrics.inFlight.Dec()

	id := requestID(req.Header.Get(RequestIDHeader))
	req = r.traced(req, id)
	x := &exchange{id: id, route: unmatched}
	req = req.WithContext(problem.WithRequest(req.Context(), x))
	rec := &recorder{ResponseWriter: w}
	rec.Header().Set(RequestIDHeader, id)
	defer func() {
		r.finish(req, x, rec, time.Since(start))
		if x.end.abort {
			panic(http.ErrAbortHandler)
		}
	}()
	r.mux.ServeHTTP(rec, req)
}

// outcome is how a request ended.
type outcome struct {
	err   error
	stack []byte
	abort bool
}

// adapt makes an http.Handler of a route's handler. The template is empty for
// requests that match no route: their paths must not become label values.
func (r *Router) adapt(template string, h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		x := of(req.Context())
		rec, isRecorder := w.(*recorder)
		if x == nil || !isRecorder {
			panic("web: a route was reached around its router")
		}
		if template != "" {
			x.route = template
		}
		o := &x.end
		err := guard(h, rec, req, o)
		if err == nil {
			return
		}
		o.err = err
		if o.abort || rec.status != 0 {
			o.abort = true
			return
		}
		if clientGone(req, err) {
			rec.status = statusClientGone
			return
		}
		problem.Write(rec, req, problem.From(err))
	})
}

// guard runs the handler and turns a panic into an error with its stack.
func guard(h Handler, w *recorder, req *http.Request, o *outcome) (err error) {
	defer func() {
		switch cause := recover(); cause {
		case nil:
		case http.ErrAbortHandler:
			o.abort, err = true, http.ErrAbortHandler
		default:
			o.stack = debug.Stack()
			err = fmt.Errorf("panic: %v", cause)
		}
	}()
	return h(w, req)
}

// clientGone reports whether the error is only the echo of a client that left.
func clientGone(req *http.Request, err error) bool {
	if !errors.Is(req.Context().Err(), context.Canceled) {
		return false
	}
	_, refused := errors.AsType[*problem.Problem](err)
	return !refused
}

// finish logs the request's line and counts it. The client's address and the
// path are left out: they are personal, and the request id finds a request.
func (r *Router) finish(req *http.Request, x *exchange, rec *recorder, took time.Duration) {
	o, status := x.end, rec.status
	if status == 0 {
		status = http.StatusOK // net/http writes it when the handler wrote nothing
	}
	r.metrics.observe(x.route, method(req.Method), status, took)
	r.endTrace(req, x.route, status)

	const most = 12 // of this line, with what handlers add
	attrs := append(make([]slog.Attr, 0, most),
		slog.String("request_id", x.id),
		slog.String("method", method(req.Method)),
		slog.String("route", x.route),
		slog.Int("status", status),
		slog.Int64("bytes_in", max(req.ContentLength, 0)),
		slog.Int64("bytes_out", rec.bytes),
		slog.Float64("duration_seconds", took.Seconds()),
	)
	x.mu.Lock()
	attrs = append(attrs, x.attrs...)
	x.mu.Unlock()
	level := slog.LevelInfo
	if o.err != nil && status != statusClientGone {
		p := problem.From(o.err)
		r.metrics.problems.WithLabelValues(string(p.Type)).Inc()
		attrs = append(attrs, slog.String("problem", string(p.Type)))
		// What a client did wrong is in its answer, and may hold its data.
		if p.Status >= http.StatusInternalServerError {
			level = slog.LevelWarn
			attrs = append(attrs, slog.String("error", o.err.Error()))
		}
		if p.Type == problem.Internal && !errors.Is(o.err, http.ErrAbortHandler) {
			level = slog.LevelError
		}
	}
	if o.stack != nil {
		attrs = append(attrs, slog.String("stack", string(o.stack)))
	}
	r.log.LogAttrs(req.Context(), level, "request answered", attrs...)
}

// requestID keeps the id a proxy gave if it is short and plain, because it is
// written into logs and answers; otherwise it makes one.
func requestID(given string) string {
	if n := len(given); n > 0 && n <= 64 && plain(given) {
		return given
	}
	return uuid.Must(uuid.NewV7()).String() // fails only where the system has no randomness
}

func plain(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
