package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// member reads a member of a JSON answer.
func (a answer) member(t *testing.T, name string) any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(a.body, &m); err != nil {
		t.Fatalf("answer %d is no JSON object: %s", a.status, a.body)
	}
	return m[name]
}

// send makes one request; body is JSON, or empty.
func send(ctx context.Context, method, address, key, body string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return answer{status: res.StatusCode, header: res.Header, body: data}, err
}

// do makes one request that must be answered.
func do(t *testing.T, method, address, key, body string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	a, err := send(ctx, method, address, key, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, address, err)
	}
	return a
}

// must is do with an answer that must have a status.
func must(t *testing.T, status int, method, address, key, body string) answer {
	t.Helper()
	a := do(t, method, address, key, body)
	if a.status != status {
		t.Fatalf("%s %s: got %d, want %d: %s", method, address, a.status, status, a.body)
	}
	return a
}

// page is what the tests read of a list.
type page struct {
	Data []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"data"`
	NextCursor *string `json:"nextCursor"`
}

// list reads every page of a list.
func list(t *testing.T, address, key string) []string {
	t.Helper()
	var ids []string
	for cursor := ""; ; {
		a := must(t, http.StatusOK, http.MethodGet, address+"&cursor="+url.QueryEscape(cursor), key, "")
		var p page
		if err := json.Unmarshal(a.body, &p); err != nil {
			t.Fatal(err)
		}
		for _, row := range p.Data {
			ids = append(ids, row.ID)
		}
		if p.NextCursor == nil {
			return ids
		}
		cursor = *p.NextCursor
	}
}

// sql asks ClickHouse for one value.
func sql(t *testing.T, address, query string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(query))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", query, res.Status, data, err)
	}
	return strings.TrimSpace(string(data))
}

// eventJSON is the body of an event of a customer.
func eventJSON(customer, id, name string) string {
	return fmt.Sprintf(`{"objectType":"CUSTOMER","objectId":%q,"id":%q,"name":%q}`, customer, id, name)
}
