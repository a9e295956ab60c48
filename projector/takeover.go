package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"

	"github.com/throughline/throughline/schema/stream"
)

// takeOver begins with a partition that was assigned. Where its former owner left an intent, its batches are read again
// from the log, made again, and brought to their end, one after the other; then the partition goes on behind them.
func (s *session) takeOver(ctx context.Context, a stream.Assignment) (*lane, error) {
	id, err := s.consumer.TopicID(ctx, a.Topic)
	if err != nil {
		return nil, fmt.Errorf("ask for topic id: %w", err)
	}
	l := &lane{tp: a.TopicPartition, topicID: id, next: a.Offset, committed: a.Offset}
	in, pending, err := readIntent(a, s.p, id)
	if err != nil || !pending {
		return l, err
	}
	unproven := s.metrics.pending.WithLabelValues(s.p.Table)
	unproven.Inc()
	defer unproven.Dec()
	for _, want := range in.Batches {
		b, err := s.rebuild(ctx, l, want)
		if err != nil {
			return nil, err
		}
		s.log.InfoContext(ctx, "pending batch is finished", slog.String("token", b.token), slog.Int("rows", b.rows()))
		if err := s.bury(ctx, b.letters); err != nil {
			return nil, err
		}
		if err := s.sink.put(ctx, b, false); err != nil {
			return nil, err
		}
		l.next = want.To
	}
	// One commit for all: whoever finds the intent once more finds the batches in the table.
	if err := s.consumer.Commit(ctx, map[stream.TopicPartition]stream.Commit{l.tp: {Offset: l.next}}); err != nil {
		return nil, fmt.Errorf("commit pending batches: %w", err)
	}
	l.committed = l.next
	s.consumer.SkipTo(l.tp, l.next)
	return l, nil
}

// rebuild reads the offsets from the lane's next one to those of an announced batch again, and makes the same batch.
func (s *session) rebuild(ctx context.Context, l *lane, want announced) (*batch, error) {
	from, whole := l.next, true
	records, err := s.consumer.ReadRange(ctx, l.tp, from, want.To)
	if lost, ok := errors.AsType[*stream.OffsetLostError](err); ok && lost.LogStart > from {
		// The log has dropped the beginning. What is left of the batch is still brought to its end.
		from, whole = min(lost.LogStart, want.To), false
		s.log.ErrorContext(ctx, "log dropped records of a pending batch", slog.String("token", want.Token),
			slog.Int64("from", l.next), slog.Int64("to", from))
		s.metrics.lost.WithLabelValues(s.p.Table).Add(float64(from - l.next))
		records, err = s.consumer.ReadRange(ctx, l.tp, from, want.To)
	}
	if err != nil {
		return nil, fmt.Errorf("read pending batch again: %w", err)
	}
	s.keys.polled()
	b, err := s.whole(ctx, l, stream.Batch{TopicPartition: l.tp, From: from, To: want.To, Records: records})
	if err != nil {
		return nil, err
	}
	// Compaction may have dropped records of a replacing table that later ones replace. Anywhere else, other rows than
	// were announced mean that the transform is not the one that announced them.
	if b.rows() != want.Rows && whole && !s.p.Replacing {
		return nil, fmt.Errorf("%w: the batch at offset %d of %s has %d rows, its intent says %d: the log or the projection has changed",
			ErrIntent, l.next, l.tp, b.rows(), want.Rows)
	}
	b.token, b.joint = want.Token, want.Joint
	return b, nil
}

// whole makes one batch of all records, whatever its size: its bounds are the intent's.
func (w *worker) whole(ctx context.Context, l *lane, polled stream.Batch) (*batch, error) {
	u := &builder{worker: w, tp: l.tp, topicID: l.topicID, rows: math.MaxInt, bytes: math.MaxInt}
	if err := u.include(ctx, []stream.Batch{polled}); err != nil {
		return nil, err
	}
	u.finish()
	return u.closed[0], nil
}
