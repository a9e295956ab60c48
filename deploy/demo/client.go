package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/throughline/throughline/schema/problem"
)

// Limits of one request.
const (
	// patience is how long a request is repeated while the server is busy or away: a restart takes a few seconds.
	patience = time.Minute
	// attemptTimeout is above the 5 s that a read may wait for its position.
	attemptTimeout = 15 * time.Second
	firstPause     = 50 * time.Millisecond
	longestPause   = 2 * time.Second
	// maxAnswer bounds what is read of an answer, in bytes: a page of 500 rows of 32 KiB.
	maxAnswer = 16 << 20
)

// client talks to the public API. A request that may have been lost is repeated: every write here says what it is
// (objects are replaced, events have ids of their own), so a repeat changes nothing.
type client struct {
	base string
	key  string
	http *http.Client
}

// newClient returns a client of the server at base, such as http://127.0.0.1:8080, that keeps up to connections open.
func newClient(base, key string, connections int) (*client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("read address of the server: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("%q is not an address such as http://127.0.0.1:8080", base)
	}
	if key == "" {
		return nil, errors.New("an API key is required: --key, or THROUGHLINE_API_KEY")
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		MaxIdleConnsPerHost: connections,
		MaxConnsPerHost:     connections,
		IdleConnTimeout:     time.Minute,
	}
	return &client{
		base: u.JoinPath("/").String(),
		key:  key,
		http: &http.Client{Transport: transport, Timeout: attemptTimeout},
	}, nil
}

// close lets go of idle connections.
func (c *client) close() { c.http.CloseIdleConnections() }

// put writes an object and returns its position.
func (c *client) put(ctx context.Context, o upsert) (string, error) {
	var answer struct {
		Position string `json:"position"`
	}
	path := "v1/objects/" + url.PathEscape(o.ObjectType) + "/" + url.PathEscape(o.ObjectID)
	if err := c.do(ctx, http.MethodPut, path, o, &answer); err != nil {
		return "", fmt.Errorf("put %s: %w", o.reference, err)
	}
	return answer.Position, nil
}

// post writes an event and returns its position.
func (c *client) post(ctx context.Context, p post) (string, error) {
	var answer struct {
		Position string `json:"position"`
	}
	if err := c.do(ctx, http.MethodPost, "v1/events", p, &answer); err != nil {
		return "", fmt.Errorf("post event %s: %w", p.ID, err)
	}
	return answer.Position, nil
}

// timeline reads the first page of an object's timeline, oldest first, once it shows the writes at the positions.
func (c *client) timeline(ctx context.Context, of reference, positions []string) ([]row, error) {
	query := url.Values{"order": {"asc"}, "limit": {"500"}}
	for _, p := range positions {
		query.Add("position", p)
	}
	var page struct {
		Data []row `json:"data"`
	}
	path := "v1/timeline/" + url.PathEscape(of.ObjectType) + "/" + url.PathEscape(of.ObjectID) + "?" + query.Encode()
	if err := c.do(ctx, http.MethodGet, path, nil, &page); err != nil {
		return nil, fmt.Errorf("read timeline of %s: %w", of, err)
	}
	return page.Data, nil
}

// do sends a request until it is answered for good, and decodes the answer.
func (c *client) do(ctx context.Context, method, path string, body, answer any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pause := firstPause
	for {
		wait, err := c.attempt(limit, method, path, data, answer)
		if err == nil || wait < 0 {
			return err
		}
		// Clients that were refused together must not come back together.
		wait = max(wait, pause/2+rand.N(pause)) //nolint:gosec // jitter keeps no secret
		pause = min(2*pause, longestPause)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-limit.Done():
			timer.Stop()
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("gave up after %s: %w", patience, err)
		}
	}
}

// attempt sends a request once. With an error it says how long to wait before the next attempt at least; less than
// zero means that no attempt will succeed.
func (c *client) attempt(ctx context.Context, method, path string, body []byte, answer any) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return -1, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return 0, fmt.Errorf("read answer: %w", err)
	}
	if res.StatusCode/100 != 2 {
		return refused(res, data)
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return -1, fmt.Errorf("decode answer: %w", err)
	}
	return 0, nil
}

// refused turns an answer that is not a success into an error and says when to come back.
func refused(res *http.Response, data []byte) (time.Duration, error) {
	err := fmt.Errorf("the server answered %s", res.Status)
	var p problem.Problem
	if json.Unmarshal(data, &p) == nil && p.Detail != "" {
		err = fmt.Errorf("%w: %s", err, p.Detail)
	}
	if res.StatusCode != http.StatusTooManyRequests && res.StatusCode < http.StatusInternalServerError {
		return -1, err
	}
	seconds, convErr := strconv.Atoi(res.Header.Get("Retry-After"))
	if convErr != nil || seconds < 0 {
		return 0, err
	}
	return time.Duration(seconds) * time.Second, err
}
