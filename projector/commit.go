package projector

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"github.com/throughline/throughline/schema/stream"
)

// commit moves the positions behind what is finished, and announces what is complete, with one request. What is announced
// begins to be inserted as soon as the brokers have the announcement, and not before.
func (s *session) commit(announce bool) error {
	var changed, finished []*lane
	var announced []*batch
	for _, l := range s.lanes {
		moved := l.finish(s.recycle)
		from := len(l.sent)
		if announce {
			l.announce()
		}
		if moved {
			finished = append(finished, l)
		}
		if moved || len(l.sent) > from {
			changed = append(changed, l)
		}
		announced = append(announced, l.sent[from:]...)
	}
	together := s.join(announced)
	commits := map[stream.TopicPartition]stream.Commit{}
	for _, l := range changed {
		metadata, err := newIntent(s.p, l.topicID, l.sent)
		if err != nil {
			return err
		}
		// What inserts nothing changes nothing until it is finished.
		if metadata != "" || slices.Contains(finished, l) {
			commits[l.tp] = stream.Commit{Offset: l.committed, Metadata: metadata}
		}
	}
	if len(commits) > 0 {
		if err := s.consumer.Commit(s.work, commits); err != nil {
			return fmt.Errorf("commit %d partitions: %w", len(commits), err)
		}
		s.works()
	}
	for _, batches := range together {
		s.begin(s.slots.inserting, func() (func(), error) {
			return func() {
				for _, b := range batches {
					b.done = true
				}
			}, s.deliver(s.work, batches)
		})
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

// deliver makes batches durable: dead letters first, then rows.
func (s *session) deliver(ctx context.Context, batches []*batch) (err error) {
	var links []trace.Link
	for _, b := range batches {
		links = append(links, b.links[:min(len(b.links), maxLinks-len(links))]...)
	}
	ctx, span := stream.StartBatch(ctx, s.deps.Traces, "project "+s.p.Table, links)
	defer func() { stream.EndBatch(span, err) }()
	for _, b := range batches {
		if err := s.bury(ctx, b.letters); err != nil {
			return err
		}
	}
	if err := s.sink.putTogether(ctx, batches); err != nil {
		return err
	}
	for _, b := range batches {
		s.log.DebugContext(ctx, "batch is delivered", slog.String("partition", b.tp.String()), slog.Int64("from", b.from),
			slog.Int64("to", b.to), slog.Int("rows", b.rows()), slog.Int("dead_letters", len(b.letters)))
	}
	return nil
}
