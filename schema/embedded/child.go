package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// roleEnv names what a re-executed copy of this program is.
const roleEnv = "THROUGHLINE_ENGINE"

const (
	roleEngine    = "1"         // loads libchdb and becomes ClickHouse
	roleSupervise = "supervise" // starts another program and ends it with the parent
)

// killBound is how long a killed process may take to be gone. A process in an
// uninterruptible write can outlast a SIGKILL by seconds, hardly more.
const killBound = 10 * time.Second

// orderStop is what a parent writes into the pipe for an orderly end. A pipe
// that closes without it means that the parent is dead, and the child ends at
// once so that the data folder is free for whoever comes next.
const orderStop = "stop\n"

var errNested = errors.New("this process is itself a server child: call embedded.MaybeRunEngine first in main")

// MaybeRunEngine turns this process into a server child if it was started as
// one, and then never returns. In every other process it does nothing. It must
// be the first call in main and in TestMain, before flags are read and before
// anything is opened.
func MaybeRunEngine() {
	switch os.Getenv(roleEnv) {
	case roleEngine:
		os.Exit(RunEngine(os.Args[1:]))
	case roleSupervise:
		os.Exit(runSupervisor(os.Args[1:]))
	}
}

// childSpec is what a child is started with.
type childSpec struct {
	name string
	role string
	args []string
	env  []string
	dir  string
	// log is the file that receives the standard output and error; each start
	// truncates it. Without one they are this process's own.
	log string
	// owner is the data folder's lock. The child inherits the descriptor, so
	// that the folder stays taken exactly as long as the child lives, not as
	// long as its parent does.
	owner *os.File
}

// child is a running server process and its leash, the write end of the pipe.
type child struct {
	spec  childSpec
	cmd   *exec.Cmd
	leash io.WriteCloser
	done  chan struct{}
	// Both are set before done closes: the exit status alone, and with the
	// last output.
	exit, err error
}

// startChild runs this executable again in a role. The context is used for its
// values only: a child ends through stop or kill, or with its parent.
func startChild(ctx context.Context, spec childSpec) (*child, error) {
	if os.Getenv(roleEnv) != "" {
		return nil, errNested
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own executable: %w", err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), self, spec.args...) //nolint:gosec // this very executable
	cmd.Env = append(os.Environ(), roleEnv+"="+spec.role)
	cmd.Env = append(cmd.Env, spec.env...)
	cmd.Dir = spec.dir
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if spec.log != "" {
		log, err := os.OpenFile(spec.log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return nil, fmt.Errorf("open log of %s: %w", spec.name, err)
		}
		defer func() { _ = log.Close() }()
		cmd.Stdout, cmd.Stderr = log, log
	}
	cmd.ExtraFiles = []*os.File{spec.owner}
	leash, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("open pipe to %s: %w", spec.name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.name, err)
	}
	c := &child{spec: spec, cmd: cmd, leash: leash, done: make(chan struct{})}
	go func() {
		c.exit = cmp.Or(cmd.Wait(), errors.New("exit status 0"))
		c.err = c.ended()
		close(c.done)
	}()
	return c, nil
}

// ended describes how the process went, with the last lines it wrote.
func (c *child) ended() error {
	if text := c.tail(messageTail); text != "" {
		return fmt.Errorf("%s ended: %w; its last output: %s", c.spec.name, c.exit, text)
	}
	return fmt.Errorf("%s ended: %w", c.spec.name, c.exit)
}

// messageTail is how much of a log, in bytes, an error message quotes.
const messageTail = 2048

// tail returns the end of the child's log, at most so many bytes of it.
func (c *child) tail(most int64) string {
	file, err := os.Open(c.spec.log)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil && info.Size() > most {
		if _, err := file.Seek(-most, io.SeekEnd); err != nil {
			return ""
		}
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// stop asks for an orderly end and waits for it up to grace, then kills.
func (c *child) stop(grace time.Duration) error {
	_, _ = io.WriteString(c.leash, orderStop)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-c.done:
		return nil
	case <-timer.C:
		return c.kill()
	}
}

// kill ends the process at once. Closing the pipe is the kill: an engine exits
// and a supervisor kills its program with SIGKILL. Only a child that does not
// even do that is killed itself.
func (c *child) kill() error {
	_ = c.leash.Close()
	timer := time.NewTimer(killBound)
	defer timer.Stop()
	select {
	case <-c.done:
		return nil
	case <-timer.C:
	}
	if err := c.cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", c.spec.name, err)
	}
	timer.Reset(killBound)
	select {
	case <-c.done:
		return nil
	case <-timer.C:
		return fmt.Errorf("%s, process %d, does not end", c.spec.name, c.cmd.Process.Pid)
	}
}
