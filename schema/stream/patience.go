package stream

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/throughline/throughline/schema/problem"
)

// openWithin is how long what is opened waits for brokers that do not answer: a new leader, or a broker that was started
// again, is there within seconds.
const openWithin = time.Minute

// patiently asks until there is an answer, an error that no waiting heals, or openWithin is over.
func patiently(ctx context.Context, deps Deps, what string, ask func() error) error {
	begun := time.Now()
	for failures := 1; ; failures++ {
		err := ask()
		if err == nil || !passing(err) || time.Since(begun) > openWithin || ended(ctx) {
			return err
		}
		wait := backoff(failures)
		deps.Log.WarnContext(ctx, "waiting for brokers", "open", what, "error", err, "wait", wait)
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// passing says whether a request that failed may succeed a moment later: its broker is away, or a partition has no leader.
// A topic that is not there is a mistake.
func passing(err error) bool {
	if refused, ok := errors.AsType[*kerr.Error](err); ok {
		return refused.Retriable && !errors.Is(err, kerr.UnknownTopicOrPartition)
	}
	return problem.KindOf(refusedBy(err)) == problem.Retry
}
