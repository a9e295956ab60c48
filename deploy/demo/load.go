package demo

import (
	"context"
	"sync"
)

// each calls do for every item, on up to workers goroutines, and counts on the progress. It returns the first error,
// after which no further item is begun, and returns only once every call has ended.
func each[T any](ctx context.Context, items []T, workers int, p *progress, do func(context.Context, T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan T)
	var wg sync.WaitGroup
	for range min(workers, len(items)) {
		wg.Go(func() {
			for item := range queue {
				if err := do(ctx, item); err != nil {
					cancel(err)
					return
				}
				p.add(1)
			}
		})
	}
feed:
	for _, item := range items {
		select {
		case queue <- item:
		case <-ctx.Done():
			break feed
		}
	}
	close(queue)
	wg.Wait()
	return context.Cause(ctx)
}
