package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// seed makes the workspace, a key, and the objects, once the edge is ready. It returns the key.
func (b *bench) seed(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := b.ready(ctx); err != nil {
		return "", err
	}
	var created struct {
		Key string `json:"key"`
	}
	body := map[string]any{"name": "bench", "scopes": scopes()}
	if err := b.call(ctx, http.MethodPost, "/v1/workspaces/"+benchWorkspace+"/api-keys", operatorKey, body, &created); err != nil {
		return "", err
	}
	if created.Key == "" {
		return "", errors.New("the answer has no key")
	}
	var stored struct {
		Accepted int `json:"accepted"`
	}
	if err := b.call(ctx, http.MethodPost, "/v1/objects/batch", created.Key, objectLines(), &stored); err != nil {
		return "", err
	}
	if stored.Accepted != objects {
		return "", fmt.Errorf("the edge took %d of %d objects", stored.Accepted, objects)
	}
	return created.Key, nil
}

// ready waits until the edge has made the workspace: then its views are there.
func (b *bench) ready(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := b.call(ctx, http.MethodPut, "/v1/workspaces/"+benchWorkspace, operatorKey, map[string]any{"name": "Bench"}, nil)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the edge: %w", err)
		}
	}
}

// call makes one request of the edge. A body of bytes is NDJSON, any other is JSON.
func (b *bench) call(ctx context.Context, method, path, key string, body, out any) error {
	media := "application/json"
	content, ok := body.([]byte)
	if ok {
		media = "application/x-ndjson"
	} else {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return fmt.Errorf("write request: %w", err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+b.edge.Addr+path, bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("prepare edge: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", media)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("prepare edge: %w", err)
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, text)
	}
	if err == nil && out != nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		return fmt.Errorf("prepare edge: %w", err)
	}
	return nil
}
