package web

import "net/http"

// recorder remembers what was answered. http.ResponseController finds the
// writer below it through Unwrap, so streams can flush and set deadlines.
type recorder struct {
	http.ResponseWriter

	status int
	bytes  int64
}

// WriteHeader remembers the first final status; 1xx are only announcements.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes of the body.
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap returns the writer of net/http.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
