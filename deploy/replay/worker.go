package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/throughline/throughline/deploy/client"
	"github.com/throughline/throughline/schema/problem"
)

// batchItems bounds a batch: the server waits for the decision on each of its items, for five seconds in all.
const batchItems = 500

// attemptTimeout bounds one attempt at a batch, above the time that the server takes at most.
const attemptTimeout = 30 * time.Second

// worker posts batches, one at a time. The steps of a conversation all come to the same worker.
type worker struct {
	api      *client.Client
	patience time.Duration
	count    *count
	position func(string)
	// given up are the conversations of which a step was refused for good: what comes after it would be another story.
	givenUp map[string]bool
}

// answer is what the server says of a batch.
type answer struct {
	Position *string  `json:"position"`
	Results  []result `json:"results"`
}

type result struct {
	Index   int              `json:"index"`
	Status  int              `json:"status"`
	Changed bool             `json:"changed"`
	Problem *problem.Problem `json:"problem"`
}

// say is what the server said of an item.
func (r result) say() string {
	text := http.StatusText(r.Status)
	if r.Problem != nil && r.Problem.Detail != "" {
		text = r.Problem.Detail
	}
	return fmt.Sprintf("%d %s", r.Status, text)
}

// deliver posts steps, at most one of each conversation, until each is decided.
func (w *worker) deliver(ctx context.Context, steps []*step) error {
	var items []*step
	for _, s := range steps {
		if w.givenUp[s.ConversationID] {
			w.count.skip()
			continue
		}
		items = append(items, s)
	}
	return deliver(ctx, w, "v1/conversations/batch", items, func(s *step, r result) {
		if r.Problem != nil {
			w.givenUp[s.ConversationID] = true
			w.count.refuse(fmt.Sprintf("conversation %s, %s: %s", s.ConversationID, s.Type, r.say()))
			return
		}
		w.count.accept(r.Changed)
	})
}

// deliver posts items until the server has said of each what becomes of it, and hands that over. An item that it had no
// room for, or has taken and not decided yet, is sent again: each says what it is, so that a repeat changes nothing.
func deliver[T any](ctx context.Context, w *worker, path string, items []T, settled func(T, result)) error {
	var backoff client.Backoff
	limit := time.Now().Add(w.patience)
	for first := true; len(items) > 0; first = false {
		got, after, err := post(ctx, w, path, items)
		if err != nil {
			return err
		}
		var again []T
		var reason error
		for i, r := range got.Results {
			if r.Status == http.StatusAccepted || client.TemporaryItem(r.Status) {
				again = append(again, items[i])
				reason = fmt.Errorf("an item is answered %s", r.say())
				continue
			}
			// What this run has sent before is not known from an earlier one.
			r.Changed = r.Changed || !first
			settled(items[i], r)
		}
		if len(again) == 0 {
			return nil
		}
		if len(again) < len(items) { // something got through
			limit, backoff = time.Now().Add(w.patience), client.Backoff{}
		}
		wait := backoff.Next(after)
		if time.Now().Add(wait).After(limit) {
			return fmt.Errorf("gave up after %s: %w", w.patience, reason)
		}
		w.count.retry(reason)
		if err := client.Wait(ctx, wait); err != nil {
			return err
		}
		items = again
	}
	return nil
}

// post sends items once the server takes requests, and returns its answer and when it wants to see those again that it
// had no room for.
func post[T any](ctx context.Context, w *worker, path string, items []T) (*answer, time.Duration, error) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body) // one item a line
	for _, i := range items {
		if err := encoder.Encode(i); err != nil {
			return nil, 0, fmt.Errorf("encode item: %w", err)
		}
	}
	res, err := w.api.Do(ctx, client.Request{Method: http.MethodPost, Path: path, Body: body.Bytes(), ContentType: "application/x-ndjson"})
	if err != nil {
		return nil, 0, err
	}
	var got answer
	if err := json.Unmarshal(res.Body, &got); err != nil {
		return nil, 0, fmt.Errorf("decode answer to a batch: %w", err)
	}
	if len(got.Results) != len(items) {
		return nil, 0, fmt.Errorf("the answer is not that to the batch: it has %d results of %d items", len(got.Results), len(items))
	}
	for i, r := range got.Results {
		if r.Index != i {
			return nil, 0, fmt.Errorf("the answer is not that to the batch: result %d is of item %d", i, r.Index)
		}
	}
	if got.Position != nil {
		w.position(*got.Position)
	}
	return &got, res.RetryAfter, nil
}
