package dev

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/throughline/throughline/schema/api"
	"github.com/throughline/throughline/schema/problem"
)

// startingRetry is when a client that found dev starting should come back: most starts take a few seconds.
const startingRetry = time.Second

// route hands a request to the service that owns its path, as a proxy in front of separate processes does.
func route(admin, ingest, query, dispatcher http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The encoded path: an id that holds a slash is one segment.
		path := r.URL.EscapedPath()
		switch path {
		case "/livez", "/readyz", "/metrics":
			admin.ServeHTTP(w, r)
			return
		}
		if strings.HasPrefix(path, "/v1/webhook-") {
			dispatcher.ServeHTTP(w, r)
			return
		}
		if reads(r.Method, path) {
			query.ServeHTTP(w, r)
			return
		}
		ingest.ServeHTTP(w, r)
	})
}

// reads says whether a request belongs to the query service. Resources that are only read belong to it with every
// method, so that a POST to a timeline is told which methods there are. So does the API's document.
func reads(method, path string) bool {
	switch path {
	case api.YAMLPath, api.JSONPath, api.PagePath:
		return true
	}
	rest, versioned := strings.CutPrefix(path, "/v1/")
	if !versioned {
		return false
	}
	resource, _, deeper := strings.Cut(rest, "/")
	switch resource {
	case "timeline", "event-log", "event-names", "search", "wallboard", "reports":
		return true
	case "conversations":
		// What is posted goes to one conversation or to the batch; whatever else belongs to the service with the reads,
		// which says which methods there are.
		return method != http.MethodPost || !deeper
	default:
		return false
	}
}

// door is a handler that is put in place once it is there. Until then the process is alive, not ready, and every
// other request is told to come back.
type door struct {
	inside atomic.Pointer[http.Handler]
}

func (d *door) open(h http.Handler) { d.inside.Store(&h) }

// ServeHTTP answers from inside, or for what is still starting.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := d.inside.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	if r.URL.Path == "/livez" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n")) // a probe that has gone cannot be told
		return
	}
	problem.Write(w, r, problem.Busy("throughline is starting", startingRetry))
}
