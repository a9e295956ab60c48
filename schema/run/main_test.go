package run_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/throughline/throughline/schema/run"
)

// childEnv makes this test binary a program whose body behaves as its value
// says: signals are only real in a process of their own.
const childEnv = "THROUGHLINE_RUN_TEST_CHILD"

func TestMain(m *testing.M) {
	if behaviour := os.Getenv(childEnv); behaviour != "" {
		os.Exit(run.Main(os.Stderr, func(ctx context.Context) error { return child(ctx, behaviour) }))
	}
	os.Exit(m.Run())
}

func child(ctx context.Context, behaviour string) error {
	fmt.Println("started")
	<-ctx.Done()
	fmt.Println("stopping")
	switch behaviour {
	case "obeys":
		return ctx.Err()
	case "fails":
		return errBroken
	default: // hangs
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	}
}

// program is a child and what it wrote.
type program struct {
	*exec.Cmd

	out    io.Reader
	stderr bytes.Buffer
}

func start(t *testing.T, behaviour string) *program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{Cmd: exec.CommandContext(t.Context(), self)}
	p.Env = append(os.Environ(), childEnv+"="+behaviour)
	p.Stderr = &p.stderr
	if _, err := p.StdinPipe(); err != nil { // never written to: it keeps a hanging child hanging
		t.Fatal(err)
	}
	if p.out, err = p.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.expect(t, "started\n")
	return p
}

func (p *program) expect(t *testing.T, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(p.out, got); err != nil || string(got) != want {
		t.Fatalf("the child wrote %q (%v), want %q; stderr: %s", got, err, want, p.stderr.String())
	}
}

func (p *program) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func TestASignalStopsTheProgramInOrder(t *testing.T) {
	t.Parallel()
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		p := start(t, "obeys")
		p.signal(t, s)
		p.expect(t, "stopping\n")
		if err := p.Wait(); err != nil || p.stderr.Len() > 0 {
			t.Errorf("%s: %v, stderr %q", s, err, p.stderr.String())
		}
	}
}

func TestASecondSignalExitsAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t, "hangs")
	p.signal(t, os.Interrupt)
	p.expect(t, "stopping\n")
	p.signal(t, os.Interrupt)
	var exit *exec.ExitError
	if err := p.Wait(); !errors.As(err, &exit) || exit.ExitCode() != run.ExitInterrupted {
		t.Errorf("got %v", err)
	}
}

func TestAFailureWhileStoppingIsAFailure(t *testing.T) {
	t.Parallel()
	p := start(t, "fails")
	p.signal(t, syscall.SIGTERM)
	var exit *exec.ExitError
	if err := p.Wait(); !errors.As(err, &exit) || exit.ExitCode() != run.ExitFailure {
		t.Errorf("got %v", err)
	}
	if got := p.stderr.String(); got != "throughline: broken\n" {
		t.Errorf("stderr %q", got)
	}
}

func TestExitCodesWithoutASignal(t *testing.T) {
	t.Parallel()
	for want, err := range map[int]error{run.ExitOK: nil, run.ExitFailure: context.Canceled} {
		var stderr strings.Builder
		if got := run.Main(&stderr, func(context.Context) error { return err }); got != want {
			t.Errorf("%v: exit code %d, want %d", err, got, want)
		}
	}
}
