package ingest

import (
	"net/http"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/position"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/web"
)

// batchCost is what a batch is counted as against Config.MaxBatchBytes: its body, the records made of it, and the answer.
const batchCost = 3

// batchAnswer says what became of each item of a batch.
type batchAnswer struct {
	Accepted int          `json:"accepted"`
	Rejected int          `json:"rejected"`
	Position *string      `json:"position"`
	Results  []itemResult `json:"results"`
}

// itemResult is what became of one item. Index counts from 0, in the order of the request.
type itemResult struct {
	Index   int              `json:"index"`
	Status  int              `json:"status"`
	ID      string           `json:"id,omitzero"`
	Type    string           `json:"objectType,omitzero"`
	Object  string           `json:"objectId,omitzero"`
	Problem *problem.Problem `json:"problem,omitzero"`
}

func (i *itemResult) refuse(p *problem.Problem) { i.Status, i.Problem = p.Status, p }

// batch is a request that carries many items.
type batch struct {
	items   [][]byte
	results []itemResult
	where   position.Position
	// refusedOnly leaves what was accepted out of the answer.
	refusedOnly bool
}

// readBatch reads and takes apart the body of a batch. The caller gives back the memory with what it returns.
func (s *Service) readBatch(r *http.Request, member string) (*batch, func(), error) {
	q := web.Query(r)
	show := q.Enum("results", "all", "rejected")
	if err := q.Err(); err != nil {
		return nil, nil, err
	}
	if len(r.Header.Values(idempotencyHeader)) > 0 {
		return nil, nil, problem.New(problem.BadParameter, "Idempotency-Key stands for the id of one event; in a batch each item has its own id.")
	}
	media, err := web.MediaType(r, web.JSON, web.NDJSON)
	if err != nil {
		return nil, nil, err
	}
	cost := int64(event.MaxBatchBytes)
	if r.ContentLength > 0 && r.Header.Get("Content-Encoding") == "" {
		cost = min(cost, r.ContentLength)
	}
	cost *= batchCost
	if !s.batchBytes.TryAcquire(cost) {
		return nil, nil, problem.Busy("Too many batches are being worked on; nothing of this one was accepted.", retryAfter)
	}
	release := func() { s.batchBytes.Release(cost) }
	body, err := web.Body(r, event.MaxBatchBytes)
	if err == nil {
		var items [][]byte
		if items, err = web.Items(body, media, member, event.MaxBatchItems); err == nil {
			b := &batch{items: items, results: make([]itemResult, len(items)), refusedOnly: show == "rejected"}
			for i := range b.results {
				b.results[i].Index = i
			}
			return b, release, nil
		}
	}
	release()
	return nil, nil, err
}

// answer writes the results. Where buffers were full or the log was away, it says when to come back with those items.
func (b *batch) answer(w http.ResponseWriter, workspace string) error {
	out := batchAnswer{Position: b.where.Encode(workspace), Results: b.results}
	var again time.Duration
	for _, r := range b.results {
		if r.Problem == nil {
			out.Accepted++
			continue
		}
		out.Rejected++
		again = max(again, r.Problem.RetryAfter)
	}
	if b.refusedOnly {
		out.Results = make([]itemResult, 0, out.Rejected)
		for _, r := range b.results {
			if r.Problem != nil {
				out.Results = append(out.Results, r)
			}
		}
	}
	if again > 0 {
		w.Header().Set("Retry-After", problem.Seconds(again))
	}
	return web.WriteJSON(w, http.StatusOK, out)
}

// oversized refuses an item that is too large by itself, or returns nil.
func oversized(item []byte, limit int) *problem.Problem {
	if len(item) <= limit {
		return nil
	}
	return problem.Newf(problem.TooLarge, "The item is larger than %s, counted after decompression.", web.Size(int64(limit)))
}
