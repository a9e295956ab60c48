package ingest

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
)

// stripes is the number of locks. Two objects share one by chance; that costs a wait and nothing else.
const stripes = 1024

// locks makes read-modify-write of one object one at a time on this edge. Across edges the last write wins: a lock there
// would need an owner, and a customer's record is not worth one.
type locks struct {
	seed maphash.Seed
	all  [stripes]chan struct{}
}

func newLocks() *locks {
	l := &locks{seed: maphash.MakeSeed()}
	for i := range l.all {
		l.all[i] = make(chan struct{}, 1)
	}
	return l
}

// acquire takes the locks of all names, in one order for everybody so that nobody waits in a circle. The caller calls what
// it returns to give them back.
func (l *locks) acquire(ctx context.Context, names ...string) (func(), error) {
	held := make([]int, 0, len(names))
	for _, n := range names {
		held = append(held, int(maphash.String(l.seed, n)%stripes))
	}
	slices.Sort(held)
	held = slices.Compact(held)
	for i, n := range held {
		select {
		case l.all[n] <- struct{}{}:
		case <-ctx.Done():
			l.release(held[:i])
			return nil, fmt.Errorf("wait for another write: %w", ctx.Err())
		}
	}
	return func() { l.release(held) }, nil
}

func (l *locks) release(held []int) {
	for _, n := range held {
		<-l.all[n]
	}
}
