package contract

import (
	"bytes"
	"io"
	"net/http"
	"testing"
)

// Handler returns a handler that answers as the next one does, and fails the test where the document does not describe
// the answer.
func Handler(tb testing.TB, next http.Handler) http.Handler {
	tb.Helper()
	return Shared(tb).Handler(tb, next)
}

// Handler is the function of this name for a checker of its own.
func (c *Checker) Handler(tb testing.TB, next http.Handler) http.Handler {
	tb.Helper()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var sent bytes.Buffer
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &tee{r.Body, &sent}
		}
		rec := &recorder{ResponseWriter: w}
		next.ServeHTTP(rec, r)
		// A client that left was not answered.
		if rec.status == 0 && r.Context().Err() != nil {
			return
		}
		c.report(tb, exchange{r, sent.Bytes(), max(rec.status, http.StatusOK), w.Header(), rec.body.Bytes()})
	})
}

// Transport returns a transport that sends as the next one does, or http.DefaultTransport where that is nil, and fails
// the test where the document does not describe the answer. It does for tests that reach a service over the network.
func Transport(tb testing.TB, next http.RoundTripper) http.RoundTripper {
	tb.Helper()
	return Shared(tb).Transport(tb, next)
}

// Transport is the function of this name for a checker of its own.
func (c *Checker) Transport(tb testing.TB, next http.RoundTripper) http.RoundTripper {
	tb.Helper()
	if next == nil {
		next = http.DefaultTransport
	}
	return transport{tb, c, next}
}

type transport struct {
	tb      testing.TB
	checker *Checker
	next    http.RoundTripper
}

// RoundTrip implements http.RoundTripper. The answer is read before it is handed on.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent bytes.Buffer
	if r.Body != nil && r.Body != http.NoBody {
		r = r.Clone(r.Context())
		r.Body = &tee{r.Body, &sent}
	}
	res, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close() // it has been read
	res.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	t.checker.report(t.tb, exchange{r, sent.Bytes(), res.StatusCode, res.Header, body})
	return res, nil
}

func (c *Checker) report(tb testing.TB, x exchange) {
	tb.Helper()
	for _, fault := range c.Check(x.request, x.sent, x.status, x.header, x.answer) {
		tb.Errorf("contract: %s %s answered %d: %s\nsent: %s\nanswer: %s", x.request.Method, x.request.URL, x.status, fault,
			shorten(x.sent), shorten(x.answer))
	}
}

// exchange is a request and its answer.
type exchange struct {
	request *http.Request
	sent    []byte
	status  int
	header  http.Header
	answer  []byte
}

func shorten(b []byte) []byte {
	const most = 1 << 10
	return b[:min(len(b), most)]
}

// tee copies what is read of a body.
type tee struct {
	io.ReadCloser

	copy *bytes.Buffer
}

// Read implements io.Reader.
func (t *tee) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.copy.Write(p[:n])
	return n, err
}

// recorder copies what is answered.
type recorder struct {
	http.ResponseWriter

	status int
	body   bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) {
	r.status = max(r.status, http.StatusOK)
	r.body.Write(b)
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find what is below.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
