package dispatcher

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/schematest/abuse"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

func TestNoBadRequestHarms(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.Kfake(t), true, 2)
	hooks := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	s := w.startWithTables()
	settings := fmt.Sprintf(`{"url":"%s","enabled":true,"events":["event.linked"],"authToken":"t","authHeaderName":"X-Token",`+
		`"signingSecret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw","assignedScope":"all","teams":["a"],"channels":["b"],`+
		`"objectTypes":["CUSTOMER"],"filter":"true","queueThreshold":1,"format":"json","digestSeconds":0,"rateLimitPerSecond":1,`+
		`"ordering":"none","headers":{"X-A":"b"},"id":"put"}`, hooks.URL)
	const endpoints = "/v1/webhook-endpoints"
	rows := []abuse.Route{
		{Method: http.MethodGet, Template: "/v1/webhook-event-types"},
		{Method: http.MethodGet, Template: endpoints, Query: "limit=3"},
		{Method: http.MethodPut, Template: endpoints + "/{endpointId}", Path: endpoints + "/put", Body: settings, Limit: maxBody},
		{Method: http.MethodGet, Template: endpoints + "/{endpointId}"},
		{Method: http.MethodDelete, Template: endpoints + "/{endpointId}", Path: endpoints + "/delete"},
		{Method: http.MethodPost, Template: endpoints + "/{endpointId}/rotate-secret"},
		{
			Method: http.MethodPost, Template: endpoints + "/{endpointId}/test", Body: `{"type":"event.linked"}`, Optional: true,
			Limit: maxBody, Status: http.StatusAccepted,
		},
		{Method: http.MethodGet, Template: endpoints + "/{endpointId}/deliveries", Query: "status=PENDING"},
		{Method: http.MethodGet, Template: endpoints + "/{endpointId}/attempts", Query: "deliveryId=msg_1"},
		// Replays of an endpoint that is disabled are refused, so that none is in the way of the next.
		{
			Method: http.MethodPost, Template: endpoints + "/{endpointId}/replay", Path: endpoints + "/off/replay", Limit: maxBody,
			Body: `{"from":"2026-01-01T00:00:00Z","to":null,"only":"all"}`, Status: http.StatusConflict,
		},
		{Method: http.MethodGet, Template: endpoints + "/{endpointId}/replays", Query: "limit=3"},
		{Method: http.MethodGet, Template: "/v1/webhook-replays/{replayId}", Path: "/v1/webhook-replays/none", Status: http.StatusNotFound},
		{Method: http.MethodDelete, Template: "/v1/webhook-replays/{replayId}", Path: "/v1/webhook-replays/none", Status: http.StatusNotFound},
		// No delivery is in the tables here; package contract of deploy retries one.
		{Method: http.MethodPost, Template: "/v1/webhook-deliveries/{deliveryId}/retry", Path: "/v1/webhook-deliveries/msg_1/retry", Status: http.StatusNotFound},
	}
	for i := range rows {
		r := &rows[i]
		r.Key = "ws"
		r.Status = cmp.Or(r.Status, http.StatusOK)
		// An endpoint for each route, because all are attacked at once.
		r.Path = cmp.Or(r.Path, strings.ReplaceAll(r.Template, "{endpointId}", fmt.Sprintf("e%d", i)))
		if strings.Contains(r.Template, "{endpointId}") {
			w.endpoint(fmt.Sprintf("e%d", i), hooks.URL)
		}
	}
	routes, err := s.router.Routes()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	off, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL+endpoints+"/off",
		strings.NewReader(`{"url":"`+hooks.URL+`","enabled":false,"events":["event.linked"]}`))
	if err != nil {
		t.Fatal(err)
	}
	off.Header.Set("Authorization", "Bearer ws")
	if res, err := http.DefaultClient.Do(off); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("an endpoint that is disabled: %v %v", res, err)
	} else {
		_ = res.Body.Close()
	}
	abuse.Attack(t, abuse.Service{
		URL: server.URL, Routes: routes, Table: rows, Refused: map[string]string{"no key": "", "another scheme": "Basic d3M6"},
	})
}

// startWithTables runs a dispatcher that has the tables of deliveries, and takes the bearer of a request for the name of
// its workspace.
func (w *world) startWithTables() *Service {
	w.t.Helper()
	db := schematest.ClickHouse(w.t)
	write, err := store.Open(w.t.Context(), store.Config{Addr: db.Addr, Database: db.Database, User: db.User, Password: db.Password}, store.ReadWrite)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = write.Close() })
	if _, err := store.Migrate(w.t.Context(), write, table.Migrations(), nil); err != nil {
		w.t.Fatal(err)
	}
	s, err := New(w.cfg, Deps{
		Kafka: w.kafka, Producer: w.producer, Master: w.master, Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry(),
		ClickHouse: store.Config{Addr: db.Addr, Database: db.Database, User: db.ReadUser, Password: db.ReadPassword},
		Require:    bearerIsWorkspace,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.run(s)
	w.eventually("the tables are open", func() bool { return s.Ready(context.WithoutCancel(w.t.Context())) == nil })
	return s
}

func bearerIsWorkspace(scope workspace.Scope, next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		ws, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			return problem.NoKey("")
		}
		return next(w, r.WithContext(access.WithPrincipal(r.Context(), access.Principal{Workspace: ws, Scopes: []workspace.Scope{scope}})))
	}
}
