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
	// maxFetchBytes bounds what a broker sends at once, ahead of what was polled: more than a poll, and less than a batch.
	maxFetchBytes = 8 << 20
)

// poll takes over what one poll brings. It waits until something comes or is finished, or until the next batch is old
// enough; a zero until is no bound.
func (s *session) poll(ctx context.Context, until time.Time) error {
	limited, cancel := ctx, context.CancelFunc(func() {})
	if !until.IsZero() {
		left := time.Until(until)
		if s.busy {
			quiet := lull
			if s.fill > longest {
				quiet = lullBehind
			}
			left = min(left, quiet)
		}
		limited, cancel = context.WithTimeout(ctx, left)
	}
	defer cancel()
	polled, err := s.consumer.Poll(limited)
	if lost, ok := errors.AsType[*stream.OffsetLostError](err); ok {
		return s.skipLost(ctx, lost)
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil // the next turn sees it
	case errors.Is(err, context.DeadlineExceeded):
		s.busy = false
		return nil
	default:
		return fmt.Errorf("poll: %w", err)
	}
	return s.takeIn(polled)
}

// takeIn queues what was polled. A partition that is taken away was idle, unless this member was put out of its group.
func (s *session) takeIn(polled stream.Polled) error {
	for _, tp := range polled.Lost {
		if l, owned := s.lanes[tp]; owned && !l.empty() {
			return fmt.Errorf("%w: %s", stream.ErrRebalanced, tp)
		}
		delete(s.lanes, tp)
	}
	for _, a := range polled.Assigned {
		l, err := s.takeOver(s.work, a)
		if err != nil {
			return fmt.Errorf("take over %s: %w", a.TopicPartition, err)
		}
		s.lanes[a.TopicPartition] = l
		s.works()
	}
	if len(polled.Batches) == 0 {
		return nil
	}
	s.keys.polled()
	count := 0
	var newest time.Time
	for _, b := range polled.Batches {
		count += len(b.Records)
		if n := len(b.Records); n > 0 && b.Records[n-1].Timestamp.After(newest) {
			newest = b.Records[n-1].Timestamp
		}
		if l, owned := s.lanes[b.TopicPartition]; owned {
			l.push(b)
		}
	}
	s.busy, s.fill = count >= pollRecords/2, longest
	if age := time.Since(newest); count > 0 && age > behind {
		s.busy, s.fill = true, min(max(age/4, longest), longestBehind)
	}
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
	// The commit below takes the place of an intent: nothing may be on its way.
	if err := s.drain(); err != nil {
		return err
	}
	s.log.ErrorContext(ctx, "log dropped records before they were projected", slog.String("partition", lost.String()),
		slog.Int64("from", lost.Offset), slog.Int64("to", lost.LogStart))
	commit := map[stream.TopicPartition]stream.Commit{lost.TopicPartition: {Offset: lost.LogStart}}
	if err := s.consumer.Commit(s.work, commit); err != nil { //nolint:contextcheck // what is begun outlives the stop, as all work does
		return fmt.Errorf("commit behind what is lost: %w", err)
	}
	s.metrics.lost.WithLabelValues(s.p.Table).Add(float64(lost.LogStart - lost.Offset))
	return errLogMoved
}

// Errors that make a session end, so that the next one begins at the offset that is committed.
var (
	errLogMoved   = errors.New("position was moved to what the log still has")
	errLogUnknown = errors.New("position is not in the log, and what the log has cannot be learned")
)
