package contract

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/throughline/throughline/schema/api"
)

// request is an example of the document, to be changed and sent.
type request struct {
	op           *api.Operation
	method, path string
	header       http.Header
	body         []byte
}

func from(e api.Example) request {
	r := request{op: e.Operation, method: e.Operation.Method, path: e.Path, header: http.Header{}, body: e.Body}
	for _, h := range e.Header {
		r.header.Set(h[0], h[1])
	}
	if e.Body != nil {
		r.header.Set("Content-Type", e.Media)
	}
	return r
}

func (r request) with(name, value string) request {
	r.header = r.header.Clone()
	r.header.Set(name, value)
	return r
}

func (r request) key(key string) request { return r.with("Authorization", "Bearer "+key) }

func (r request) at(path string) request { r.path = path; return r }

// query adds to the query.
func (r request) query(add string) request {
	separator := "?"
	if strings.Contains(r.path, "?") {
		separator = "&"
	}
	return r.at(r.path + separator + add)
}

func (r request) sending(body string) request { r.body = []byte(body); return r }

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// position is that of a write, or empty.
func (a answer) position() string {
	var m struct{ Position *string }
	if json.Unmarshal(a.body, &m) != nil || m.Position == nil {
		return ""
	}
	return *m.Position
}

// send sends the request to a service.
func (r request) send(t *testing.T, url string) answer {
	t.Helper()
	return r.stream(t, url, bytes.NewReader(r.body))
}

func (r request) stream(t *testing.T, url string, body io.Reader) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, url+r.path, body)
	check(t, err)
	req.Header = r.header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	defer res.Body.Close()
	if res.Header.Get("Content-Type") == "text/event-stream" {
		first, err := bufio.NewReader(res.Body).ReadBytes('\n') // it goes on for ever
		check(t, err)
		return answer{res.StatusCode, res.Header, first}
	}
	data, err := io.ReadAll(res.Body)
	check(t, err)
	return answer{res.StatusCode, res.Header, data}
}

// want sends the request, which must be answered with a status.
func (r request) want(t *testing.T, url string, status int) {
	t.Helper()
	a := r.send(t, url)
	if a.status != status {
		t.Errorf("%s: %s %s: got %d %s, want %d", r.op.ID, r.method, r.path, a.status, a.body, status)
	}
}
