package ingest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/topic"
)

const c1 = "/v1/objects/CUSTOMER/c1"

// shown is an object as a GET answers it, without the time.
func (e *edge) shown(path, key string) map[string]any {
	e.t.Helper()
	a := e.must(http.StatusOK, http.MethodGet, path, key, "")
	var o map[string]any
	check(e.t, json.Unmarshal(a.body, &o))
	if o["updatedAt"] == nil {
		e.t.Errorf("%s shows no updatedAt", path)
	}
	delete(o, "updatedAt")
	return o
}

func TestObjectIsReplacedByPutAndChangedByPatch(t *testing.T) {
	t.Parallel()
	e := newLog(t, schematest.Kfake(t)).edge(t)
	key := e.key("acme")
	e.must(http.StatusOK, http.MethodPut, c1, key,
		`{"externalId":"x1","name":"Ann","attributes":{"plan":"gold","address":{"city":"Ulm","zip":89073.0}},
		  "relations":[{"objectType":"agent","externalId":"77"},{"objectType":"ACCOUNT","objectId":"a1"}]}`)
	want := map[string]any{
		"objectType": "CUSTOMER", "objectId": "c1", "externalId": "x1", "name": "Ann",
		"attributes": map[string]any{"plan": "gold", "address": map[string]any{"city": "Ulm", "zip": 89073.0}},
		"relations": []any{
			map[string]any{"objectType": "USER", "externalId": "77"},
			map[string]any{"objectType": "ACCOUNT", "objectId": "a1"},
		},
	}
	if diff := cmp.Diff(want, e.shown("/v1/objects/customer/c1", key)); diff != "" {
		t.Errorf("after PUT (-want +got):\n%s", diff)
	}
	e.must(http.StatusOK, http.MethodPatch, c1, key,
		`{"name":null,"attributes":{"plan":null,"address":{"city":"Bonn"},"vip":true}}`, "Content-Type", "application/merge-patch+json")
	want["name"] = nil
	want["attributes"] = map[string]any{"vip": true, "address": map[string]any{"city": "Bonn", "zip": 89073.0}}
	if diff := cmp.Diff(want, e.shown(c1, key)); diff != "" {
		t.Errorf("after PATCH (-want +got):\n%s", diff)
	}
	// What a GET answers may be sent back as it is.
	got := e.must(http.StatusOK, http.MethodGet, c1, key, "").body
	e.must(http.StatusOK, http.MethodPut, c1, key, string(got))
	if diff := cmp.Diff(want, e.shown(c1, key)); diff != "" {
		t.Errorf("after sending it back (-want +got):\n%s", diff)
	}
	e.must(http.StatusOK, http.MethodPut, c1, key, `{}`)
	want["externalId"], want["attributes"], want["relations"] = nil, map[string]any{}, []any{}
	if diff := cmp.Diff(want, e.shown(c1, key)); diff != "" {
		t.Errorf("after an empty PUT (-want +got):\n%s", diff)
	}
}

func TestObjectIsGoneAfterDelete(t *testing.T) {
	t.Parallel()
	e := newLog(t, schematest.Kfake(t)).edge(t)
	key := e.key("acme")
	e.must(http.StatusOK, http.MethodPut, c1, key, `{"externalId":"x1"}`)
	for range 2 { // the second finds it gone already
		if e.must(http.StatusOK, http.MethodDelete, c1, key, "").member(t, "position") == nil {
			t.Error("DELETE answers no position")
		}
	}
	for _, a := range []answer{
		e.must(http.StatusNotFound, http.MethodGet, c1, key, ""),
		e.must(http.StatusNotFound, http.MethodPatch, c1, key, `{"name":"n"}`),
		e.must(http.StatusNotFound, http.MethodPost, "/v1/events", key, `{"objectType":"CUSTOMER","objectId":"c1","name":"n"}`),
		e.must(http.StatusNotFound, http.MethodPost, "/v1/events", key, `{"objectType":"CUSTOMER","externalId":"x1","name":"n"}`),
	} {
		if p := a.problem(t); p.Title != "Object Not found" {
			t.Errorf("title is %q", p.Title)
		}
	}
	e.must(http.StatusOK, http.MethodPut, "/v1/objects/CUSTOMER/c2", key, `{"externalId":"x1"}`)
}

func TestObjectRequestIsRefused(t *testing.T) {
	t.Parallel()
	e := newLog(t, schematest.Kfake(t)).edge(t)
	key := e.key("acme")
	e.must(http.StatusOK, http.MethodPut, c1, key, `{"externalId":"taken"}`)
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		pointer            string
	}{
		"an external id of another object": {http.MethodPut, "/v1/objects/CUSTOMER/c2", `{"externalId":"taken"}`, 409, "/externalId"},
		"a patch to such an external id":   {http.MethodPatch, c1, `{"externalId":7}`, 422, "/externalId"},
		"an unknown type":                  {http.MethodPut, "/v1/objects/PERSON/c1", `{}`, 422, ""},
		"an id of two dots":                {http.MethodPut, "/v1/objects/CUSTOMER/%2E%2E", `{}`, 422, ""},
		"an unknown member":                {http.MethodPut, c1, `{"nickname":"Ann"}`, 422, "/nickname"},
		"an unknown member that is null":   {http.MethodPatch, c1, `{"nickname":null}`, 422, "/nickname"},
		"another object's id":              {http.MethodPut, c1, `{"objectId":"c9"}`, 422, "/objectId"},
		"another type":                     {http.MethodPut, c1, `{"objectType":"USER"}`, 422, "/objectType"},
		"attributes that are a list":       {http.MethodPut, c1, `{"attributes":[]}`, 422, "/attributes"},
		"a relation without an id":         {http.MethodPut, c1, `{"relations":[{"objectType":"USER"}]}`, 422, "/relations/0/objectId"},
		"a relation of an unknown type":    {http.MethodPut, c1, `{"relations":[{"objectType":"X","objectId":"1"}]}`, 422, "/relations/0/objectType"},
		"an unknown parameter":             {http.MethodDelete, c1 + "?erase=true", ``, 400, ""},
		"a list without an external id":    {http.MethodGet, "/v1/objects?objectType=CUSTOMER", ``, 400, ""},
		"a position that is none":          {http.MethodGet, c1 + "?position=abc", ``, 400, ""},
		"a list of an unknown type":        {http.MethodGet, "/v1/objects?objectType=shoe&externalId=a", ``, 422, ""},
		"a cursor that is none":            {http.MethodGet, "/v1/objects?externalId=a&cursor=abc", ``, 400, ""},
		"another method":                   {http.MethodPost, c1, ``, 405, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := e.do(c.method, c.path, key, c.body)
			p := a.problem(t)
			if a.status != c.status {
				t.Fatalf("answered %d, want %d: %s", a.status, c.status, a.body)
			}
			if c.pointer != "" && (len(p.Errors) != 1 || p.Errors[0].Pointer != c.pointer) {
				t.Errorf("errors are %v, want one at %s", p.Errors, c.pointer)
			}
			if p.Type == problem.Conflict && p.Extra["objectId"] != "c1" {
				t.Errorf("the conflict does not name the holder: %s", a.body)
			}
		})
	}
}

func TestObjectsAreListedByExternalID(t *testing.T) {
	t.Parallel()
	e := newLog(t, schematest.Kfake(t)).edge(t)
	key := e.key("acme")
	for _, path := range []string{"/v1/objects/USER/u1", "/v1/objects/CUSTOMER/c1", "/v1/objects/ACCOUNT/a1"} {
		e.must(http.StatusOK, http.MethodPut, path, key, `{"externalId":"x 1"}`)
	}
	list := func(query string) ([]string, string) {
		t.Helper()
		var page struct {
			Data []struct {
				ObjectID string `json:"objectId"`
			} `json:"data"`
			NextCursor *string `json:"nextCursor"`
			AsOf       string  `json:"asOf"`
		}
		check(t, json.Unmarshal(e.must(http.StatusOK, http.MethodGet, "/v1/objects?"+query, key, "").body, &page))
		if page.AsOf == "" || page.Data == nil {
			t.Errorf("page is %+v", page)
		}
		ids := make([]string, 0, len(page.Data))
		for _, o := range page.Data {
			ids = append(ids, o.ObjectID)
		}
		if page.NextCursor == nil {
			return ids, ""
		}
		return ids, *page.NextCursor
	}
	for query, want := range map[string][]string{
		"objectType=CUSTOMER&externalId=x+1":                  {"c1"},
		"objectType=customer&objectType=AGENT&externalId=x+1": {"c1", "u1"},
		"externalId=x+1&objectType=":                          {"a1", "c1", "u1"},
		"externalId=nobody":                                   {},
	} {
		ids, cursor := list(query)
		if diff := cmp.Diff(want, ids); diff != "" || cursor != "" {
			t.Errorf("%s: cursor %q, (-want +got):\n%s", query, cursor, diff)
		}
	}
	var all []string
	for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
		var ids []string
		ids, cursor = list("externalId=x+1&limit=1&cursor=" + url.QueryEscape(cursor))
		all = append(all, ids...)
	}
	if diff := cmp.Diff([]string{"a1", "c1", "u1"}, all); diff != "" {
		t.Errorf("page by page (-want +got):\n%s", diff)
	}
}

func TestConcurrentPatchesOfOneObjectAreAllApplied(t *testing.T) {
	t.Parallel()
	e := newLog(t, schematest.Kfake(t)).edge(t)
	key := e.key("acme")
	e.must(http.StatusOK, http.MethodPut, c1, key, `{}`)
	const patches = 40
	var wg sync.WaitGroup
	for i := range patches {
		wg.Go(func() {
			if a := e.do(http.MethodPatch, c1, key, fmt.Sprintf(`{"attributes":{"a%d":%d}}`, i, i)); a.status != http.StatusOK {
				t.Errorf("patch answered %d: %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	attributes, _ := e.shown(c1, key)["attributes"].(map[string]any)
	if len(attributes) != patches {
		t.Errorf("%d of %d patches are there: %v", len(attributes), patches, attributes)
	}
}

func TestTwoObjectsThatWantOneExternalIDOnOneEdgeDoNotBothGetIt(t *testing.T) {
	t.Parallel()
	e := newLog(t, schematest.Kfake(t)).edge(t)
	key := e.key("acme")
	const contenders = 8
	statuses := make(chan int, contenders)
	var wg sync.WaitGroup
	for i := range contenders {
		wg.Go(func() {
			statuses <- e.do(http.MethodPut, fmt.Sprintf("/v1/objects/CUSTOMER/c%d", i), key, `{"externalId":"contested"}`).status
		})
	}
	wg.Wait()
	close(statuses)
	count := map[int]int{}
	for s := range statuses {
		count[s]++
	}
	if diff := cmp.Diff(map[int]int{http.StatusOK: 1, http.StatusConflict: contenders - 1}, count); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

func TestPersonalFieldsCannotBeReadInTheLog(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kafka(t))
	e := l.edge(t)
	key := e.key("acme")
	e.must(http.StatusOK, http.MethodPut, c1, key, `{"externalId":"extern-secret","name":"Ann Secretname",
		"attributes":{"mail":"secret@example.org"},"relations":[{"objectType":"USER","externalId":"friend-secret"}]}`)
	e.must(http.StatusOK, http.MethodPatch, c1, key, `{"name":"Ann Secretname II"}`)
	records := l.read(t, topic.Objects)
	keys := l.read(t, topic.SubjectKeys)
	if len(records) != 2 || len(keys) != 1 {
		t.Fatalf("objects has %d records and subject-keys %d, want 2 and 1", len(records), len(keys))
	}
	for _, r := range append(records, keys...) {
		whole := append(bytes.Clone(r.Key), r.Value...)
		for _, h := range r.Headers {
			whole = append(whole, h.Value...)
		}
		if bytes.Contains(bytes.ToLower(whole), []byte("secret")) {
			t.Errorf("the record at %s/%d shows a personal field: %s", r.Topic, r.Offset, whole)
		}
	}
}

func TestObjectWhoseKeyIsErasedShowsNothingPersonal(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t))
	e := l.edge(t)
	key := e.key("acme")
	e.must(http.StatusOK, http.MethodPut, c1, key, `{"externalId":"x","name":"Ann","attributes":{"a":1},"relations":[{"objectType":"ACCOUNT","objectId":"a1"}]}`)
	l.erase(t, l.read(t, topic.SubjectKeys)[0].Key)
	check(t, e.registry.Barrier(t.Context()))
	want := map[string]any{
		"objectType": "CUSTOMER", "objectId": "c1", "externalId": nil, "name": nil, "attributes": map[string]any{},
		"relations": []any{map[string]any{"objectType": "ACCOUNT", "objectId": "a1"}},
	}
	if diff := cmp.Diff(want, e.shown(c1, key)); diff != "" {
		t.Errorf("object (-want +got):\n%s", diff)
	}
	// It can be written anew, with a new key.
	e.must(http.StatusOK, http.MethodPut, c1, key, `{"name":"Ben"}`)
	if got := e.shown(c1, key)["name"]; got != "Ben" {
		t.Errorf("name is %v", got)
	}
}
