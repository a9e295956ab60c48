package abuse

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/throughline/throughline/schema/problem"
)

// limit is how long anything may take, on a busy machine.
const limit = 30 * time.Second

// request differs from the good one by what is set.
type request struct {
	// why names the request in failures.
	why          string
	method, path string
	query        string
	body         string
	chunked      bool
	header       http.Header
}

type answer struct {
	why    string
	status int
	header http.Header
	body   string
}

// good makes the good request, which has to be answered as ever.
func (a *attack) good(when string) {
	got := a.send(request{why: "the good request " + when, body: a.route.Body})
	if got.status != a.route.Status {
		a.t.Errorf("%s: answered %d, want %d: %s", got.why, got.status, a.route.Status, got.body)
	}
}

// send makes a request as it is, with nothing cleaned. What the service is too busy for is asked again, as a client does.
func (a *attack) send(r request) answer {
	deadline := time.Now().Add(limit)
	for told := false; ; {
		got := a.once(r)
		if got.status != http.StatusServiceUnavailable || a.route.Status == got.status || got.header.Get("Retry-After") == "" || time.Now().After(deadline) {
			return got
		}
		if !told {
			a.t.Logf("%s: busy: %s", r.why, got.body)
			told = true
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-a.t.Context().Done():
			return got
		}
	}
}

func (a *attack) once(r request) answer {
	got := answer{why: r.why}
	var body io.Reader = http.NoBody
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	if r.chunked {
		// The library does not see how long it is.
		body = struct{ io.Reader }{body}
	}
	method, path, query := a.route.Method, a.route.Path, a.route.Query
	if r.method != "" {
		method = r.method
	}
	if r.path != "" {
		path = r.path
	}
	if r.query != "" {
		query = r.query
	}
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.url, body)
	if err != nil {
		a.t.Fatalf("%s: %v", r.why, err)
	}
	plain, err := url.PathUnescape(path)
	if err != nil {
		a.t.Fatalf("%s: %v", r.why, err)
	}
	req.URL.Path, req.URL.RawPath, req.URL.RawQuery = plain, path, query
	req.Header.Set("Authorization", "Bearer "+a.route.Key)
	req.Header.Set("Content-Type", "application/json")
	for name, values := range r.header {
		req.Header[name] = values
		if values[0] == "" {
			req.Header.Del(name)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatalf("%s: %v", r.why, err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatalf("%s: %v", r.why, err)
	}
	got.status, got.header, got.body = resp.StatusCode, resp.Header, string(content)
	return got
}

// refused checks that an answer is a problem with one of some statuses.
func (a *attack) refused(got answer, statuses ...int) {
	a.t.Helper()
	_ = a.problem(got, statuses...) // it has told the test
}

// problem checks that an answer is a problem with one of some statuses. It returns nil where it is none.
func (a *attack) problem(got answer, statuses ...int) *problem.Problem {
	a.t.Helper()
	if !slices.Contains(statuses, got.status) {
		a.t.Errorf("%s: answered %d, want one of %v: %.300s", got.why, got.status, statuses, got.body)
		return nil
	}
	var p problem.Problem
	if json.Unmarshal([]byte(got.body), &p) != nil {
		a.t.Errorf("%s: answered %d, which is no problem: %.300s", got.why, got.status, got.body)
		return nil //nolint:nilerr // the test has been told
	}
	if media := got.header.Get("Content-Type"); media != problem.ContentType {
		a.t.Errorf("%s: Content-Type is %q", got.why, media)
	}
	if p.Status != got.status || p.Title == "" || p.Type == "" || !strings.HasPrefix(p.Instance, "urn:request:") {
		a.t.Errorf("%s: the problem lacks something: %.300s", got.why, got.body)
	}
	return &p
}

// faulty is problem of a body that is at fault: where the body could be read, it says at which places.
func (a *attack) faulty(got answer, statuses ...int) {
	a.t.Helper()
	p := a.problem(got, statuses...)
	if p == nil {
		return
	}
	if got.status == http.StatusUnprocessableEntity && len(p.Errors) == 0 {
		a.t.Errorf("%s: no place is named: %.300s", got.why, got.body)
	}
	for _, fault := range p.Errors {
		if fault.Detail == "" || fault.Pointer != "" && !strings.HasPrefix(fault.Pointer, "/") {
			a.t.Errorf("%s: %q is no fault: %.300s", got.why, fault, got.body)
		}
	}
}

// leave begins requests and goes away in the middle of them.
func (a *attack) leave() {
	host := strings.TrimPrefix(a.url, "http://")
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n",
		a.route.Method, a.route.Path, host, a.route.Key)
	for why, text := range map[string]string{
		"in the first line":    head[:4],
		"in the headers":       head,
		"in the body":          head + "Content-Length: 1000\r\n\r\n{\"name\":",
		"in a chunk":           head + "Transfer-Encoding: chunked\r\n\r\n10\r\n{\"na",
		"in a broken chunk":    head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
		"before the answer":    head + "Content-Length: 2\r\n\r\n{}",
		"with a body unended":  head + "Content-Length: 5\r\n\r\n{}",
		"with two lengths":     head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		"with a huge length":   head + "Content-Length: 99999999999999999999\r\n\r\n{}",
		"with a minus length":  head + "Content-Length: -1\r\n\r\n{}",
		"with a header of NUL": head + "X: a\x00b\r\n\r\n",
	} {
		conn, err := (&net.Dialer{Timeout: limit}).DialContext(a.t.Context(), "tcp", host)
		if err != nil {
			a.t.Fatalf("leave %s: %v", why, err)
		}
		if _, err := io.WriteString(conn, text); err != nil {
			a.t.Errorf("leave %s: %v", why, err)
		}
		if err := conn.Close(); err != nil {
			a.t.Errorf("leave %s: %v", why, err)
		}
	}
}
