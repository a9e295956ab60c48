package access

import (
	"context"
	"fmt"
)

// lock is a mutex whose wait ends with a context.
type lock chan struct{}

func newLock() lock { return make(lock, 1) }

func (l lock) acquire(ctx context.Context) error {
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for another write: %w", ctx.Err())
	}
}

func (l lock) release() { <-l }
