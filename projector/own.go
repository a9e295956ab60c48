package projector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
)

const (
	// ownTimeout bounds how long it takes to become the only member of a group: a member that was killed is missed after
	// its session, and one that is busy may take as long as a rebalance.
	ownTimeout = 2*RebalanceTimeout + 30*time.Second
	// evictEvery is how often other members are taken out of a group that is to be had alone.
	evictEvery = 2 * time.Second
	// fillRecords is how many records are transformed at a time.
	fillRecords = 1000
)

// errNotAlone says that a group could not be had alone.
var errNotAlone = errors.New("another process is in the group")

// owner has all partitions of a table's group, and what their former owners announced is in the table. Nobody else is
// given any until it is closed, or RebalanceTimeout after somebody asks for it; from then on its commits are refused.
type owner struct {
	*session

	// marks are the batches that former owners had announced, by partition and in order.
	marks map[stream.TopicPartition][]mark
	// mu is held while something is committed: a consumer is one goroutine's.
	mu sync.Mutex
}

// mark is where announced batches begin.
type mark struct {
	from    int64
	batches []announced
}

// own joins the table's group until all partitions are this member's. Where it evicts, others are taken out of the group;
// where it does not, they are waited for.
func (w *worker) own(ctx context.Context, partitions int, evict bool) (*owner, error) {
	consumer, err := stream.NewConsumer(w.deps.Kafka, stream.ConsumerConfig{
		Group: table.Group(w.p.Table), Topics: w.p.Topics, MaxPollRecords: 1, MaxFetchBytes: 1 << 20,
		RebalanceTimeout: RebalanceTimeout, SessionTimeout: w.cfg.SessionTimeout,
	}, stream.Deps{Log: w.deps.Log})
	if err != nil {
		return nil, fmt.Errorf("open consumer %s: %w", table.Group(w.p.Table), err)
	}
	o := &owner{
		session: &session{worker: w, consumer: consumer, lanes: map[stream.TopicPartition]*lane{}, work: ctx},
		marks:   map[stream.TopicPartition][]mark{},
	}
	if err := o.wait(ctx, partitions, evict); err != nil {
		consumer.Close() //nolint:contextcheck // it leaves the group, which has to happen after the context's end, too
		return nil, err
	}
	return o, nil
}

func (o *owner) wait(ctx context.Context, partitions int, evict bool) error {
	ctx, cancel := context.WithTimeout(ctx, ownTimeout)
	defer cancel()
	evicted := time.Now()
	for len(o.lanes) < partitions {
		if ctx.Err() != nil {
			return fmt.Errorf("%w %s: it has %d of %d partitions: %w", errNotAlone, table.Group(o.p.Table), partitions-len(o.lanes), partitions, ctx.Err())
		}
		if evict && time.Since(evicted) > evictEvery {
			if err := o.consumer.Evict(ctx); err != nil {
				return err
			}
			evicted = time.Now()
		}
		limited, stop := context.WithTimeout(ctx, evictEvery/2)
		polled, err := o.consumer.Poll(limited)
		stop()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("poll: %w", err)
		}
		for _, tp := range polled.Lost {
			delete(o.lanes, tp)
		}
		for _, a := range polled.Assigned {
			l, err := o.takeOver(ctx, a)
			if err != nil {
				return fmt.Errorf("take over %s: %w", a.TopicPartition, err)
			}
			o.lanes[a.TopicPartition] = l
			if in, pending, err := readIntent(a, o.p, l.topicID); err == nil && pending {
				o.marks[a.TopicPartition] = append(o.marks[a.TopicPartition], mark{a.Offset, in.Batches})
			}
		}
		if len(o.lanes) < partitions {
			o.consumer.AllowRebalance()
		}
	}
	return nil
}

func (o *owner) close() { o.consumer.Close() }

// committed is where the group stands.
func (o *owner) committed() map[stream.TopicPartition]int64 {
	at := map[stream.TopicPartition]int64{}
	for tp, l := range o.lanes {
		at[tp] = l.committed
	}
	return at
}

// confirm commits once more where the group stands, which the brokers refuse to who does not own it any more.
func (o *owner) confirm(ctx context.Context) error {
	commits := map[stream.TopicPartition]stream.Commit{}
	for tp, l := range o.lanes {
		commits[tp] = stream.Commit{Offset: l.committed}
	}
	if err := o.consumer.Commit(ctx, commits); err != nil {
		return fmt.Errorf("confirm %d partitions: %w", len(commits), err)
	}
	return nil
}

// fill projects every partition up to an offset, some at a time. done is told of every batch.
func (o *owner) fill(ctx context.Context, to map[stream.TopicPartition]int64, done func(tp stream.TopicPartition, next int64, rows int)) error {
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(o.cfg.Parallel)
	for tp, l := range o.lanes {
		if end := to[tp]; end > l.committed {
			work.Go(func() error { return o.fillLane(ctx, l, end, done) })
		}
	}
	return work.Wait()
}

// fillLane reads [committed, to) and puts it into the table, batch by batch, each announced by the commit that finishes
// the one before.
func (o *owner) fillLane(ctx context.Context, l *lane, to int64, done func(stream.TopicPartition, int64, int)) error {
	if l.committed >= to {
		return nil
	}
	u := &builder{worker: o.worker, tp: l.tp, topicID: l.topicID, rows: o.cfg.BatchRows, bytes: o.cfg.BatchBytes, months: true}
	chunk := stream.Batch{TopicPartition: l.tp, From: l.committed}
	flush := func(next int64) error {
		chunk.To = next
		o.keys.polled()
		if err := u.include(ctx, []stream.Batch{chunk}); err != nil {
			return err
		}
		chunk = stream.Batch{TopicPartition: l.tp, From: next}
		closed := u.closed
		u.closed = nil
		for _, b := range closed {
			if err := o.store(ctx, l, b, done); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		err := stream.ReadRange(ctx, o.deps.Kafka, stream.Deps{Log: o.deps.Log}, l.tp, chunk.From, to, func(r *stream.Record) error {
			if chunk.Records = append(chunk.Records, r); len(chunk.Records) < fillRecords {
				return nil
			}
			return flush(r.Offset + 1)
		})
		if lost, ok := errors.AsType[*stream.OffsetLostError](err); ok && lost.LogStart > chunk.From && len(chunk.Records) == 0 {
			// What the log has dropped is taken from the table before (carry).
			if err := flush(min(lost.LogStart, to)); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("project %s again: %w", l.tp, err)
		}
		break
	}
	if chunk.From < to {
		// Markers at the end are passed as well.
		if err := flush(to); err != nil {
			return err
		}
	}
	if u.open != nil {
		u.finish()
		if err := o.store(ctx, l, u.closed[0], done); err != nil {
			return err
		}
	}
	return o.commitAt(ctx, l, "")
}

// fillMarked projects the batches that another table's owners had announced as they were, under the tokens of that table.
// Whoever announced them may have been paused just before the insert: should it come after the exchange, this table knows
// its token and drops it, as the other one would have.
func (o *owner) fillMarked(ctx context.Context, marks map[stream.TopicPartition][]mark, done func(stream.TopicPartition, int64, int)) error {
	for tp, list := range marks {
		l := o.lanes[tp]
		for _, m := range list {
			if err := o.fillLane(ctx, l, m.from, done); err != nil {
				return err
			}
			for _, want := range m.batches {
				if l.next = l.committed; want.To <= l.next {
					continue
				}
				b, err := o.rebuild(ctx, l, want)
				if err != nil {
					return err
				}
				if err := o.store(ctx, l, b, done); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// store announces a batch and inserts it. The commit that announces the next one finishes it.
func (o *owner) store(ctx context.Context, l *lane, b *batch, done func(stream.TopicPartition, int64, int)) error {
	metadata, err := newIntent(o.p, l.topicID, []*batch{b})
	if err != nil {
		return err
	}
	if metadata != "" {
		if err := o.commitAt(ctx, l, metadata); err != nil {
			return err
		}
		// A batch that was to share an insert goes in like one that is taken over, so that this table, too, knows the token of
		// that insert.
		if err := o.sink.put(ctx, b, b.joint == ""); err != nil {
			return err
		}
	}
	l.committed = b.to
	done(l.tp, b.to, b.rows())
	o.recycle(b)
	return nil
}

func (o *owner) commitAt(ctx context.Context, l *lane, metadata string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.consumer.Commit(ctx, map[stream.TopicPartition]stream.Commit{l.tp: {Offset: l.committed, Metadata: metadata}})
	if err != nil {
		return fmt.Errorf("commit %s: %w", l.tp, err)
	}
	return nil
}

// lacking is how many offsets a vector is behind another.
func lacking(at, to map[stream.TopicPartition]int64) int64 {
	n := int64(0)
	for tp, end := range to {
		n += max(0, end-at[tp])
	}
	return n
}
