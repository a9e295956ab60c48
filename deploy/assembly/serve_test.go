package assembly_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/schema/run"
)

func TestTheFrontDrainsWhileTheBackStillRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var order []string
		front := run.Service{Name: "front", Run: func(ctx context.Context) error {
			<-ctx.Done()
			<-time.After(time.Second) // requests in flight
			order = append(order, "front")
			return nil
		}}
		back := run.Service{Name: "back", Run: func(ctx context.Context) error {
			<-ctx.Done()
			order = append(order, "back")
			return nil
		}}
		cancel()
		err := assembly.Serve(ctx, slog.New(slog.DiscardHandler), assembly.Stop{Front: 2 * time.Second, Back: time.Second},
			[]run.Service{front}, []run.Service{back})
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"front", "back"}, order); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAFailureBehindEndsTheFront(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	front := run.Service{Name: "front", Run: func(ctx context.Context) error { <-ctx.Done(); return nil }}
	back := run.Service{Name: "back", Run: func(context.Context) error { return broken }}
	err := assembly.Serve(t.Context(), slog.New(slog.DiscardHandler), assembly.Stop{}, []run.Service{front}, []run.Service{back})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestAFailureInFrontEndsTheBack(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	front := run.Service{Name: "front", Run: func(context.Context) error { return broken }}
	back := run.Service{Name: "back", Run: func(ctx context.Context) error { <-ctx.Done(); return nil }}
	err := assembly.Serve(t.Context(), slog.New(slog.DiscardHandler), assembly.Stop{}, []run.Service{front}, []run.Service{back})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestWhatWasOpenedLastIsClosedFirst(t *testing.T) {
	t.Parallel()
	var order []int
	var c assembly.Closer
	broken := errors.New("broken")
	for i := range 3 {
		c.Add(func() error {
			order = append(order, i)
			return broken
		})
	}
	if err := c.Close(); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]int{2, 1, 0}, order); diff != "" {
		t.Error(diff)
	}
}
