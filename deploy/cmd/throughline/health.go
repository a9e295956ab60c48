package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// healthCommand asks a process whether it is ready. It is there for health checks in an image that has no shell and no
// curl.
type healthCommand struct {
	Admin   string        `name:"admin-listen" env:"THROUGHLINE_ADMIN_LISTEN" required:"" placeholder:"HOST:PORT" help:"Where the process serves /readyz; a host that is absent or means every address is this machine."`
	Timeout time.Duration `name:"timeout" default:"4s" help:"How long to wait for the answer."`
}

// mostHealthBytes bounds what is printed of an answer.
const mostHealthBytes = 64 << 10

// Run implements the command. What is not ready is printed, and is an error.
func (c healthCommand) Run(ctx context.Context, e env) error {
	host, port, err := net.SplitHostPort(c.Admin)
	if err != nil {
		return fmt.Errorf("THROUGHLINE_ADMIN_LISTEN: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("ask for health: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask for health: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, mostHealthBytes))
	err = errors.Join(err, res.Body.Close())
	if err != nil {
		return fmt.Errorf("read health: %w", err)
	}
	_, _ = fmt.Fprintln(e.stdout, strings.TrimSpace(string(body))) // the exit code is what counts
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", res.Status)
	}
	return nil
}
