package contract

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/throughline/throughline/schema/api"
)

// screens asks for everything with the key of a screen on a wall, which anybody may read off it: it opens the wallboard, in
// both its forms, and nothing else.
func (s *session) screens(t *testing.T) {
	board, stream := s.operation(t, "getWallboard"), s.operation(t, "followWallboard")
	a := board.key(s.keys.wallboard).send(t, s.url)
	if a.status != http.StatusOK || !json.Valid(a.body) {
		t.Errorf("the board: got %d %s", a.status, a.body)
	}
	a = stream.key(s.keys.wallboard).send(t, s.url)
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "text/event-stream" || !bytes.HasPrefix(a.body, []byte("id: ")) {
		t.Errorf("the stream: got %d %s", a.status, a.body)
	}
	refused := 0
	for _, op := range s.checker.Document.Operations {
		if op.Public() || op.ID == board.op.ID || op.ID == stream.op.ID {
			continue
		}
		r := s.prepared(op.Examples()[0]).key(s.keys.wallboard)
		r.want(t, s.url, http.StatusForbidden)
		if r.method == http.MethodGet {
			r.method = http.MethodHead
			r.want(t, s.url, http.StatusForbidden)
		}
		refused++
	}
	if refused == 0 {
		t.Error("no operation needs a key")
	}
}

// operation is the first example of an operation.
func (s *session) operation(t *testing.T, id string) request {
	t.Helper()
	ops := s.checker.Document.Operations
	i := slices.IndexFunc(ops, func(op *api.Operation) bool { return op.ID == id })
	if i < 0 {
		t.Fatalf("the document has no operation %s", id)
	}
	return s.prepared(ops[i].Examples()[0])
}
