// Package run is the life of a process: signals, a group of services of which
// one failing ends all, HTTP servers with every timeout set, logs, metrics and
// readiness. It is the only place that handles signals.
package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes of a process.
const (
	ExitOK      = 0
	ExitFailure = 1
	// ExitInterrupted is what a shell reports for a process that SIGINT ended.
	ExitInterrupted = 130
)

// ErrInterrupted is the cause of the context's end where a signal ended it.
var ErrInterrupted = errors.New("interrupted by a signal")

// Main runs the body of a program and returns its exit code. The context ends
// on the first SIGINT or SIGTERM, so that the body can stop in order; a second
// signal exits at once, because whoever sends it has waited long enough. An
// error is written to stderr in one line, unless it only says that the signal
// was obeyed.
func Main(stderr io.Writer, body func(ctx context.Context) error) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2) // both signals fit, so none is lost
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for first := true; ; first = false {
			select {
			case <-done:
				return
			case <-signals:
			}
			if !first {
				os.Exit(ExitInterrupted)
			}
			cancel(ErrInterrupted)
		}
	}()

	err := body(ctx)
	obeyed := errors.Is(context.Cause(ctx), ErrInterrupted) && onlyCancelled(err)
	if err == nil || obeyed {
		return ExitOK
	}
	_, _ = fmt.Fprintln(stderr, "throughline:", err) // there is nowhere else to say it
	return ExitFailure
}

// onlyCancelled reports whether an error says nothing but that the context was
// cancelled.
func onlyCancelled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, ErrInterrupted)
}
