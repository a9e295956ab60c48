package embedded

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// supervised starts a shell script under a supervisor. The script writes its
// process id and waits; TERM makes it write a farewell first.
func supervised(t *testing.T) (c *child, pid int, dir string) {
	t.Helper()
	dir = t.TempDir()
	owner, err := claimFolder(t.Context(), dir, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	script := `trap 'echo bye >bye; exit 0' TERM; echo $$ >pid.next; mv pid.next pid; while :; do sleep 0.05; done`
	c, err = startChild(t.Context(), childSpec{
		name: "script", role: roleSupervise, args: []string{"/bin/sh", "-c", script},
		dir: dir, log: filepath.Join(dir, "log"), owner: owner,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.kill() })
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}
	err = poll(t.Context(), 20*time.Second, func() error {
		text, err := os.ReadFile(filepath.Join(dir, "pid"))
		if err == nil {
			pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, pid, dir
}

// gone waits until a process does not exist any more.
func gone(t *testing.T, pid int) {
	t.Helper()
	err := poll(t.Context(), 20*time.Second, func() error {
		if err := syscall.Kill(pid, 0); err == nil {
			return os.ErrExist
		}
		return nil
	})
	if err != nil {
		t.Errorf("process %d is still there", pid)
	}
}

func TestAStoppedProgramEndsInAnOrderlyWay(t *testing.T) {
	t.Parallel()
	c, pid, dir := supervised(t)
	if err := c.stop(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
	if !exists(filepath.Join(dir, "bye")) {
		t.Error("the program was not asked to end")
	}
}

func TestAKilledProgramEndsAtOnce(t *testing.T) {
	t.Parallel()
	c, pid, dir := supervised(t)
	if err := c.kill(); err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
	if exists(filepath.Join(dir, "bye")) {
		t.Error("the program was asked to end, and not killed")
	}
}

func TestASupervisorOutlivesTheSignalsOfATerminal(t *testing.T) {
	t.Parallel()
	c, pid, _ := supervised(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if err := c.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("program: %v", err)
	}
	// Orders are still taken, so the signals were.
	if err := c.stop(20 * time.Second); err != nil {
		t.Error(err)
	}
	if text := c.ending().Error(); !strings.Contains(text, "exit status 0") {
		t.Errorf("supervisor ended with %s, want an orderly end", text)
	}
}

func TestAProgramDiesWithAKilledSupervisor(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("this system has no death signal")
	}
	c, pid, _ := supervised(t)
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
}

func TestAProgramKeepsItsFolderUntilItIsGone(t *testing.T) {
	t.Parallel()
	c, _, dir := supervised(t)
	if owner, err := claimFolder(t.Context(), dir, 30*time.Millisecond); err == nil {
		t.Error("the folder of a running program could be claimed")
		_ = owner.Close()
	}
	if err := c.kill(); err != nil {
		t.Fatal(err)
	}
	owner, err := claimFolder(t.Context(), dir, time.Second)
	if err != nil {
		t.Fatalf("claim folder of an ended program: %v", err)
	}
	_ = owner.Close()
}
