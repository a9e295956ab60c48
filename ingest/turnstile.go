package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/object"
)

// turnstile stands before waits for the registry. They are shared and short while the log answers. Once one has failed,
// the next ones would only fail too, each after its two seconds: then one is let in at a time, and the others are refused
// at once, until one succeeds.
type turnstile struct {
	mu     sync.Mutex
	closed bool
	trying bool
}

func (t *turnstile) pass(wait func() error) error {
	trial, ok := t.enter()
	if !ok {
		return fmt.Errorf("%w: another request is finding out whether it still is", registry.ErrBehind)
	}
	err := wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	if trial {
		t.trying = false
	}
	switch {
	case errors.Is(err, registry.ErrBehind):
		t.closed = true
	case errors.Is(err, context.Canceled):
		// The client left, which says nothing about the registry.
	default:
		t.closed = false
	}
	return err
}

// enter says whether to go in, and whether alone.
func (t *turnstile) enter() (trial, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		return false, true
	}
	if t.trying {
		return false, false
	}
	t.trying = true
	return true, true
}

// upToDate brings the registry's view up to date.
func (s *Service) upToDate(ctx context.Context) error {
	return s.lookups.pass(func() error { return s.registry.Barrier(ctx) })
}

// find is registry.Resolve. What needs no wait is answered whether the log answers or not.
func (s *Service) find(ctx context.Context, workspace string, l object.Lookup) (*object.Record, error) {
	return behind(ctx, s.lookups, workspace, l, s.registry.ResolveLocal, s.registry.Resolve)
}

// locate is registry.Locate, as find is registry.Resolve.
func (s *Service) locate(ctx context.Context, workspace string, l object.Lookup) (string, error) {
	return behind(ctx, s.lookups, workspace, l, s.registry.LocateLocal, s.registry.Locate)
}

// behind looks up behind a turnstile, unless the view as it is can answer.
func behind[T any](ctx context.Context, t *turnstile, workspace string, l object.Lookup,
	local func(string, object.Lookup) (T, error), exact func(context.Context, string, object.Lookup) (T, error),
) (T, error) {
	if l.ExternalID == "" {
		if found, err := local(workspace, l); !errors.Is(err, registry.ErrNotFound) {
			return found, err
		}
	}
	var found T
	err := t.pass(func() error {
		var err error
		found, err = exact(ctx, workspace, l)
		return err
	})
	return found, err
}
