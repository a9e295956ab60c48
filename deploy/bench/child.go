package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"time"
)

// startTimeout bounds the start of a server under test.
const startTimeout = 60 * time.Second

// stopTimeout is how long a server has to stop in until it is killed.
const stopTimeout = 15 * time.Second

// child is a server under test: this executable, started again.
type child struct {
	hello

	role  string
	cmd   *exec.Cmd
	stdin io.Closer
	log   string
}

// start starts a server and returns when it listens. Its log is a file beside its folder.
func start(ctx context.Context, s spec) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write spec of server: %w", err)
	}
	c := &child{role: s.Role, log: s.Dir + ".log"}
	log, err := os.Create(c.log)
	if err != nil {
		return nil, fmt.Errorf("create log of server: %w", err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	// Not ended by ctx: stop does it, in order.
	c.cmd = exec.CommandContext(context.WithoutCancel(ctx), self, "serve", string(text)) //nolint:gosec // this very program
	c.cmd.Stderr = log
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("open pipe to server: %w", err)
	}
	c.stdin = stdin
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("open pipe from server: %w", err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start server %s: %w", s.Role, err)
	}
	slow := time.AfterFunc(startTimeout, func() { _ = c.cmd.Process.Kill() })
	defer slow.Stop()
	if err := json.NewDecoder(bufio.NewReader(stdout)).Decode(&c.hello); err != nil {
		return nil, errors.Join(fmt.Errorf("server %s did not come up: %w; its log: %s", s.Role, err, c.tail()), c.stop())
	}
	return c, nil
}

// tail is the end of the server's log.
func (c *child) tail() string {
	const most = 2000
	text, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

// stop ends the server and waits for it.
func (c *child) stop() error {
	_ = c.stdin.Close() // it may have ended by itself
	kill := time.AfterFunc(stopTimeout, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("server %s ended: %w; its log: %s", c.role, err, c.tail())
	}
	return nil
}

// kill ends the server as a crash does, and waits for it.
func (c *child) kill() error {
	if err := c.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill server %s: %w", c.role, err)
	}
	_ = c.cmd.Wait() // it says that the server was killed
	return nil
}

// usage asks the server what it has used.
func (c *child) usage(ctx context.Context) (Usage, error) {
	var u Usage
	return u, c.ask(ctx, http.MethodGet, "/usage", &u)
}

// ask reads the answer of the server's control listener into out.
func (c *child) ask(ctx context.Context, method, path string, out any) error {
	body, err := c.fetch(ctx, method, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("read answer of server %s: %w", c.role, err)
	}
	return nil
}

func (c *child) fetch(ctx context.Context, method, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+c.Control+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask server %s: %w", c.role, err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask server %s: %w", c.role, err)
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("it answered %s: %s", answer.Status, body)
	}
	if err != nil {
		return nil, fmt.Errorf("ask server %s: %w", c.role, err)
	}
	return body, nil
}

// profile keeps a CPU profile of the next seconds in a file, and returns what waits for it.
func (c *child) profile(ctx context.Context, file string, d time.Duration) func() error {
	done := make(chan error, 1)
	go func() {
		body, err := c.fetch(ctx, http.MethodGet, fmt.Sprintf("/profile/cpu?seconds=%g", d.Seconds()))
		if err == nil {
			err = os.WriteFile(file, body, 0o600)
		}
		done <- err
	}()
	return func() error { return <-done }
}
