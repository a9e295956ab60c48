package demo

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	api "github.com/throughline/throughline/deploy/client"
)

// positionsARead is how many positions the server takes with one read.
const positionsARead = 32

// client reads from the public API.
type client struct {
	api *api.Client
}

// newClient returns a client of the server at base, such as http://127.0.0.1:8080.
func newClient(base, key string) (*client, error) {
	c, err := api.New(api.Config{URL: base, Key: key})
	if err != nil {
		return nil, err
	}
	return &client{api: c}, nil
}

// close lets go of idle connections.
func (c *client) close() { c.api.Close() }

// read reads what shows the writes at the positions.
func (c *client) read(ctx context.Context, path string, params url.Values, positions []string, answer any) error {
	// Each read waits for its part of the positions; the last one shows what all wrote.
	parts := slices.Collect(slices.Chunk(positions, positionsARead))
	if len(parts) == 0 {
		parts = [][]string{nil}
	}
	for _, part := range parts {
		params["position"] = part
		if err := c.api.JSON(ctx, http.MethodGet, path+"?"+params.Encode(), nil, answer); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
	return nil
}

// timeline reads the first page of a customer's timeline, oldest first.
func (c *client) timeline(ctx context.Context, customer string, positions []string) ([]row, error) {
	var page struct {
		Data []row `json:"data"`
	}
	params := url.Values{"order": {"asc"}, "limit": {"500"}}
	err := c.read(ctx, "v1/timeline/CUSTOMER/"+url.PathEscape(customer), params, positions, &page)
	return page.Data, err
}

// report reads the figures of a day: a row for the whole of it, then one for each team.
func (c *client) report(ctx context.Context, day time.Time, positions []string) ([]figures, error) {
	var all []figures
	for _, by := range []string{"", "team"} {
		var page struct {
			Data []figures `json:"data"`
		}
		params := url.Values{
			"from": {day.Format(time.RFC3339)}, "to": {day.AddDate(0, 0, 1).Format(time.RFC3339)}, "groupBy": {by},
		}
		if err := c.read(ctx, "v1/reports/conversations", params, positions, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Data...)
	}
	return all, nil
}

// wallboard reads the wallboard now.
func (c *client) wallboard(ctx context.Context, positions []string) (board, error) {
	var b board
	err := c.read(ctx, "v1/wallboard", url.Values{"groupBy": {"team"}}, positions, &b)
	return b, err
}
