package dev

import "net/http"

// Route returns the handler that gives each request to the service that owns its path: the probes and metrics to admin,
// what is only read to query, what is about webhooks to dispatcher, all else to ingest.
func Route(admin, ingest, query, dispatcher http.Handler) http.Handler {
	return route(admin, ingest, query, dispatcher)
}
