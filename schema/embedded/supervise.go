package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// termBound is how long a supervised program may take for an orderly end.
const termBound = 15 * time.Second

// runSupervisor starts args as a program and ends it with the parent: in an
// orderly way where the parent says so, with SIGKILL where the pipe merely
// closes. It returns the exit code for this process.
//
// The program gets a process group of its own, so that a terminal's Ctrl-C
// does not reach it while the parent drains. Should the supervisor itself be
// killed, the kernel kills the program (see leashed).
func runSupervisor(args []string) int {
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "supervisor: want a command line")
		return 2
	}
	// The death signal of a program fires when the thread that started it
	// ends. This is the main thread, which lives as long as the process.
	runtime.LockOSThread()
	// Taken and dropped rather than ignored: an ignored signal stays ignored
	// in the program that is started, and Java then installs no shutdown hook.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)

	cmd := exec.CommandContext(context.Background(), args[0], args[1:]...) //nolint:gosec // the parent says what to run
	cmd.Env = without(os.Environ(), roleEnv)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{os.NewFile(3, "owner")}
	cmd.SysProcAttr = leashed()
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "supervisor: start program:", err)
		return 1
	}
	go func() {
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err == nil && line == orderStop {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			closed := make(chan struct{})
			go func() {
				awaitParent(os.Stdin)
				close(closed)
			}()
			select {
			case <-closed:
			case <-time.After(termBound):
			}
		}
		_ = cmd.Process.Kill()
	}()
	err := cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		fmt.Fprintln(os.Stderr, "supervisor: program ended:", exit)
		return max(exit.ExitCode(), 1)
	default:
		fmt.Fprintln(os.Stderr, "supervisor: wait for program:", err)
		return 1
	}
}

// awaitParent returns when the parent asks for the end or is gone.
func awaitParent(pipe io.Reader) {
	var one [1]byte
	_, _ = pipe.Read(one[:])
}

// without returns env less one variable.
func without(env []string, name string) []string {
	kept := make([]string, 0, len(env))
	for _, entry := range env {
		if !strings.HasPrefix(entry, name+"=") {
			kept = append(kept, entry)
		}
	}
	return kept
}
