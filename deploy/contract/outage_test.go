package contract

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/throughline/throughline/ingest"
)

// outages produces what services answer that are not ready, or broken.
func (s *session) outages(t *testing.T) {
	cfg := ingest.DefaultConfig()
	cfg.RequestTimeout, cfg.MaxInFlight = 2*time.Second, 1
	starting := s.other(condition{edge: cfg})
	broken := s.other(condition{following: true, broken: true, edge: cfg})
	lonely := s.other(condition{following: true, alone: s.keys.all, edge: cfg})
	for _, op := range s.checker.Document.Operations {
		r := s.prepared(op.Examples()[0])
		if op.ID == "postTransition" {
			r.want(t, lonely, http.StatusAccepted)
		}
		// Where there is a choice it is a key of the workspace: the operator's is known to every service from the start.
		if len(op.Security) > 1 {
			r = r.key(s.keys.all)
		}
		for _, response := range op.Responses {
			switch {
			case response.Status == http.StatusInternalServerError:
				r.want(t, broken, response.Status)
			case response.Status != http.StatusServiceUnavailable:
			case op.ID == "listWorkspaces":
				s.crowded(t, r, starting)
			default:
				r.want(t, starting, response.Status)
			}
		}
	}
}

// crowded asks for a read while the only place of an edge is taken, by a write that waits for a view that does not move.
func (s *session) crowded(t *testing.T, r request, url string) {
	t.Helper()
	var writes sync.WaitGroup
	defer writes.Wait()
	put := r.at("/v1/workspaces/" + shop).sending(`{}`)
	put.method = http.MethodPut
	eventually(t, "the only place to be taken", func() bool {
		writes.Go(func() { put.send(t, url) })
		for range 20 {
			if r.send(t, url).status == http.StatusServiceUnavailable {
				return true
			}
		}
		return false
	})
}
