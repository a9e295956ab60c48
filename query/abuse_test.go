package query

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/throughline/throughline/schema/api"
	"github.com/throughline/throughline/schema/schematest/abuse"
	"github.com/throughline/throughline/schema/table"
)

func TestNoBadRequestHarms(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	insert(t, f, table.EventLog, logged("e1", "LINKED", noon()))
	insert(t, f, table.Timeline, timelineOf("e1"))
	insert(t, f, table.Conversations, table.ConversationRow{
		Workspace: "ws", ConversationID: "k1", Version: 1, State: "OPEN", OpenedAt: noon(), LastTransitionAt: noon(),
		Conversation: `{"conversationId":"k1","version":1,"state":"OPEN"}`,
	})
	server := httptest.NewServer(f.service.Handler())
	t.Cleanup(server.Close)
	rows := []abuse.Route{
		{Template: "/v1/timeline/{objectType}/{objectId}", Path: c1, Query: "q=visited&order=asc"},
		{Template: "/v1/event-log", Path: eventLogPath, Query: "processingStatus=LINKED"},
		{Template: "/v1/event-log/{id}", Path: eventLogPath + "/e1"},
		{Template: "/v1/event-names", Path: "/v1/event-names", Query: "objectType=CUSTOMER"},
		{Template: "/v1/search", Path: searchPath, Query: "q=visited"},
		{Template: "/v1/conversations", Path: "/v1/conversations", Query: "state=OPEN"},
		{Template: "/v1/conversations/{conversationId}", Path: "/v1/conversations/k1"},
		{Template: "/v1/conversations/{conversationId}/transitions", Path: "/v1/conversations/k1/transitions", Query: "limit=3"},
		{Template: "/v1/reports/conversations", Path: "/v1/reports/conversations", Query: "interval=1d"},
		// Nothing reads the log here, so that wallboards stay unread.
		{Template: "/v1/wallboard", Path: "/v1/wallboard", Query: "groupBy=team", Status: http.StatusServiceUnavailable},
		{Template: "/v1/wallboard/stream", Path: "/v1/wallboard/stream", Query: "groupBy=team", Status: http.StatusServiceUnavailable},
		{Template: api.YAMLPath, Path: api.YAMLPath, Open: true},
		{Template: api.JSONPath, Path: api.JSONPath, Open: true},
		{Template: api.PagePath, Path: api.PagePath, Open: true},
	}
	for i := range rows {
		rows[i].Method, rows[i].Key = http.MethodGet, "ws"
		if rows[i].Status == 0 {
			rows[i].Status = http.StatusOK
		}
	}
	routes, err := f.service.router.Routes()
	if err != nil {
		t.Fatal(err)
	}
	abuse.Attack(t, abuse.Service{
		URL: server.URL, Routes: routes, Table: rows, Refused: map[string]string{"no key": "", "another scheme": "Basic d3M6"},
	})
}
