package assembly

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/throughline/throughline/schema/run"
)

// Stop bounds the end of a process, stage by stage: servers first, then what answers their requests.
type Stop struct {
	Front, Back time.Duration
}

// Serve runs front, which takes requests, and back, which the requests need, until the context ends or one of them
// fails. Then front drains while back still runs, and only after that back stops: a request in flight must find the
// views and consumers that it waits for.
func Serve(ctx context.Context, log *slog.Logger, stop Stop, front, back []run.Service) error {
	defer raiseHeapFloor()()
	frontCtx, stopFront := context.WithCancel(ctx)
	defer stopFront()
	backCtx, stopBack := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBack()

	backEnd := make(chan error, 1)
	go func() {
		backEnd <- run.Group{Log: log, StopTimeout: stop.Back}.Run(backCtx, back...)
		stopFront()
	}()
	frontErr := run.Group{Log: log, StopTimeout: stop.Front}.Run(frontCtx, front...)
	stopBack()
	return errors.Join(frontErr, <-backEnd)
}

// Closer closes what was opened, last first. Its zero value is ready.
type Closer struct {
	closers []func() error
}

// Add notes how to close something.
func (c *Closer) Add(f func() error) { c.closers = append(c.closers, f) }

// Close closes everything and says everything that went wrong.
func (c *Closer) Close() error {
	var errs []error
	for _, f := range slices.Backward(c.closers) {
		errs = append(errs, f())
	}
	c.closers = nil
	return errors.Join(errs...)
}
