package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/web"
)

// bodyCost is what a byte of a body is counted as against Config.MaxBodyBytes: itself, the record made of it, and what
// both were copied from.
const bodyCost = 3

// answerBytes is what an item of a batch holds once its body is done with: a result, perhaps with a problem.
const answerBytes = 1 << 10

// holding is what a request holds of the process: bytes, and a place among those that are worked on.
type holding struct {
	service *Service
	bytes   int64
	working bool
}

type holdingKey struct{}

// bounded refuses what is more than the process can hold, and ends what takes too long. It stands behind the check of the
// key, so that nobody without one takes a place.
//
// A request that has a body takes its place when that has arrived: see body. Until then it holds the bytes that have come
// and a connection, whose deadline is the request's.
func (s *Service) bounded(next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		h := &holding{service: s}
		defer h.release()
		ctx, cancel := context.WithTimeout(web.Attach(r.Context(), holdingKey{}, h), s.cfg.RequestTimeout)
		defer cancel()
		if err := s.deadlines(w, r); err != nil {
			return err
		}
		if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodDelete {
			if err := h.work(); err != nil {
				return err
			}
		}
		return next(w, r.WithContext(ctx))
	}
}

// deadlines bounds how long the client may take to send its body, and to read its answer. The server lifts the first one
// when it has seen the end of the body.
func (s *Service) deadlines(w http.ResponseWriter, r *http.Request) error {
	now := time.Now()
	connection := http.NewResponseController(w)
	// The work ends with the request's time; from then on the client has as long again. Nothing else holds an answer back.
	err := connection.SetWriteDeadline(now.Add(2 * s.cfg.RequestTimeout))
	if err == nil && r.Body != nil && r.Body != http.NoBody {
		err = connection.SetReadDeadline(now.Add(s.cfg.RequestTimeout))
	}
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("set deadlines of the connection: %w", err)
	}
	return nil
}

// body reads the body of a request that came through bounded, and takes a place for it.
func body(r *http.Request, limit int64) ([]byte, error) {
	h, ok := web.Attached(r.Context(), holdingKey{}).(*holding)
	if !ok {
		return nil, errors.New("read body: the request came around its bounds")
	}
	b, err := web.BodyWithin(r, limit, h.reserve)
	if err != nil {
		return nil, err
	}
	return b, h.work()
}

// jsonBody is body of a request that must be JSON.
func jsonBody(r *http.Request, limit int64) ([]byte, error) {
	if _, err := web.MediaType(r, web.JSON); err != nil {
		return nil, err
	}
	return body(r, limit)
}

// reserve takes bytes for a body, or gives some back.
func (h *holding) reserve(bytes int64) error {
	cost := bytes * bodyCost
	switch {
	case cost < 0:
		h.service.bodies.Release(-cost)
	case !h.service.bodies.TryAcquire(cost):
		return problem.Busy("Too much is being worked on; nothing of this request was done.", retryAfter)
	}
	h.hold(cost)
	return nil
}

// shrink gives back all but some bytes.
func (h *holding) shrink(bytes int64) {
	if h.bytes > bytes {
		h.service.bodies.Release(h.bytes - bytes)
		h.hold(bytes - h.bytes)
	}
}

// hold notes that the request holds more bytes, or fewer.
func (h *holding) hold(more int64) {
	h.bytes += more
	h.service.metrics.bodies.Add(float64(more))
}

// work takes a place among the requests that are worked on.
func (h *holding) work() error {
	select {
	case h.service.slots <- struct{}{}:
		h.working = true
		h.service.metrics.working.Inc()
		return nil
	default:
		return problem.Busy("Too many requests are being worked on; nothing was done.", retryAfter)
	}
}

func (h *holding) release() {
	h.shrink(0)
	if h.working {
		h.service.metrics.working.Dec()
		<-h.service.slots
	}
}

// flowing refuses writes at once while the log does not acknowledge any, before their bodies are read: they would only
// wait for the same end.
func (s *Service) flowing(next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := s.producer.Stalled(); err != nil {
			return unavailable(err)
		}
		return next(w, r)
	}
}
