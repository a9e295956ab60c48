package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/topic"
)

// watchInterval is how often committed offsets are asked for while somebody waits: a fetch is well under a
// millisecond for the coordinator, and the stages waited for commit every 30 to 100 ms.
const watchInterval = 20 * time.Millisecond

// OffsetWatch waits for committed offsets of consumer groups, with one poller for all who wait. It asks nothing while
// nobody waits. It is safe for concurrent use.
type OffsetWatch struct {
	cfg    Config
	deps   Deps
	client *kgo.Client
	admin  *kadm.Client

	mu      sync.Mutex
	waiters map[*waiter]struct{}
	polling bool
	closed  bool
}

type waiter struct {
	group string
	tp    TopicPartition
	next  int64
	done  chan error
}

// NewOffsetWatch opens an OffsetWatch.
func NewOffsetWatch(cfg Config, deps Deps) (*OffsetWatch, error) {
	client, err := Open(cfg.with("watch"), deps.Log, deps.Reg)
	if err != nil {
		return nil, err
	}
	return &OffsetWatch{
		cfg: cfg, deps: deps, client: client, admin: kadm.NewClient(client),
		waiters: map[*waiter]struct{}{},
	}, nil
}

// WaitCommitted returns once the group (without the prefix) has committed next or more for the partition: everything
// below next is processed. Wait for the record at offset o with next = o+1. It ends with the context.
//
// The offset is not asked for as a stable one: what an open transaction would commit does not count, and must not
// be waited for by those whom it does not concern.
func (w *OffsetWatch) WaitCommitted(ctx context.Context, group string, tp TopicPartition, next int64) error {
	wt := &waiter{group: w.cfg.Group(group), tp: tp, next: next, done: make(chan error, 1)}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return ErrClosed
	}
	w.waiters[wt] = struct{}{}
	if !w.polling {
		w.polling = true
		// The poller serves everybody who waits, so it does not end with the one that began it.
		go w.poll(context.WithoutCancel(ctx))
	}
	w.mu.Unlock()
	select {
	case err := <-wt.done:
		return err
	case <-ctx.Done():
		w.mu.Lock()
		delete(w.waiters, wt)
		w.mu.Unlock()
		return fmt.Errorf("wait for group %s to pass %s at %d: %w", wt.group, tp, next, ctx.Err())
	}
}

// WaitPassed returns once the group (without the prefix) is past what some partitions of a topic have now.
func (w *OffsetWatch) WaitPassed(ctx context.Context, group string, t topic.Name, which func(partition int32) bool) error {
	ends, err := w.EndOffsets(ctx, t)
	if err != nil {
		return err
	}
	for partition, end := range ends {
		if end == 0 || !which(partition) {
			continue
		}
		if err := w.WaitCommitted(ctx, group, TopicPartition{w.cfg.Topic(t), partition}, end); err != nil {
			return err
		}
	}
	return nil
}

// poll asks until nobody waits any more.
func (w *OffsetWatch) poll(ctx context.Context) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		groups := w.waitedFor()
		if len(groups) == 0 {
			return
		}
		w.round(ctx, groups)
		<-tick.C
	}
}

// waitedFor lists the groups that somebody waits for; with none, the poller ends.
func (w *OffsetWatch) waitedFor() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[string]bool{}
	var groups []string
	for wt := range w.waiters {
		if !seen[wt.group] {
			seen[wt.group] = true
			groups = append(groups, wt.group)
		}
	}
	w.polling = len(groups) > 0
	return groups
}

// round asks once for all groups and lets those go whose offset has been passed. An error is no answer: the waiters'
// own contexts say how long that may last.
func (w *OffsetWatch) round(ctx context.Context, groups []string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	fetched := w.admin.FetchManyOffsets(ctx, groups...)
	w.mu.Lock()
	defer w.mu.Unlock()
	for wt := range w.waiters {
		resp, ok := fetched[wt.group]
		if !ok || resp.Err != nil {
			continue
		}
		o, ok := resp.Fetched.Lookup(wt.tp.Topic, wt.tp.Partition)
		if ok && o.Err == nil && o.At >= wt.next {
			wt.done <- nil
			delete(w.waiters, wt)
		}
	}
}

// Committed is what the group (without the prefix) has committed for a topic, by partition. A partition without a
// commit is left out.
func (w *OffsetWatch) Committed(ctx context.Context, group string, t topic.Name) (map[int32]int64, error) {
	resp, err := w.admin.FetchOffsets(ctx, w.cfg.Group(group))
	if errors.Is(err, kerr.GroupIDNotFound) {
		return map[int32]int64{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("fetch offsets of group %s: %w", w.cfg.Group(group), err)
	}
	out := map[int32]int64{}
	var errs []error
	for p, o := range resp[w.cfg.Topic(t)] {
		if o.Err != nil {
			errs = append(errs, fmt.Errorf("fetch offset of group %s for %s/%d: %w", w.cfg.Group(group), o.Topic, p, o.Err))
		} else if o.At >= 0 {
			out[p] = o.At
		}
	}
	return out, errors.Join(errs...)
}

// EndOffsets are the high watermarks of a topic, by partition.
func (w *OffsetWatch) EndOffsets(ctx context.Context, t topic.Name) (map[int32]int64, error) {
	return listed(ctx, w.cfg.Topic(t), "end", w.admin.ListEndOffsets)
}

// StartOffsets are the offsets of the first records that the log of a topic still has, by partition.
func (w *OffsetWatch) StartOffsets(ctx context.Context, t topic.Name) (map[int32]int64, error) {
	return listed(ctx, w.cfg.Topic(t), "start", w.admin.ListStartOffsets)
}

func listed(ctx context.Context, name, what string, list func(context.Context, ...string) (kadm.ListedOffsets, error)) (map[int32]int64, error) {
	listed, err := list(ctx, name)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list %s offsets of %s: %w", what, name, err)
	}
	out := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { out[o.Partition] = o.Offset })
	return out, nil
}

// Close ends all waiting with ErrClosed.
func (w *OffsetWatch) Close() {
	w.mu.Lock()
	w.closed = true
	for wt := range w.waiters {
		wt.done <- ErrClosed
		delete(w.waiters, wt)
	}
	w.mu.Unlock()
	w.client.Close()
}
