package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/throughline/throughline/schema/stream"
)

const (
	// pollRecords bounds one poll.
	pollRecords = 5000
	// longest bounds how long a batch is collected while records keep coming as fast as they are polled.
	longest = time.Second
)

// gather polls until there is something to do, and then on until a batch is full or old. The first record after a
// pause is not held back; under a trickle there is one insert in a BatchAge.
func (s *session) gather(ctx context.Context) error {
	if err := s.poll(ctx, ctx); err != nil {
		return err
	}
	began := time.Now()
	for until := s.last.Add(s.cfg.BatchAge); !s.full() && s.queued(); {
		left := time.Until(until)
		if left <= 0 && (!s.busy || time.Since(began) > longest) {
			return nil
		}
		select {
		case <-s.consumer.RebalanceWanted():
			return nil
		default:
		}
		if err := s.pollFor(ctx, left); err != nil {
			return err
		}
	}
	return nil
}

// following is what is to be delivered next without a pause: what was polled and did not fit into the last batches, and
// under load what has come meanwhile. Where a rebalance waits, or the projector is asked to stop, nothing more is polled.
func (s *session) following(ctx, work context.Context) ([]*batch, error) {
	select {
	case <-ctx.Done():
		return nil, nil
	case <-s.consumer.RebalanceWanted():
	default:
		if s.busy && !s.queued() {
			if err := s.pollFor(ctx, 0); err != nil {
				return nil, err
			}
		}
	}
	return s.build(work)
}

// pollFor polls for at most d; nothing may come.
func (s *session) pollFor(ctx context.Context, d time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, max(d, 0))
	defer cancel()
	s.busy = false
	err := s.poll(ctx, limited)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// poll takes over what one poll brings. ctx is the session's, limited bounds the wait.
func (s *session) poll(ctx, limited context.Context) error {
	polled, err := s.consumer.Poll(limited)
	if lost, ok := errors.AsType[*stream.OffsetLostError](err); ok {
		return s.skipLost(ctx, lost)
	}
	if err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	s.keys.polled()
	for _, tp := range polled.Lost {
		delete(s.lanes, tp)
	}
	if len(polled.Assigned) > 0 {
		work, cancel := s.bounded(ctx)
		defer cancel()
		for _, a := range polled.Assigned {
			l, err := s.takeOver(work, a)
			if err != nil {
				return fmt.Errorf("take over %s: %w", a.TopicPartition, err)
			}
			s.lanes[a.TopicPartition] = l
		}
	}
	count := 0
	for _, b := range polled.Batches {
		count += len(b.Records)
		if l, owned := s.lanes[b.TopicPartition]; owned {
			l.push(b)
		}
	}
	s.busy = count >= pollRecords/2
	return nil
}

// skipLost goes on at the start of the log where the log has dropped records that were not projected yet: retention was
// shorter than the projector was away. They cannot be had any more; they are counted, and said.
func (s *session) skipLost(ctx context.Context, lost *stream.OffsetLostError) error {
	switch {
	case lost.Offset < 0:
		return lost
	case lost.LogStart < 0 || lost.LogEnd < 0:
		return fmt.Errorf("%w: %s", errLogUnknown, lost.Error())
	case lost.Offset > lost.LogEnd:
		return lost
	case lost.Offset >= lost.LogStart:
		// The position was moved behind a pending batch of which the log has dropped records. The client still asks for
		// the first of them, and the next one asks for the position.
		return errLogMoved
	}
	if _, known := s.lanes[lost.TopicPartition]; !known && s.untold < maxUntold {
		// The next poll tells of the assignment first, and with it of an intent that may be pending.
		s.untold++
		return nil
	}
	s.log.ErrorContext(ctx, "log dropped records before they were projected", slog.String("partition", lost.String()),
		slog.Int64("from", lost.Offset), slog.Int64("to", lost.LogStart))
	commit := map[stream.TopicPartition]stream.Commit{lost.TopicPartition: {Offset: lost.LogStart}}
	if err := s.commit(ctx, commit); err != nil {
		return err
	}
	s.metrics.lost.WithLabelValues(s.p.Table).Add(float64(lost.LogStart - lost.Offset))
	return errLogMoved
}

// Errors that make a session end, so that the next one begins at the offset that is committed.
var (
	errLogMoved   = errors.New("position was moved to what the log still has")
	errLogUnknown = errors.New("position is not in the log, and what the log has cannot be learned")
)

// queued says whether there is anything to deliver.
func (s *session) queued() bool {
	for _, l := range s.lanes {
		if len(l.queue) > 0 {
			return true
		}
	}
	return false
}

// full says whether what was polled is enough for a batch, or for the memory that there is.
func (s *session) full() bool {
	total := 0
	for _, l := range s.lanes {
		count, bytes := l.records()
		total += bytes
		if count >= s.cfg.BatchRows || total >= s.cfg.BatchBytes {
			return true
		}
	}
	return false
}
