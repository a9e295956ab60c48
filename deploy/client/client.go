// Package client speaks to the public API for the commands of the binary: a request is repeated until it is answered
// for good, and not longer than somebody is willing to wait.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// DefaultURL is where `throughline dev` listens.
const DefaultURL = "http://127.0.0.1:8080"

// Defaults of a Config.
const (
	// defaultPatience outlasts a restart of the server, which takes a few seconds.
	defaultPatience = time.Minute
	// defaultTimeout is above the 5 s that a read may wait for its position.
	defaultTimeout = 15 * time.Second
)

// maxAnswer bounds what is read of an answer, in bytes: a page of 500 rows of 32 KiB with the 200 links of each.
const maxAnswer = 64 << 20

// Config says where the server is and how long to bear with it.
type Config struct {
	// URL is the base address, such as http://127.0.0.1:8080.
	URL string
	// Key is the API key.
	Key string
	// Connections is how many are kept open at most; one by default.
	Connections int
	// Patience is how long a request is repeated while the server is busy or away; a minute by default.
	Patience time.Duration
	// Timeout bounds one attempt; 15 s by default.
	Timeout time.Duration
	// OnRetry is told why a request will be repeated, if it is set. It may be called by several goroutines at once.
	OnRetry func(reason error)
}

// Client sends requests. It is safe for concurrent use.
type Client struct {
	cfg  Config
	base string
	http *http.Client
}

// Request is one request. Whoever sends it must be ready for it to arrive twice: an answer that is lost is asked for
// again.
type Request struct {
	Method string
	// Path is relative to the base address, with its query: v1/events.
	Path string
	// Body is sent where it is not empty; its type and encoding are those of the headers of that name.
	Body            []byte
	ContentType     string
	ContentEncoding string
}

// Answer is a success.
type Answer struct {
	Body []byte
	// RetryAfter is what the header of that name asked for; zero without one.
	RetryAfter time.Duration
}

// New returns a client that has no connection open yet.
func New(cfg Config) (*Client, error) {
	base, err := ParseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.Key == "" {
		return nil, errors.New("an API key is required: --key, or THROUGHLINE_API_KEY")
	}
	cfg.Connections = max(cfg.Connections, 1)
	if cfg.Patience == 0 {
		cfg.Patience = defaultPatience
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		MaxIdleConnsPerHost: cfg.Connections,
		MaxConnsPerHost:     cfg.Connections,
		IdleConnTimeout:     time.Minute,
	}
	return &Client{cfg: cfg, base: base, http: &http.Client{
		Transport: transport,
		Timeout:   cfg.Timeout,
		// A redirected POST would come out as a GET, and the key might go to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// ParseURL checks the base address of a server and returns it in one form, with a slash at its end.
func ParseURL(base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", fmt.Errorf("read address of the server: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", fmt.Errorf("%q is not an address such as %s", base, DefaultURL)
	}
	return u.JoinPath("/").String(), nil
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// JSON sends a body as JSON, unless it is nil, and decodes the answer.
func (c *Client) JSON(ctx context.Context, method, path string, body, answer any) error {
	r := Request{Method: method, Path: path}
	if body != nil {
		var err error
		if r.Body, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		r.ContentType = "application/json"
	}
	a, err := c.Do(ctx, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(a.Body, answer); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	return nil
}

// ErrUnreachable is in the chain of an error where patience ran out without an answer.
var ErrUnreachable = errors.New("the server cannot be reached")

// Do sends a request until it is answered for good. A refusal is a *StatusError; so is, wrapped, what was refused last
// when patience ran out.
func (c *Client) Do(ctx context.Context, r Request) (*Answer, error) {
	limit := time.Now().Add(c.cfg.Patience)
	var backoff Backoff
	for {
		answer, err := c.attempt(ctx, r)
		if err == nil {
			return answer, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		wait := backoff.Next(0)
		status, answered := errors.AsType[*StatusError](err)
		switch {
		case !answered:
			err = fmt.Errorf("%w: %w", ErrUnreachable, err)
		case !status.Temporary():
			return nil, err
		default:
			wait = max(wait, status.RetryAfter)
		}
		if time.Now().Add(wait).After(limit) {
			return nil, fmt.Errorf("gave up after %s: %w", c.cfg.Patience, err)
		}
		if c.cfg.OnRetry != nil {
			c.cfg.OnRetry(err)
		}
		if err := Wait(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// attempt sends a request once.
func (c *Client) attempt(ctx context.Context, r Request) (*Answer, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, c.base+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.cfg.Key)
	if len(r.Body) > 0 {
		req.Header.Set("Content-Type", r.ContentType)
	}
	if r.ContentEncoding != "" {
		req.Header.Set("Content-Encoding", r.ContentEncoding)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if len(data) > maxAnswer {
		return nil, fmt.Errorf("read answer: it is longer than %d bytes", maxAnswer)
	}
	if res.StatusCode/100 != 2 {
		return nil, statusError(res, data)
	}
	return &Answer{Body: data, RetryAfter: retryAfter(res.Header)}, nil
}
