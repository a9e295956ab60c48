package ingest

import (
	"net/http"
	"time"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/position"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/web"
)

// batchAnswer says what became of each item of a batch.
type batchAnswer struct {
	Accepted int          `json:"accepted"`
	Rejected int          `json:"rejected"`
	Position *string      `json:"position"`
	Results  []itemResult `json:"results"`
}

// itemResult is what became of one item. Index counts from 0, in the order of the request.
type itemResult struct {
	Index  int    `json:"index"`
	Status int    `json:"status"`
	ID     string `json:"id,omitzero"`
	// ConversationID and the next four are those of a transition; the four are there where it was accepted and decided.
	ConversationID string             `json:"conversationId,omitzero"`
	Version        *int64             `json:"version,omitzero"`
	State          conversation.State `json:"state,omitzero"`
	Changed        *bool              `json:"changed,omitzero"`
	Missing        []object.Lookup    `json:"missing,omitzero"`
	Type           string             `json:"objectType,omitzero"`
	Object         string             `json:"objectId,omitzero"`
	Problem        *problem.Problem   `json:"problem,omitzero"`
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

// readBatch reads and takes apart the body of a batch, and counts its items against the rate limit of its key.
func (s *Service) readBatch(w http.ResponseWriter, r *http.Request, member string) (*batch, error) {
	q := web.Query(r)
	show := q.Enum("results", "all", "rejected")
	if err := q.Err(); err != nil {
		return nil, err
	}
	if len(r.Header.Values(idempotencyHeader)) > 0 {
		return nil, problem.New(problem.BadParameter, "Idempotency-Key stands for the id of one event; in a batch each item has its own id.")
	}
	media, err := web.MediaType(r, web.JSON, web.NDJSON)
	if err != nil {
		return nil, err
	}
	content, err := body(r, event.MaxBatchBytes)
	if err != nil {
		return nil, err
	}
	items, err := web.Items(content, media, member, event.MaxBatchItems)
	if err != nil {
		return nil, err
	}
	if err := s.spend(w, r, len(items)); err != nil {
		return nil, err
	}
	b := &batch{items: items, results: make([]itemResult, len(items)), refusedOnly: show == "rejected"}
	for i := range b.results {
		b.results[i].Index = i
	}
	return b, nil
}

// answer writes the results. Where buffers were full or the log was away, it says when to come back with those items.
func (b *batch) answer(w http.ResponseWriter, r *http.Request, workspace string) error {
	// A client that reads its answer slowly does not go on holding the batch.
	b.items = nil
	if h, ok := r.Context().Value(holdingKey{}).(*holding); ok {
		h.shrink(int64(len(b.results)) * answerBytes)
	}
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
