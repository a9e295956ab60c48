package run_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throughline/throughline/schema/run"
)

var errBroken = errors.New("broken")

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// obedient runs until it is asked to stop.
func obedient(name string) run.Service {
	return run.Service{Name: name, Run: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}}
}

func TestGroupStopsEveryServiceWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := (run.Group{Log: quiet()}).Run(ctx, obedient("a"), obedient("b")); err != nil {
			t.Error(err)
		}
	})
}

func TestGroupEndsAllWhenOneFails(t *testing.T) {
	t.Parallel()
	stopped := make(chan struct{})
	err := run.Group{Log: quiet()}.Run(t.Context(),
		run.Service{Name: "edge", Run: func(context.Context) error { return errBroken }},
		run.Service{Name: "other", Run: func(ctx context.Context) error {
			<-ctx.Done()
			close(stopped)
			return nil
		}})
	select {
	case <-stopped:
	default:
		t.Error("the other service still runs")
	}
	if !errors.Is(err, errBroken) || err.Error() != "edge: broken" {
		t.Errorf("got %v", err)
	}
}

func TestGroupTakesAnEarlyEndForAFailure(t *testing.T) {
	t.Parallel()
	err := run.Group{Log: quiet()}.Run(t.Context(),
		obedient("a"), run.Service{Name: "b", Run: func(context.Context) error { return nil }})
	if !errors.Is(err, run.ErrStopped) {
		t.Errorf("got %v", err)
	}
}

func TestGroupReportsAFailureWhileStopping(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := run.Group{Log: quiet()}.Run(ctx, obedient("a"), run.Service{Name: "b", Run: func(ctx context.Context) error {
		<-ctx.Done()
		return errBroken
	}})
	if !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

func TestGroupNamesWhatDoesNotStopInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		err := run.Group{Log: quiet(), StopTimeout: 3 * time.Second}.Run(ctx, obedient("good"),
			run.Service{Name: "stuck", Run: func(context.Context) error { <-release; return nil }})
		close(release)
		if err == nil || !strings.HasSuffix(err.Error(), "did not stop within 3s: stuck") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("gave up after %s", took)
		}
	})
}

func TestGroupWithoutServicesReturns(t *testing.T) {
	t.Parallel()
	if err := (run.Group{Log: quiet()}).Run(t.Context()); err != nil {
		t.Error(err)
	}
}
