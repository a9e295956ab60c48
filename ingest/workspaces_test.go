package ingest_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/workspace"
)

// postedKey is what a POST of an API key answers.
type postedKey struct {
	ID     string   `json:"id"`
	Key    string   `json:"key"`
	Scopes []string `json:"scopes"`
}

func (e *edge) postKey(key, body string) postedKey {
	e.t.Helper()
	a := e.must(http.StatusCreated, http.MethodPost, "/v1/workspaces/acme/api-keys", key, body)
	var p postedKey
	check(e.t, json.Unmarshal(a.body, &p))
	if want := "/v1/workspaces/acme/api-keys/" + p.ID; a.header.Get("Location") != want {
		e.t.Errorf("Location is %q, want %q", a.header.Get("Location"), want)
	}
	return p
}

func TestOperatorMakesWorkspacesAndKeys(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kafka(t))
	e := l.edge(t)
	a := e.must(http.StatusOK, http.MethodPut, "/v1/workspaces/acme", adminKey, `{"name":"Acme","timeZone":"Europe/Berlin"}`)
	if got := a.member(t, "status"); got != "ACTIVE" {
		t.Errorf("status is %v", got)
	}
	if a.member(t, "position") == nil {
		t.Error("the answer has no position")
	}
	made := e.postKey(adminKey, `{"name":"ci","scopes":["objects:write","read"],"expiresAt":"2100-01-01T00:00:00Z"}`)
	e.must(http.StatusOK, http.MethodPut, c1, made.Key, `{}`) // in force here at once
	e.must(http.StatusForbidden, http.MethodPost, "/v1/events", made.Key, `{}`)

	list := e.must(http.StatusOK, http.MethodGet, "/v1/workspaces/acme/api-keys", adminKey, "")
	if bytes.Contains(list.body, []byte(made.Key)) || bytes.Contains(list.body, []byte(workspace.HashKey(made.Key))) {
		t.Errorf("the list of keys shows a secret or its hash: %s", list.body)
	}
	if !bytes.Contains(list.body, []byte(made.ID)) {
		t.Errorf("the list of keys lacks %s: %s", made.ID, list.body)
	}
	for _, r := range l.read(t, topic.Workspaces) {
		if bytes.Contains(r.Value, []byte(made.Key)) || bytes.Contains(r.Key, []byte(made.Key)) {
			t.Errorf("the log shows the secret: %s", r.Value)
		}
	}
	e.must(http.StatusOK, http.MethodDelete, "/v1/workspaces/acme/api-keys/"+made.ID, adminKey, "")
	e.must(http.StatusOK, http.MethodDelete, "/v1/workspaces/acme/api-keys/"+made.ID, adminKey, "")
	if got := e.must(http.StatusUnauthorized, http.MethodGet, c1, made.Key, "").header.Get("WWW-Authenticate"); got != `Bearer realm="throughline"` {
		t.Errorf("WWW-Authenticate is %q", got)
	}
	e.must(http.StatusNotFound, http.MethodGet, "/v1/workspaces/acme/api-keys/"+made.ID, adminKey, "")
}

func TestKeyIsInForceOnEveryEdgeWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kafka(t))
	one, two := l.edge(t), l.edge(t)
	one.must(http.StatusOK, http.MethodPut, "/v1/workspaces/acme", adminKey, `{}`)
	made := one.postKey(adminKey, `{"scopes":["read"]}`)
	within(t, 5*time.Second, func() bool { return two.do(http.MethodGet, c1, made.Key, "").status == http.StatusNotFound })
	two.must(http.StatusOK, http.MethodDelete, "/v1/workspaces/acme/api-keys/"+made.ID, adminKey, "")
	two.must(http.StatusUnauthorized, http.MethodGet, c1, made.Key, "")
	within(t, 5*time.Second, func() bool { return one.do(http.MethodGet, c1, made.Key, "").status == http.StatusUnauthorized })
}

func TestSuspendedWorkspaceIsForbiddenUntilItIsActiveAgain(t *testing.T) {
	t.Parallel()
	e := newLog(t, schematest.Kfake(t)).edge(t)
	key := e.key("acme")
	e.must(http.StatusOK, http.MethodPut, "/v1/workspaces/acme", adminKey, `{"status":"SUSPENDED"}`)
	if p := e.must(http.StatusForbidden, http.MethodPut, c1, key, `{}`).problem(t); p.Type != problem.WorkspaceSuspended {
		t.Errorf("problem is %s", p.Type)
	}
	e.must(http.StatusOK, http.MethodPut, "/v1/workspaces/acme", adminKey, `{"status":"ACTIVE"}`)
	e.must(http.StatusOK, http.MethodPut, c1, key, `{}`)
}

func TestKeyEndsWhenItExpires(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	e := newLog(t, schematest.Kfake(t)).edge(t, func(o *options) { o.now = now })
	e.must(http.StatusOK, http.MethodPut, "/v1/workspaces/acme", adminKey, `{}`)
	body, err := json.Marshal(map[string]any{"scopes": []string{"read"}, "expiresAt": now().Add(time.Hour)})
	check(t, err)
	made := e.postKey(adminKey, string(body))
	e.must(http.StatusNotFound, http.MethodGet, c1, made.Key, "")
	ahead.Store(int64(time.Hour))
	e.must(http.StatusUnauthorized, http.MethodGet, c1, made.Key, "")
}

func TestRouteIsOpenToItsScopeAlone(t *testing.T) {
	t.Parallel()
	e := newLog(t, schematest.Kfake(t)).edge(t).bare(t)
	keys := map[workspace.Scope]string{}
	for _, s := range workspace.Scopes() {
		keys[s] = e.key("acme", s)
	}
	for _, route := range routes() {
		method, path := route.Method, route.target()
		for scope, key := range keys {
			status := e.do(method, path, key, route.Body).status
			if open := status != http.StatusForbidden; open != (scope == route.scope) {
				t.Errorf("%s %s with scope %s: answered %d", method, path, scope, status)
			}
		}
		if status := e.do(method, path, "", route.Body).status; status != http.StatusUnauthorized {
			t.Errorf("%s %s without a key: answered %d", method, path, status)
		}
		if status := e.do(method, path, "tlk_unknown", route.Body).status; status != http.StatusUnauthorized {
			t.Errorf("%s %s with an unknown key: answered %d", method, path, status)
		}
		status := e.do(method, path, adminKey, route.Body).status
		if reached := status != http.StatusForbidden; reached != strings.Contains(path, "/v1/workspaces") {
			t.Errorf("%s %s with the operator's key: answered %d", method, path, status)
		}
	}
}

func TestWorkspaceNeverSeesAnothersData(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t))
	e := l.edge(t)
	all := workspace.Scopes()
	acme, other := e.key("acme", all...), e.key("other", all...)
	e.must(http.StatusOK, http.MethodPut, c1, acme, `{"externalId":"x1","name":"Ann"}`)
	existing := e.postKey(acme, `{"scopes":["read"]}`)

	for _, route := range routes() {
		method, path := route.Method, route.target()
		path = strings.Replace(path, "api-keys/k", "api-keys/"+existing.ID, 1)
		if route.scope == "" || method == http.MethodPut || path == objectsBatch || route.scope == workspace.ConversationsWrite {
			continue // the operator's, or one that makes something of its own
		}
		a := e.do(method, path, other, route.Body)
		empty := a.status == http.StatusOK && bytes.Contains(a.body, []byte(`"data":[]`))
		empty = empty || path == eventsBatch && a.batch(t).Accepted == 0
		gone := a.status == http.StatusOK && method == http.MethodDelete && strings.HasPrefix(path, "/v1/objects/")
		if a.status != http.StatusNotFound && !empty && !gone {
			t.Errorf("%s %s: another workspace's key is answered %d: %s", method, path, a.status, a.body)
		}
		if bytes.Contains(a.body, []byte("Ann")) {
			t.Errorf("%s %s: shows another workspace's data: %s", method, path, a.body)
		}
	}
	// Neither a DELETE nor a PUT of the same ids has touched acme's.
	e.must(http.StatusOK, http.MethodPut, c1, other, `{"externalId":"x1","name":"Bob"}`)
	e.must(http.StatusOK, http.MethodDelete, c1, other, "")
	if got := e.shown(c1, acme)["name"]; got != "Ann" {
		t.Errorf("name is %v, want Ann", got)
	}
}

func TestPositionOfAnotherWorkspaceIsRefused(t *testing.T) {
	t.Parallel()
	e := newLog(t, schematest.Kfake(t)).edge(t)
	acme, other := e.key("acme"), e.key("other")
	p, _ := e.must(http.StatusOK, http.MethodPut, c1, acme, `{}`).member(t, "position").(string)
	e.must(http.StatusOK, http.MethodGet, c1+"?position="+p, acme, "")
	if got := e.must(http.StatusBadRequest, http.MethodGet, c1+"?position="+p, other, "").problem(t); got.Type != problem.BadPosition {
		t.Errorf("problem is %s", got.Type)
	}
}

func TestWorkspacesAreListedPageByPage(t *testing.T) {
	t.Parallel()
	e := newLog(t, schematest.Kfake(t)).edge(t)
	for _, id := range []string{"b", "a", "c"} {
		e.must(http.StatusOK, http.MethodPut, "/v1/workspaces/"+id, adminKey, `{}`)
	}
	var ids []string
	for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
		var page struct {
			Data       []struct{ ID string } `json:"data"`
			NextCursor string                `json:"nextCursor"`
		}
		check(t, json.Unmarshal(e.must(http.StatusOK, http.MethodGet, "/v1/workspaces?limit=2&cursor="+cursor, adminKey, "").body, &page))
		for _, ws := range page.Data {
			ids = append(ids, ws.ID)
		}
		cursor = page.NextCursor
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, ids); diff != "" {
		t.Errorf("workspaces (-want +got):\n%s", diff)
	}
}

func TestAdministrativeRequestIsRefused(t *testing.T) {
	t.Parallel()
	e := newLog(t, schematest.Kfake(t)).edge(t)
	e.must(http.StatusOK, http.MethodPut, "/v1/workspaces/acme", adminKey, `{}`)
	for name, c := range map[string]struct {
		target, body string
		status       int
		pointer      string
	}{
		"an unknown time zone":          {"PUT /v1/workspaces/acme", `{"timeZone":"Mars/Base"}`, 422, "/timeZone"},
		"an unknown status":             {"PUT /v1/workspaces/acme", `{"status":"GONE"}`, 422, "/status"},
		"an id with capitals":           {"PUT /v1/workspaces/Acme", `{}`, 422, ""},
		"an unknown scope":              {"POST /v1/workspaces/acme/api-keys", `{"scopes":["all"]}`, 422, "/scopes/0"},
		"no scope":                      {"POST /v1/workspaces/acme/api-keys", `{"name":"n"}`, 422, "/scopes"},
		"an expiry in the past":         {"POST /v1/workspaces/acme/api-keys", `{"scopes":["read"],"expiresAt":1000}`, 422, "/expiresAt"},
		"a workspace that is not there": {"POST /v1/workspaces/nobody/api-keys", `{"scopes":["read"]}`, 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			method, path, _ := strings.Cut(c.target, " ")
			a := e.do(method, path, adminKey, c.body)
			p := a.problem(t)
			if a.status != c.status {
				t.Fatalf("answered %d, want %d: %s", a.status, c.status, a.body)
			}
			if c.pointer != "" && (len(p.Errors) != 1 || p.Errors[0].Pointer != c.pointer) {
				t.Errorf("errors are %v, want one at %s", p.Errors, c.pointer)
			}
		})
	}
}
