package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// workspaces makes two workspaces with a customer and an event each, through the API, and returns their keys.
func workspaces(t *testing.T, a *all, operator string) (mine, theirs string) {
	t.Helper()
	keys := make(map[string]string)
	for _, ws := range []string{"mine", "theirs"} {
		must(t, http.StatusOK, http.MethodPut, a.url+"/v1/workspaces/"+ws, operator, `{"name":"`+ws+`"}`)
		made := must(t, http.StatusCreated, http.MethodPost, a.url+"/v1/workspaces/"+ws+"/api-keys", operator,
			`{"name":"k","scopes":["events:write","objects:write","read","admin"]}`)
		keys[ws] = made.member(t, "key").(string)
		must(t, http.StatusOK, http.MethodPut, a.url+"/v1/objects/CUSTOMER/c-"+ws, keys[ws], `{"name":"Of `+ws+`","externalId":"x-`+ws+`"}`)
		position := must(t, http.StatusOK, http.MethodPost, a.url+"/v1/events", keys[ws], eventJSON("c-"+ws, "e-"+ws, "Secret of "+ws)).member(t, "position").(string)
		for _, path := range []string{"/v1/timeline/CUSTOMER/c-" + ws, "/v1/event-log"} {
			must(t, http.StatusOK, http.MethodGet, a.url+path+"?position="+position, keys[ws], "")
		}
	}
	return keys["mine"], keys["theirs"]
}

func TestAWorkspaceNeverSeesAnothersData(t *testing.T) {
	t.Parallel()
	embeddedOnly(t)
	const operator = "the-operators-own-key"
	a := dev(t, t.TempDir(), "THROUGHLINE_ADMIN_KEY="+operator)
	mine, theirs := workspaces(t, a, operator)
	theirPosition := must(t, http.StatusOK, http.MethodPut, a.url+"/v1/objects/CUSTOMER/c-theirs", theirs,
		`{"name":"Of theirs","externalId":"x-theirs"}`).member(t, "position").(string)

	for _, r := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/v1/timeline/CUSTOMER/c-theirs", "", 200},
		{"GET", "/v1/event-log?objectId=c-theirs&objectType=CUSTOMER", "", 200},
		{"GET", "/v1/event-log", "", 200},
		{"GET", "/v1/event-log/e-theirs", "", 404},
		{"GET", "/v1/event-names", "", 200},
		{"GET", "/v1/timeline/CUSTOMER/c-mine?position=" + theirPosition, "", 400},
		{"GET", "/v1/objects/CUSTOMER/c-theirs", "", 404},
		{"GET", "/v1/objects?objectType=CUSTOMER&externalId=x-theirs", "", 200},
		{"PATCH", "/v1/objects/CUSTOMER/c-theirs", `{"name":"Taken"}`, 404},
		{"POST", "/v1/events", eventJSON("c-theirs", "e-new", "Forged"), 404},
		{"POST", "/v1/events", `{"objectType":"CUSTOMER","externalId":"x-theirs","name":"Forged"}`, 404},
		{"POST", "/v1/events/batch", `{"events":[` + eventJSON("c-theirs", "e-new", "Forged") + `]}`, 200}, // and refused in it
		{"DELETE", "/v1/objects/CUSTOMER/c-theirs", "", 200},                                               // of an object of mine that is not there
		{"GET", "/v1/workspaces", "", 403},
		{"GET", "/v1/workspaces/theirs", "", 404},
		{"PUT", "/v1/workspaces/theirs", `{"name":"Taken"}`, 403},
		{"GET", "/v1/workspaces/theirs/api-keys", "", 404},
		{"POST", "/v1/workspaces/theirs/api-keys", `{"name":"k","scopes":["read"]}`, 404},
		{"DELETE", "/v1/workspaces/theirs/api-keys/k", "", 404},
	} {
		got := do(t, r.method, a.url+r.path, mine, r.body)
		if got.status != r.status {
			t.Errorf("%s %s: got %d, want %d: %s", r.method, r.path, got.status, r.status, got.body)
		}
		for _, secret := range []string{"e-theirs", "Secret of theirs", "Of theirs"} {
			if strings.Contains(string(got.body), secret) && !strings.Contains(r.path, secret) {
				t.Errorf("%s %s shows %q: %s", r.method, r.path, secret, got.body)
			}
		}
	}
	// Nothing of what was tried has reached them.
	if got := must(t, http.StatusOK, http.MethodGet, a.url+"/v1/objects/CUSTOMER/c-theirs", theirs, ""); got.member(t, "name") != "Of theirs" {
		t.Errorf("got %s", got.body)
	}
	if ids := list(t, a.url+"/v1/timeline/CUSTOMER/c-theirs?limit=10", theirs); len(ids) != 1 {
		t.Errorf("got %v", ids)
	}
}

func TestKeysOpenWhatTheirScopesSay(t *testing.T) {
	t.Parallel()
	embeddedOnly(t)
	const operator = "the-operators-own-key"
	a := dev(t, t.TempDir(), "THROUGHLINE_ADMIN_KEY="+operator)
	must(t, http.StatusOK, http.MethodPut, a.url+"/v1/objects/CUSTOMER/c1", a.key, `{}`)
	scoped := func(scope string) string {
		return must(t, http.StatusCreated, http.MethodPost, a.url+"/v1/workspaces/default/api-keys", operator,
			fmt.Sprintf(`{"name":"k","scopes":[%q]}`, scope)).member(t, "key").(string)
	}
	reader, writer := scoped("read"), scoped("events:write")
	for _, r := range []struct {
		name, key, method, path string
		status                  int
	}{
		{"no key", "", "GET", "/v1/timeline/CUSTOMER/c1", 401},
		{"an unknown key", "tlk_nobody-knows-this", "GET", "/v1/timeline/CUSTOMER/c1", 401},
		{"a reader reads", reader, "GET", "/v1/timeline/CUSTOMER/c1", 200},
		{"a reader does not write", reader, "POST", "/v1/events", 403},
		{"a writer writes", writer, "POST", "/v1/events", 200},
		{"a writer does not read", writer, "GET", "/v1/event-log", 403},
		{"the first key administers nothing", a.key, "GET", "/v1/workspaces/default/api-keys", 403},
		{"the operator reads no timeline", operator, "GET", "/v1/timeline/CUSTOMER/c1", 403},
		{"the operator posts nothing", operator, "POST", "/v1/events", 403},
	} {
		body := ""
		if r.method == http.MethodPost {
			body = `{"objectType":"CUSTOMER","objectId":"c1","name":"n"}`
		}
		got := do(t, r.method, a.url+r.path, r.key, body)
		if got.status != r.status {
			t.Errorf("%s: got %d, want %d: %s", r.name, got.status, r.status, got.body)
		}
		if r.status == http.StatusUnauthorized && got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: there is no challenge", r.name)
		}
		if r.status >= 400 && got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: the refusal is %s", r.name, got.header.Get("Content-Type"))
		}
	}
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/metrics": 200, "/nothing": 404} {
		must(t, want, http.MethodGet, a.url+path, "", "")
	}
	got := must(t, http.StatusMethodNotAllowed, http.MethodPost, a.url+"/v1/timeline/CUSTOMER/c1", a.key, "{}")
	if !strings.Contains(got.header.Get("Allow"), "GET") {
		t.Errorf("Allow is %q", got.header.Get("Allow"))
	}
}
