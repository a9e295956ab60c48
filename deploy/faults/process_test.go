package faults

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// target is what a fault happens to.
type target interface {
	// begin makes the fault, end takes it away again. Both come from one goroutine, in turn.
	begin(k Kind) error
	end(k Kind) error
}

// service is a process of the binary that is started again whenever it ends, as whatever runs services does. Its log goes to
// a file that all its lives share.
type service struct {
	name, dir string
	vars      []string
	args      []string
	// ended by itself, which nobody has asked for, in the words of its log.
	notes func(format string, args ...any)

	mu     sync.Mutex
	cmd    *exec.Cmd
	done   chan struct{} // closed when cmd has ended
	down   bool          // it is to stay away
	closed bool
}

// restartPause is after how long a service that ended by itself is started again.
const restartPause = time.Second

// leaveWithin is how long a service may take for an orderly end. It gives itself 20 s.
const leaveWithin = 2 * time.Minute

// start starts the service; mu is held.
func (s *service) start() error {
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	fmt.Fprintf(log, "--- start at %s\n", time.Now().Format(time.TimeOnly))
	cmd := exec.Command(os.Getenv(binaryVar), s.args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, append(cleanEnv(), s.vars...), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	s.cmd, s.done = cmd, done
	go func() {
		_ = cmd.Wait() // its state says how it ended
		close(done)
		s.revive(cmd)
	}()
	return nil
}

// revive starts the service again where nobody wants it to be away.
func (s *service) revive(ended *exec.Cmd) {
	s.mu.Lock()
	wanted := !s.down && !s.closed && s.cmd == ended
	s.mu.Unlock()
	if !wanted {
		return
	}
	s.notes("%s ended by itself: %s", s.name, ended.ProcessState)
	<-time.After(restartPause)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.down && !s.closed && s.cmd == ended {
		if err := s.start(); err != nil {
			s.notes("%s cannot be started: %v", s.name, err)
		}
	}
}

func (s *service) logPath() string { return filepath.Join(s.dir, "..", s.name+".log") }

func (s *service) begin(k Kind) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch k {
	case Kill:
		s.down = true
		return s.signal(syscall.SIGKILL)
	case Leave:
		s.down = true
		return s.signal(syscall.SIGTERM)
	case Pause:
		return s.signal(syscall.SIGSTOP)
	default:
		return fmt.Errorf("no %s of a service", k)
	}
}

func (s *service) end(k Kind) error {
	if k == Pause {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.signal(syscall.SIGCONT)
	}
	s.mu.Lock()
	done := s.done
	s.mu.Unlock()
	select {
	case <-done:
	case <-time.After(leaveWithin):
		return fmt.Errorf("%s does not end within %s", s.name, leaveWithin)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = false
	return s.start()
}

// signal sends a signal; mu is held. A process that has just ended by itself gets none.
func (s *service) signal(sig syscall.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s of %s: %w", sig, s.name, err)
	}
	return nil
}

// dump has the service write what its goroutines do into its log, which ends it.
func (s *service) dump() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	_ = errors.Join(s.signal(syscall.SIGCONT), s.signal(syscall.SIGQUIT)) // it may be gone
}

// close ends the service for good, with SIGKILL: nothing that it still wanted to do may count.
func (s *service) close() {
	s.mu.Lock()
	s.closed = true
	_ = s.signal(syscall.SIGKILL) // it may be gone
	done := s.done
	s.mu.Unlock()
	<-done
}

// cleanEnv is the environment without what would configure Throughline, so that a run does not depend on who runs it.
func cleanEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if name != "THROUGHLINE_CACHE" && (strings.HasPrefix(name, "THROUGHLINE_") || strings.HasPrefix(name, "CLICKHOUSE_") || name == "KAFKA_BROKERS") {
			continue
		}
		env = append(env, v)
	}
	return env
}

// command runs a command of the binary to its end and returns what it printed.
func command(t *testing.T, dir string, vars []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Getenv(binaryVar), args...)
	cmd.Dir, cmd.Env = dir, append(cleanEnv(), vars...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("throughline %v: %w\n%s%s", args, err, out, stderr.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}

// leaf is the process that does the work of a server: the last of those that one was started through.
func leaf(pid int) int {
	for {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		child, _, _ := strings.Cut(string(data), " ")
		next, bad := strconv.Atoi(child)
		if err != nil || bad != nil {
			return pid
		}
		pid = next
	}
}
