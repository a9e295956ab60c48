package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/topic"
)

// Tail reads what is appended to a topic: every partition, committed records only, outside of any group. It keeps no
// position: a tail that is opened anew begins where it is told to. Where it falls behind what the topic keeps, it goes on
// at the end; so it is for topics that are kept for ever, and for answers that somebody waits for.
type Tail struct {
	client *kgo.Client
	name   string
	// from are the offsets to begin at, and behind where the partitions ended when the tail was opened and that Run has
	// not reached yet.
	from, behind map[int32]int64
	caughtUp     chan struct{}
	deps         Deps

	mu sync.Mutex
	// next are the offsets before which Run has given everything, and moved is closed when one changes; it is nil while
	// nobody waits.
	next  map[int32]int64
	moved chan struct{}
}

// OpenTail notes where the partitions of the topic end. Every record that is produced from now on is given to Run, however
// much later that is called. name tells the tails of a process apart.
func OpenTail(ctx context.Context, cfg Config, name string, t topic.Name, deps Deps) (*Tail, error) {
	return openTail(ctx, cfg, name, t, atLogEnd, deps)
}

// OpenTailSince is OpenTail with every record whose time is since or later; the zero time means the whole topic. A record
// that is older may be among them.
func OpenTailSince(ctx context.Context, cfg Config, name string, t topic.Name, since time.Time, deps Deps) (*Tail, error) {
	at := int64(atLogStart)
	if !since.IsZero() {
		at = since.UnixMilli()
	}
	return openTail(ctx, cfg, name, t, at, deps)
}

func openTail(ctx context.Context, cfg Config, name string, t topic.Name, at int64, deps Deps) (*Tail, error) {
	client, err := Open(cfg.with(name), deps.Log, deps.Reg,
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// A marker at the end of a partition is the only sign that its end is reached.
		kgo.KeepControlRecords(),
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
	tail := &Tail{
		client: client, name: cfg.Topic(t), from: map[int32]int64{}, behind: map[int32]int64{}, caughtUp: make(chan struct{}), deps: deps,
		next: map[int32]int64{},
	}
	if err := patiently(ctx, deps, "tail of "+tail.name, func() error { return tail.find(ctx, at) }); err != nil {
		client.Close()
		return nil, fmt.Errorf("open tail of %s: %w", tail.name, err)
	}
	return tail, nil
}

// find notes where to begin, at a time or at one end of the log, and where the partitions end.
func (t *Tail) find(ctx context.Context, at int64) error {
	_, topics, err := describe(ctx, t.client, []string{t.name})
	if err != nil {
		return err
	}
	tps := allPartitions(topics)
	ends, err := listOffsets(ctx, t.client, atLogEnd, tps)
	if err != nil {
		return err
	}
	starts := ends
	if at != atLogEnd {
		if starts, err = listOffsets(ctx, t.client, at, tps); err != nil {
			return err
		}
	}
	for tp, end := range ends {
		from := starts[tp]
		if from < 0 || from > end {
			from = end // no record is as late as that
		}
		t.from[tp.Partition], t.next[tp.Partition] = from, from
		if from < end {
			t.behind[tp.Partition] = end
		}
	}
	t.catchUp()
	return nil
}

// CaughtUp is closed when Run has given everything that the topic had when the tail was opened.
func (t *Tail) CaughtUp() <-chan struct{} { return t.caughtUp }

func (t *Tail) catchUp() {
	if t.behind != nil && len(t.behind) == 0 {
		t.behind = nil
		close(t.caughtUp)
	}
}

// WaitRead returns once Run has given every record before an offset of a partition. It ends with the context.
func (t *Tail) WaitRead(ctx context.Context, partition int32, before int64) error {
	for {
		t.mu.Lock()
		if t.next[partition] >= before {
			t.mu.Unlock()
			return nil
		}
		if t.moved == nil {
			t.moved = make(chan struct{})
		}
		moved := t.moved
		t.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reached notes that everything before an offset of a partition was given.
func (t *Tail) reached(partition int32, next int64) {
	t.mu.Lock()
	t.next[partition] = next
	if t.moved != nil {
		close(t.moved)
		t.moved = nil
	}
	t.mu.Unlock()
	if end, ok := t.behind[partition]; ok && next >= end {
		delete(t.behind, partition)
		t.catchUp()
	}
}

// Run gives each record to fn until the context ends, and then returns nil. fn must be quick and must not keep the record.
// Call it once.
func (t *Tail) Run(ctx context.Context, fn func(*Record)) error {
	from := make(map[int32]kgo.Offset, len(t.from))
	for partition, at := range t.from {
		from[partition] = kgo.NewOffset().At(at)
	}
	t.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{t.name: from})
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
			r := it.Next()
			if !IsControl(r) {
				fn(r)
			}
			t.reached(r.Partition, r.Offset+1)
		}
	}
	return nil
}

// Close closes the connections. Run must have returned.
func (t *Tail) Close() { t.client.Close() }
