package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/topic"
)

// Tail reads what is appended to a topic after it was opened: every partition, committed records only, outside of any
// group. It is for answers that somebody waits for, and for nothing that must not be missed: where it falls behind what
// the topic keeps, it goes on at the end.
type Tail struct {
	client *kgo.Client
	name   string
	ends   map[int32]kgo.Offset
	deps   Deps
}

// OpenTail notes where the partitions of the topic end. Every record that is produced from now on is given to Run, however
// much later that is called. name tells the tails of a process apart.
func OpenTail(ctx context.Context, cfg Config, name string, t topic.Name, deps Deps) (*Tail, error) {
	client, err := Open(cfg.with(name), deps.Log, deps.Reg,
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// What was missed is answered by nobody any more.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),
		// A broker answers as soon as there is one byte; the wait only bounds how often it is asked in vain.
		kgo.FetchMaxWait(5*time.Second),
		kgo.FetchMaxBytes(8<<20),
		kgo.FetchMaxPartitionBytes(1<<20),
	)
	if err != nil {
		return nil, err
	}
	tail := &Tail{client: client, name: cfg.Topic(t), ends: map[int32]kgo.Offset{}, deps: deps}
	if err := tail.findEnds(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("open tail of %s: %w", tail.name, err)
	}
	return tail, nil
}

func (t *Tail) findEnds(ctx context.Context) error {
	_, topics, err := describe(ctx, t.client, []string{t.name})
	if err != nil {
		return err
	}
	ends, err := listOffsets(ctx, t.client, atLogEnd, allPartitions(topics))
	if err != nil {
		return err
	}
	for tp, end := range ends {
		t.ends[tp.Partition] = kgo.NewOffset().At(end)
	}
	return nil
}

// Run gives each record to fn until the context ends, and then returns nil. fn must be quick and must not keep the record.
// Call it once.
func (t *Tail) Run(ctx context.Context, fn func(*Record)) error {
	t.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{t.name: t.ends})
	for !ended(ctx) {
		fetches := t.client.PollFetches(ctx)
		for _, fe := range fetches.Errors() {
			switch {
			case ended(ctx):
				return nil
			case errors.Is(fe.Err, kerr.UnknownTopicID), errors.Is(fe.Err, kgo.ErrClientClosed):
				return fmt.Errorf("read tail of %s/%d: %w", fe.Topic, fe.Partition, fe.Err)
			default:
				t.deps.Log.WarnContext(ctx, "tail of topic is read again", "topic", fe.Topic, "partition", fe.Partition, "error", fe.Err)
			}
		}
		for it := fetches.RecordIter(); !it.Done(); {
			fn(it.Next())
		}
	}
	return nil
}

// Close closes the connections. Run must have returned.
func (t *Tail) Close() { t.client.Close() }
