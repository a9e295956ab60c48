package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// DefaultStopTimeout is how long services have to stop in. It is above the 15 s
// that a drain may take and below the 30 s after which Kubernetes kills.
const DefaultStopTimeout = 20 * time.Second

// ErrStopped is the error of a service that ended although nobody asked it to.
var ErrStopped = errors.New("stopped without being asked")

// Service is something that runs until its context ends: it opens what it
// needs, serves, and closes what it opened before it returns.
type Service struct {
	// Name stands in logs and errors.
	Name string
	// Run returns nil once the context has ended and everything is closed.
	Run func(ctx context.Context) error
}

// Group runs services together until the context ends or one of them returns.
// A service that returns early, with an error or without, ends all others: a
// process that does half its work looks healthy and is not.
type Group struct {
	// Log receives a line when a service stops.
	Log *slog.Logger
	// StopTimeout bounds the stop; zero means DefaultStopTimeout.
	StopTimeout time.Duration
}

// ended is the end of one service.
type ended struct {
	name string
	err  error
}

// Run runs the services and returns nil if they all stopped because the context
// ended. Otherwise it returns the error of the first that failed, or says which
// did not stop in time; these are left behind, and the process should exit.
func (g Group) Run(ctx context.Context, services ...Service) error {
	if len(services) == 0 {
		return nil
	}
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ends := make(chan ended, len(services))
	left := make([]string, 0, len(services))
	for _, s := range services {
		left = append(left, s.Name)
		go func() { ends <- ended{name: s.Name, err: s.Run(running)} }()
	}

	var failures []error
	var timeout <-chan time.Time
	stopping := running.Done()
	for len(left) > 0 {
		select {
		case <-stopping:
			stopping = nil // a nil channel is never ready: this case has done its work
			timer := time.NewTimer(g.stopTimeout())
			defer timer.Stop()
			timeout = timer.C
		case e := <-ends:
			left = slices.DeleteFunc(left, func(name string) bool { return name == e.name })
			if err := g.judge(running, e); err != nil {
				failures = append(failures, err)
				cancel(err)
			}
		case <-timeout:
			failures = append(failures, fmt.Errorf("did not stop within %s: %s", g.stopTimeout(), strings.Join(left, ", ")))
			return errors.Join(failures...)
		}
	}
	return errors.Join(failures...)
}

// judge returns why the end of a service is a failure, or nil.
func (g Group) judge(running context.Context, e ended) error {
	if asked := running.Err(); asked != nil && errors.Is(e.err, asked) {
		e.err = nil // it says that it was asked to stop, which we know
	}
	if running.Err() == nil && e.err == nil {
		e.err = ErrStopped
	}
	if e.err == nil {
		g.Log.InfoContext(running, "service stopped", slog.String("service", e.name))
		return nil
	}
	g.Log.ErrorContext(running, "service failed", slog.String("service", e.name), slog.String("error", e.err.Error()))
	return fmt.Errorf("%s: %w", e.name, e.err)
}

func (g Group) stopTimeout() time.Duration {
	if g.StopTimeout > 0 {
		return g.StopTimeout
	}
	return DefaultStopTimeout
}
