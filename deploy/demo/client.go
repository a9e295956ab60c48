package demo

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	api "github.com/throughline/throughline/deploy/client"
)

// client talks to the public API. A request that may have been lost is repeated: every write here says what it is
// (objects are replaced, events have ids of their own), so a repeat changes nothing.
type client struct {
	api *api.Client
}

// newClient returns a client of the server at base, such as http://127.0.0.1:8080, that keeps up to connections open.
func newClient(base, key string, connections int) (*client, error) {
	c, err := api.New(api.Config{URL: base, Key: key, Connections: connections})
	if err != nil {
		return nil, err
	}
	return &client{api: c}, nil
}

// close lets go of idle connections.
func (c *client) close() { c.api.Close() }

// put writes an object and returns its position.
func (c *client) put(ctx context.Context, o upsert) (string, error) {
	var answer struct {
		Position string `json:"position"`
	}
	path := "v1/objects/" + url.PathEscape(o.ObjectType) + "/" + url.PathEscape(o.ObjectID)
	if err := c.api.JSON(ctx, http.MethodPut, path, o, &answer); err != nil {
		return "", fmt.Errorf("put %s: %w", o.reference, err)
	}
	return answer.Position, nil
}

// post writes an event and returns its position.
func (c *client) post(ctx context.Context, p post) (string, error) {
	var answer struct {
		Position string `json:"position"`
	}
	if err := c.api.JSON(ctx, http.MethodPost, "v1/events", p, &answer); err != nil {
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
	if err := c.api.JSON(ctx, http.MethodGet, path, nil, &page); err != nil {
		return nil, fmt.Errorf("read timeline of %s: %w", of, err)
	}
	return page.Data, nil
}
