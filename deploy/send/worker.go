package send

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/throughline/throughline/deploy/client"
	"github.com/throughline/throughline/schema/problem"
)

// worker sends one batch at a time.
type worker struct {
	api      *client.Client
	encoder  *zstd.Encoder
	path     string
	patience time.Duration
	// inOrder says that no item may be written after a later one of its batch.
	inOrder bool
	// position and retry are told what their names say.
	position func(string) error
	retry    func(reason error)

	body, packed []byte // kept from batch to batch
}

// answer is what the server says of a batch, asked for refusals only.
type answer struct {
	Accepted int     `json:"accepted"`
	Rejected int     `json:"rejected"`
	Position *string `json:"position"`
	Results  []struct {
		Index   int              `json:"index"`
		Status  int              `json:"status"`
		Problem *problem.Problem `json:"problem"`
	} `json:"results"`
}

// deliver sends items until each is accepted or refused for good, and returns the refusals. An item that the server had
// no room for is sent again.
func (w *worker) deliver(ctx context.Context, items []*item) ([]refusal, error) {
	var refused []refusal
	var backoff client.Backoff
	limit := time.Now().Add(w.patience)
	for {
		got, after, err := w.post(ctx, items)
		if status, ok := errors.AsType[*client.StatusError](err); ok && status.Code == http.StatusRequestEntityTooLarge {
			more, err := w.halve(ctx, items, status)
			return append(refused, more...), err
		}
		if err != nil {
			return nil, err
		}
		no, again, reason, err := w.sort(got, items)
		if err != nil {
			return nil, err
		}
		refused = append(refused, no...)
		if len(again) == 0 {
			return refused, nil
		}
		if len(again) < len(items) { // something got through
			limit, backoff = time.Now().Add(w.patience), client.Backoff{}
		}
		wait := backoff.Next(after)
		if time.Now().Add(wait).After(limit) {
			return nil, fmt.Errorf("gave up after %s: %w", w.patience, reason)
		}
		w.retry(reason)
		if err := client.Wait(ctx, wait); err != nil {
			return nil, err
		}
		items = again
	}
}

// halve sends the items of a batch that something on the way found too large, such as a proxy, in two.
func (w *worker) halve(ctx context.Context, items []*item, status *client.StatusError) ([]refusal, error) {
	if len(items) == 1 {
		return []refusal{refuse(items[0].number, items[0].text, status.Code, status.Problem)}, nil
	}
	refused, err := w.deliver(ctx, items[:len(items)/2])
	if err != nil {
		return nil, err
	}
	more, err := w.deliver(ctx, items[len(items)/2:])
	return append(refused, more...), err
}

// post sends items once the server takes requests, and returns its answer and when it wants to see those again that it
// had no room for.
func (w *worker) post(ctx context.Context, items []*item) (*answer, time.Duration, error) {
	w.body = w.body[:0]
	for _, i := range items {
		w.body = i.appendTo(w.body)
	}
	w.packed = w.encoder.EncodeAll(w.body, w.packed[:0])
	res, err := w.api.Do(ctx, client.Request{
		Method: http.MethodPost, Path: w.path, Body: w.packed,
		ContentType: "application/x-ndjson", ContentEncoding: "zstd",
	})
	if err != nil {
		return nil, 0, err
	}
	var got answer
	if err := json.Unmarshal(res.Body, &got); err != nil {
		return nil, 0, fmt.Errorf("decode answer to a batch: %w", err)
	}
	if got.Position != nil {
		if err := w.position(*got.Position); err != nil {
			return nil, 0, err
		}
	}
	return &got, res.RetryAfter, nil
}

// sort tells what was refused for good from what is to be sent again, and says why.
//
// In order, everything from the first item on that is to be sent again is sent again: an object that was written must
// not be overwritten by an earlier line.
func (w *worker) sort(got *answer, items []*item) (refused []refusal, again []*item, reason error, err error) {
	if got.Accepted+got.Rejected != len(items) || got.Rejected != len(got.Results) {
		return nil, nil, nil, fmt.Errorf("the answer is not that to the batch: it has %d accepted and %d rejected items of %d",
			got.Accepted, got.Rejected, len(items))
	}
	last := -1
	for _, r := range got.Results {
		if r.Index <= last || r.Index >= len(items) {
			return nil, nil, nil, fmt.Errorf("the answer is not that to the batch: index %d of %d items", r.Index, len(items))
		}
		last = r.Index
		i := items[r.Index]
		if !client.TemporaryItem(r.Status) {
			refused = append(refused, refuse(i.number, i.text, r.Status, r.Problem))
			continue
		}
		if reason == nil {
			reason = fmt.Errorf("line %d is answered %d %s", i.number, r.Status, http.StatusText(r.Status))
			if r.Problem != nil && r.Problem.Detail != "" {
				reason = fmt.Errorf("%w: %s", reason, r.Problem.Detail)
			}
		}
		if w.inOrder {
			return refused, items[r.Index:], reason, nil
		}
		again = append(again, i)
	}
	return refused, again, reason, nil
}
