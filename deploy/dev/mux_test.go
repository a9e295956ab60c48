package dev

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestRequestsGoToTheServiceThatOwnsThePath(t *testing.T) {
	t.Parallel()
	named := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Served-By", name) })
	}
	handler := route(named("admin"), named("ingest"), named("query"), named("dispatcher"))
	for _, test := range [][3]string{
		{"GET", "/livez", "admin"},
		{"GET", "/readyz", "admin"},
		{"GET", "/metrics", "admin"},
		{"GET", "/v1/timeline/CUSTOMER/c1", "query"},
		{"GET", "/v1/timeline/CUSTOMER/a%2Fb", "query"},
		{"POST", "/v1/timeline/CUSTOMER/c1", "query"},
		{"GET", "/v1/event-log", "query"},
		{"GET", "/v1/event-log/e1", "query"},
		{"GET", "/v1/event-names?objectType=USER", "query"},
		{"GET", "/v1/conversations/c", "query"},
		{"GET", "/docs", "query"},
		{"GET", "/openapi.yaml", "query"},
		{"GET", "/openapi.json", "query"},
		{"PUT", "/v1/webhook-endpoints/e", "dispatcher"},
		{"GET", "/v1/webhook-event-types", "dispatcher"},
		{"POST", "/v1/webhook-deliveries/m/retry", "dispatcher"},
		{"PUT", "/v1/conversations", "query"},
		{"POST", "/v1/conversations", "query"},
		{"POST", "/v1/conversations/c/transitions", "ingest"},
		{"POST", "/v1/conversations/batch", "ingest"},
		{"POST", "/v1/events", "ingest"},
		{"GET", "/v1/objects/CUSTOMER/timeline", "ingest"},
		{"GET", "/v1/workspaces", "ingest"},
		{"GET", "/v1/timelines", "ingest"},
		{"GET", "/v2/timeline", "ingest"},
		{"GET", "/v1/timeline%2Fx", "ingest"},
		{"GET", "/", "ingest"},
		{"GET", "/x/readyz", "ingest"},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(test[0], test[1], nil))
		if got := w.Header().Get("Served-By"); got != test[2] {
			t.Errorf("%s %s went to %s, want %s", test[0], test[1], got, test[2])
		}
	}
}

func TestTheDoorIsAliveAndNotReadyUntilItOpens(t *testing.T) {
	t.Parallel()
	var d door
	status := func(path string) int {
		w := httptest.NewRecorder()
		d.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
			t.Errorf("%s does not say when to come back", path)
		}
		return w.Code
	}
	if got := status("/livez"); got != http.StatusOK {
		t.Errorf("/livez answers %d", got)
	}
	for _, path := range []string{"/readyz", "/v1/events"} {
		if got := status(path); got != http.StatusServiceUnavailable {
			t.Errorf("%s answers %d", path, got)
		}
	}
	d.open(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	if got := status("/readyz"); got != http.StatusTeapot {
		t.Errorf("the open door answers %d", got)
	}
}
