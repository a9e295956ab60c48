package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"

	"github.com/throughline/throughline/schema/stream"
)

// takeOver begins with a partition that was assigned. Where its former owner left an intent, the batch is read again from the log, made
// again, and brought to its end; then the partition goes on behind it.
func (s *session) takeOver(ctx context.Context, a stream.Assignment) (*lane, error) {
	id, err := s.consumer.TopicID(ctx, a.Topic)
	if err != nil {
		return nil, fmt.Errorf("ask for topic id: %w", err)
	}
	l := &lane{tp: a.TopicPartition, topicID: id, next: a.Offset}
	in, pending, err := readIntent(a, s.p, id)
	if err != nil || !pending {
		return l, err
	}
	b, err := s.rebuild(ctx, a, in)
	if err != nil {
		return nil, err
	}
	s.log.InfoContext(ctx, "pending batch is finished", slog.String("token", in.Token), slog.Int("rows", len(b.rows)))
	if err := s.bury(ctx, b.letters); err != nil {
		return nil, err
	}
	if err := s.sink.put(ctx, b, false); err != nil {
		return nil, err
	}
	if err := s.commit(ctx, map[stream.TopicPartition]stream.Commit{a.TopicPartition: {Offset: b.to}}); err != nil {
		return nil, err
	}
	s.consumer.SkipTo(a.TopicPartition, b.to)
	l.next = b.to
	return l, nil
}

// rebuild reads the offsets of an intent again and makes the same batch of them.
func (s *session) rebuild(ctx context.Context, a stream.Assignment, in intent) (*batch, error) {
	from := a.Offset
	records, err := s.consumer.ReadRange(ctx, a.TopicPartition, from, in.To)
	if lost, ok := errors.AsType[*stream.OffsetLostError](err); ok && lost.LogStart > from {
		// The log has dropped the beginning. What is left of the batch is still brought to its end.
		s.log.ErrorContext(ctx, "log dropped records of a pending batch", slog.String("token", in.Token),
			slog.Int64("from", from), slog.Int64("to", lost.LogStart))
		s.metrics.lost.WithLabelValues(s.p.Table).Add(float64(min(lost.LogStart, in.To) - from))
		if from = lost.LogStart; from >= in.To {
			return &batch{tp: a.TopicPartition, from: from, to: from, token: in.Token}, nil
		}
		records, err = s.consumer.ReadRange(ctx, a.TopicPartition, from, in.To)
	}
	if err != nil {
		return nil, fmt.Errorf("read pending batch again: %w", err)
	}
	s.keys.polled()
	l := &lane{tp: a.TopicPartition, next: from, queue: []stream.Batch{
		{TopicPartition: a.TopicPartition, From: from, To: in.To, Records: records},
	}}
	b, err := s.whole(ctx, l)
	if err != nil {
		return nil, err
	}
	// Compaction may have dropped records of a replacing table that later ones replace. Anywhere else, other rows than
	// were announced mean that the transform is not the one that announced them.
	if len(b.rows) != in.Rows && from == a.Offset && !s.p.Replacing {
		return nil, fmt.Errorf("%w: the batch at offset %d of %s has %d rows, its intent says %d: the log or the projection has changed",
			ErrIntent, a.Offset, a.TopicPartition, len(b.rows), in.Rows)
	}
	b.token = in.Token
	return b, nil
}

// whole makes one batch of everything in a lane, whatever its size: its bounds are the intent's.
func (s *session) whole(ctx context.Context, l *lane) (*batch, error) {
	b, err := s.cut(ctx, l, &budget{rows: math.MaxInt, bytes: math.MaxInt64})
	if err == nil && len(l.queue) > 0 {
		err = fmt.Errorf("%w: the records from offset %d to %d of %s do not make one batch any more", ErrIntent, b.from, l.queue[0].To, b.tp)
	}
	return b, err
}
