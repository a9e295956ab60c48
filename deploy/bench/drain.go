package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// reading is a consumer group and what it reads, by their names without the prefix.
type reading struct {
	group  string
	topics []topic.Name
}

// lags looks at how far groups are behind.
type lags struct {
	admin *kadm.Client
	kafka stream.Config
}

func (b *bench) openLags(kafka stream.Config) (lags, error) {
	client, err := stream.Open(kafka, b.log, nil)
	if err != nil {
		return lags{}, err
	}
	b.opened.Add(func() error { client.Close(); return nil })
	return lags{kadm.NewClient(client), kafka}, nil
}

// of is the sum over all groups of what they have not committed yet.
func (l lags) of(ctx context.Context, readings []reading) (int64, error) {
	var sum int64
	for _, r := range readings {
		topics := l.kafka.Topics(r.topics...)
		ends, err := l.admin.ListEndOffsets(ctx, topics...)
		if err != nil {
			return 0, fmt.Errorf("ask for ends: %w", err)
		}
		committed, err := l.admin.FetchOffsets(ctx, l.kafka.Group(r.group))
		// A group that never had a member has no positions.
		if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			return 0, fmt.Errorf("ask for positions: %w", err)
		}
		ends.Each(func(end kadm.ListedOffset) {
			at := int64(0)
			if c, ok := committed.Lookup(end.Topic, end.Partition); ok {
				at = max(c.At, 0)
			}
			sum += max(end.Offset-at, 0)
		})
	}
	return sum, nil
}

// drained waits until groups have read everything. It measures from their first commit, so that joining does not count, to
// the last; where little is left after the first it counts all. started is called when it begins. share is how much of what
// waited was read in between.
func (l lags) drained(ctx context.Context, readings []reading, started func() error) (share float64, took time.Duration, err error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	first, err := l.of(ctx, readings)
	if err != nil {
		return 0, 0, err
	}
	if err := started(); err != nil {
		return 0, 0, err
	}
	began, joined := time.Now(), false
	share = 1
	for {
		left, err := l.of(ctx, readings)
		if err != nil {
			return 0, 0, err
		}
		switch {
		case left == 0:
			return share, time.Since(began), nil
		case left < first && !joined:
			joined = true
			if left >= first/2 {
				began, share = time.Now(), float64(left)/float64(first)
				err = started()
			}
			if err != nil {
				return 0, 0, err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, 0, fmt.Errorf("wait for %d records to be read: %w", left, ctx.Err())
		}
	}
}

// idle waits until groups have read everything.
func (l lags) idle(ctx context.Context, readings []reading) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		left, err := l.of(ctx, readings)
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %d records to be read: %w", left, ctx.Err())
		}
	}
}
