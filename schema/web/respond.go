package web

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
)

// WriteJSON answers with a JSON value. Nil slices become [], nil maps {}, and
// maps are written by key, so that equal answers are equal bytes. The value is
// encoded before anything is written: an error leaves the answer unwritten.
// Answers hold customers' data, so they are not to be stored on the way unless
// the handler said otherwise.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	h := w.Header()
	// One piece of memory holds the values of all four: every answer has them.
	values := [...]string{"application/json", strconv.Itoa(len(body)), "nosniff", "no-store"}
	h["Content-Type"], h["Content-Length"], h["X-Content-Type-Options"] = values[0:1:1], values[1:2:2], values[2:3:3]
	if h.Get("Cache-Control") == "" {
		h["Cache-Control"] = values[3:4:4]
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone cannot be told
	return nil
}
