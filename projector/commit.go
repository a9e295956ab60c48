package projector

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/throughline/throughline/schema/stream"
)

// commit moves the positions behind what is finished, and announces what is complete, with one request. What is announced
// begins to be inserted as soon as the brokers have the announcement, and not before.
func (s *session) commit(announce bool) error {
	commits := map[stream.TopicPartition]stream.Commit{}
	var announced []*lane
	for tp, l := range s.lanes {
		finished := l.finish(s.recycle)
		from := len(l.sent)
		if announce {
			l.announce()
		}
		if !finished && len(l.sent) == from {
			continue
		}
		metadata, err := newIntent(s.p, l.topicID, l.sent)
		if err != nil {
			return err
		}
		// What inserts nothing changes nothing until it is finished.
		if finished || metadata != "" {
			commits[tp] = stream.Commit{Offset: l.committed, Metadata: metadata}
		}
		if len(l.sent) > from {
			announced = append(announced, l)
		}
	}
	if len(commits) > 0 {
		if err := s.consumer.Commit(s.work, commits); err != nil {
			return fmt.Errorf("commit %d partitions: %w", len(commits), err)
		}
		s.works()
	}
	for _, l := range announced {
		for _, b := range l.sent {
			if !b.sending {
				b.sending = true
				s.begin(s.slots.inserting, func() (func(), error) { return func() { b.done = true }, s.deliver(s.work, b) })
			}
		}
	}
	return nil
}

// finish takes out the batches that are done, up to the first that is not, and moves the position behind them.
func (l *lane) finish(recycle func(*batch)) bool {
	n := 0
	for n < len(l.sent) && l.sent[n].done {
		l.committed = l.sent[n].to
		recycle(l.sent[n])
		n++
	}
	l.sent = append(l.sent[:0:0], l.sent[n:]...)
	return n > 0
}

// announce moves complete batches to those that the next commit announces.
func (l *lane) announce() {
	n := min(ahead-len(l.sent), len(l.closed))
	l.sent = append(l.sent, l.closed[:n]...)
	l.closed = append(l.closed[:0:0], l.closed[n:]...)
}

// deliver makes a batch durable: dead letters first, then rows.
func (s *session) deliver(ctx context.Context, b *batch) (err error) {
	ctx, span := stream.StartBatch(ctx, s.deps.Traces, "project "+s.p.Table, b.links)
	defer func() { stream.EndBatch(span, err) }()
	if err := s.bury(ctx, b.letters); err != nil {
		return err
	}
	if err := s.sink.put(ctx, b, true); err != nil {
		return err
	}
	s.log.DebugContext(ctx, "batch is delivered", slog.String("partition", b.tp.String()), slog.Int64("from", b.from),
		slog.Int64("to", b.to), slog.Int("rows", b.rows()), slog.Int("dead_letters", len(b.letters)))
	return nil
}
