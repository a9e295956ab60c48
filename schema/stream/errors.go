package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Classes of errors, by what the caller must do. Compare with errors.Is.
var (
	// ErrOverloaded: the producer's buffer is full. Nothing was sent; refuse the request and ask to retry later.
	ErrOverloaded = errors.New("producer buffer is full")
	// ErrStalled: the brokers have not acknowledged what was sent before. Nothing was sent; refuse the request and ask to
	// retry later.
	ErrStalled = errors.New("kafka does not acknowledge")
	// ErrTooLarge: the record is larger than a topic takes. Retrying does not help.
	ErrTooLarge = errors.New("record is too large")
	// ErrUnavailable: the brokers did not acknowledge in time. The outcome is unknown: the record may be in the log.
	ErrUnavailable = errors.New("kafka is unavailable")
	// ErrRebalanced: a commit came too late, the partitions belong to another member. Throw the work away and poll.
	ErrRebalanced = errors.New("partitions were taken away")
	// ErrBarrierTimeout: a view did not catch up in time. A miss in it proves nothing.
	ErrBarrierTimeout = errors.New("view did not catch up in time")
	// ErrClosed: the client was closed.
	ErrClosed = errors.New("stream client is closed")
	// ErrStop, wrapped by an error of a Handler, ends Processor.Run: no retry can heal it.
	ErrStop = errors.New("processor must stop")
)

// OffsetLostError says that a group's position does not exist in the log, or never existed. It never heals by
// itself and nothing is skipped or replayed on its account: an operator decides.
type OffsetLostError struct {
	Group string
	TopicPartition

	// Offset is the committed offset, or -1 where none is committed.
	Offset int64
	// LogStart and LogEnd bound what the log still has; both are -1 where they could not be learned.
	LogStart, LogEnd int64
}

// Error names the position, what the log has, and the way out.
func (e *OffsetLostError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("group %q has no committed offset for %s: commit its first offsets (throughline topics)",
			e.Group, e.TopicPartition)
	}
	return fmt.Sprintf("group %q is at offset %d of %s, but the log has [%d, %d): "+
		"restore the log or reset the group's offset", e.Group, e.Offset, e.TopicPartition, e.LogStart, e.LogEnd)
}

// classifyProduce wraps an error of the client in its class.
func classifyProduce(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kgo.ErrMaxBuffered):
		return fmt.Errorf("%w: %w", ErrOverloaded, err)
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	case errors.Is(err, kgo.ErrClientClosed):
		return fmt.Errorf("%w: %w", ErrClosed, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	default:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
}

// lostOwnership says whether a commit failed because the member is no longer the owner.
func lostOwnership(err error) bool {
	return errors.Is(err, kerr.IllegalGeneration) ||
		errors.Is(err, kerr.UnknownMemberID) ||
		errors.Is(err, kerr.RebalanceInProgress) ||
		errors.Is(err, kerr.StaleMemberEpoch) ||
		errors.Is(err, kerr.FencedInstanceID) ||
		errors.Is(err, kerr.FencedMemberEpoch) ||
		errors.Is(err, kerr.GroupIDNotFound)
}

// refusedError marks an error that came before anything was sent.
type refusedError struct{ err error }

func (e refusedError) Error() string { return e.err.Error() }
func (e refusedError) Unwrap() error { return e.err }

func isRefused(err error) bool {
	var r refusedError
	return errors.As(err, &r)
}

// refusal marks the classes of errors after which a record is certainly not in the log.
func refusal(err error) error {
	if errors.Is(err, ErrOverloaded) || errors.Is(err, ErrTooLarge) {
		return refusedError{err}
	}
	return err
}
