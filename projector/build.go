package projector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/stream"
)

// parallel is how many partitions of one table are transformed or inserted at the same time. ClickHouse spreads one
// insert over few threads, so some at once shorten a round; more would only queue for the same disk.
const parallel = 4

// build makes at most one batch of each partition from what was polled. All of them together stay within BatchBytes,
// a record aside; what does not fit waits for its turn.
func (s *session) build(ctx context.Context) ([]*batch, error) {
	lanes := slices.SortedFunc(maps.Values(s.lanes), func(a, b *lane) int {
		return cmp.Or(cmp.Compare(a.tp.Topic, b.tp.Topic), cmp.Compare(a.tp.Partition, b.tp.Partition))
	})
	if len(lanes) > 0 {
		s.turn = (s.turn + 1) % len(lanes)
		lanes = append(lanes[s.turn:len(lanes):len(lanes)], lanes[:s.turn]...)
	}
	lanes = slices.DeleteFunc(lanes, func(l *lane) bool { return len(l.queue) == 0 })
	bounds := &budget{rows: s.cfg.BatchRows, bytes: int64(s.cfg.BatchBytes)}
	batches := make([]*batch, len(lanes))
	err := each(len(lanes), func(i int) error {
		if bounds.spent() {
			return nil
		}
		var err error
		batches[i], err = s.cut(ctx, lanes[i], bounds)
		return err
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(batches, func(b *batch) bool { return b == nil }), nil
}

// budget bounds batches that are made together: the rows of each, and the bytes of all.
type budget struct {
	rows  int
	bytes int64
	used  atomic.Int64
}

func (b *budget) spent() bool { return b.used.Load() >= b.bytes }

// cut takes records of one partition until its batch is full. A record's rows are never divided between batches.
func (s *session) cut(ctx context.Context, l *lane, bounds *budget) (*batch, error) {
	b := &batch{tp: l.tp, from: l.next}
	// What has offsets only, such as a marker, goes with the records before it, however full the batch is.
	for len(l.queue) > 0 {
		if r := l.peek(); r != nil {
			if len(b.rows) >= bounds.rows || bounds.spent() {
				break
			}
			before := b.bytes
			fits, err := s.include(ctx, b, r)
			if err != nil {
				return nil, err
			}
			if !fits {
				break
			}
			bounds.used.Add(int64(len(r.Value) + b.bytes - before))
		}
		l.take()
	}
	b.to = l.next
	if len(b.rows) == 0 {
		return b, nil
	}
	b.token = token(s.p, b.tp, l.topicID, b.from, b.to)
	in := intent{
		Version: intentVersion, To: b.to, Rows: len(b.rows), Transform: s.p.Version,
		Token: b.token, TopicID: topicIDText(l.topicID),
	}
	var err error
	b.intent, err = in.encode()
	return b, err
}

// include transforms a record into the batch, or makes its dead letter. fits is false where the record has to wait for
// the next batch.
func (s *session) include(ctx context.Context, b *batch, r *stream.Record) (fits bool, err error) {
	rows, err := s.p.Transform(ctx, projections.Record{Record: r, Name: s.names[r.Topic]}, s.keys)
	switch {
	case errors.Is(err, projections.ErrPoison):
		letter, err := s.letter(r, err)
		if err != nil {
			return false, err
		}
		b.letters = append(b.letters, letter)
	case err != nil:
		return false, fmt.Errorf("transform offset %d of %s: %w", r.Offset, b.tp, err)
	case !b.fits(rows):
		return false, nil
	default:
		b.add(rows)
	}
	if r.Timestamp.After(b.newest) {
		b.newest = r.Timestamp
	}
	return true, nil
}

// deliver makes batches durable: dead letters first, then rows. When it returns nil they can be committed.
func (s *session) deliver(ctx context.Context, batches []*batch) error {
	return each(len(batches), func(i int) error {
		if err := s.bury(ctx, batches[i].letters); err != nil {
			return err
		}
		if err := s.sink.put(ctx, batches[i], true); err != nil {
			return err
		}
		b := batches[i]
		s.log.DebugContext(ctx, "batch is delivered", slog.String("partition", b.tp.String()), slog.Int64("from", b.from),
			slog.Int64("to", b.to), slog.Int("rows", len(b.rows)), slog.Int("dead_letters", len(b.letters)))
		return nil
	})
}

// each calls do for 0 to n-1, some at the same time, and returns all errors. It always waits for all of them: nothing
// goes on behind the caller's back.
func each(n int, do func(i int) error) error {
	errs := make([]error, n)
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = do(i)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
