package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Consumer reads topics in a group for a sink outside of Kafka, which makes its writes repeatable with the help of
// an intent in the commit's metadata. It is used by one goroutine, but for Wake.
type Consumer struct {
	cfg    Config
	cc     ConsumerConfig
	deps   Deps
	group  string
	client *kgo.Client

	// mu guards what the group's callbacks and the caller share. No request is made under it.
	mu sync.Mutex
	// next is the position of every partition that is owned: the offset after the last batch.
	next map[TopicPartition]int64
	// assigned and lost are what the next Poll tells.
	assigned map[TopicPartition]Assignment
	lost     map[TopicPartition]struct{}
	// metadata is what the last offset fetch brought; AdjustFetchOffsetsFn says which of it was assigned.
	metadata map[TopicPartition]string
	// missing is a partition of ours without a committed offset.
	missing *OffsetLostError
	// wake ends a waiting poll, so that an assignment is told without waiting for a record; woken is Wake's word that the
	// next one is not to wait.
	wake  context.CancelFunc
	woken bool
	// wanted is closed when a rebalance is blocked by us.
	wanted chan struct{}
	// ids remembers topic ids.
	ids map[string][16]byte
}

// NewConsumer opens a Consumer and joins the group in the background.
func NewConsumer(cfg Config, cc ConsumerConfig, deps Deps) (*Consumer, error) {
	cc = cc.withDefaults()
	c := &Consumer{
		cfg: cfg, cc: cc, deps: deps, group: cfg.Group(cc.Group),
		next:     map[TopicPartition]int64{},
		assigned: map[TopicPartition]Assignment{},
		lost:     map[TopicPartition]struct{}{},
		metadata: map[TopicPartition]string{},
		wanted:   make(chan struct{}),
		ids:      map[string][16]byte{},
	}
	cfg = cfg.with("consumer-" + cc.Group)
	client, err := Open(cfg, deps.Log, deps.Reg, append(traceOptions(cfg, deps, c.group),
		kgo.ConsumerGroup(c.group),
		kgo.ConsumeTopics(cfg.Topics(cc.Topics...)...),
		// A partition that stays with its owner is not interrupted by a rebalance.
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		// We commit what is durable in the sink, and nothing else.
		kgo.DisableAutoCommit(),
		// A batch and its commit are one: no partition is taken away in between.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(c.onAssigned),
		kgo.OnPartitionsRevoked(c.onLost),
		kgo.OnPartitionsLost(c.onLost),
		kgo.OnPartitionsCallbackBlocked(c.onBlocked),
		kgo.OnOffsetsFetched(c.onFetched),
		kgo.AdjustFetchOffsetsFn(c.onOffsets),
		// What a transaction has not committed does not exist for a sink.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// Markers are records here, so that the committed offset passes them and reaches the end of an idle partition.
		kgo.KeepControlRecords(),
		// A lost position is an operator's decision: never start over, never skip.
		kgo.ConsumeStartOffset(kgo.NewOffset().AtCommitted()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(cc.FetchMaxWait),
		kgo.FetchMaxBytes(int32(cc.MaxFetchBytes)),
		kgo.FetchMaxPartitionBytes(int32(min(cc.MaxFetchBytes, 4<<20))),
		kgo.SessionTimeout(cc.SessionTimeout),
		// Three heartbeats may be lost, as the protocol's authors advise.
		kgo.HeartbeatInterval(cc.SessionTimeout/4),
		kgo.RebalanceTimeout(cc.RebalanceTimeout),
	)...)
	if err != nil {
		return nil, err
	}
	c.client = client
	return c, nil
}

// Poll waits for records, for a change of assignment or for Wake, and may bring nothing. Until AllowRebalance is called no
// partition is taken away, however often Poll is called and also after an error. Records that are polled are not polled
// again: a caller that gives a batch up closes the Consumer. It returns the context's error, after which it may be called
// again; an *OffsetLostError; or another error, after which the Consumer is to be closed and opened anew.
func (c *Consumer) Poll(ctx context.Context) (Polled, error) {
	fetches := c.pollOnce(ctx)
	if len(fetches) == 0 {
		// Here alone the library does not hold rebalances back, so callbacks may run: changes are left to the next Poll.
		return Polled{}, nil
	}
	// From here on no callback runs, so ownership and records fit together.
	polled := c.takeChanges()
	if err := c.pollError(ctx, fetches); err != nil {
		// A change that was not told now is told by the next Poll.
		c.putBack(polled)
		return Polled{}, err
	}
	polled.Batches = c.takeBatches(fetches)
	if len(polled.Assigned)+len(polled.Lost)+len(polled.Batches) > 0 {
		return polled, nil
	}
	return Polled{}, ctx.Err()
}

// Wake ends a Poll that waits, or else the next one that would. It may be called by any goroutine.
func (c *Consumer) Wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.woken = true
	if c.wake != nil {
		c.wake()
	}
}

func (c *Consumer) pollOnce(ctx context.Context) kgo.Fetches {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	c.wake = cancel
	if len(c.assigned)+len(c.lost) > 0 || c.missing != nil || c.woken {
		cancel()
	}
	c.woken = false
	c.mu.Unlock()
	return c.client.PollRecords(ctx, c.cc.MaxPollRecords)
}

func (c *Consumer) takeChanges() Polled {
	c.mu.Lock()
	defer c.mu.Unlock()
	var p Polled
	for tp := range c.lost {
		p.Lost = append(p.Lost, tp)
	}
	for _, a := range c.assigned {
		p.Assigned = append(p.Assigned, a)
	}
	clear(c.lost)
	clear(c.assigned)
	return p
}

func (c *Consumer) putBack(p Polled) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, tp := range p.Lost {
		c.lost[tp] = struct{}{}
	}
	for _, a := range p.Assigned {
		c.assigned[a.TopicPartition] = a
	}
}

func (c *Consumer) pollError(ctx context.Context, fetches kgo.Fetches) error {
	c.mu.Lock()
	missing := c.missing
	c.mu.Unlock()
	if missing != nil {
		return missing
	}
	for _, fe := range fetches.Errors() {
		var session *kgo.ErrGroupSession
		switch {
		case errors.Is(fe.Err, context.Canceled), errors.Is(fe.Err, context.DeadlineExceeded), errors.As(fe.Err, &session):
			// A wake-up, the caller's own context, or news that the library rejoins by itself.
		case errors.Is(fe.Err, kgo.ErrClientClosed):
			return ErrClosed
		case errors.Is(fe.Err, kerr.OffsetOutOfRange):
			tp := TopicPartition{fe.Topic, fe.Partition}
			c.mu.Lock()
			at := c.next[tp]
			c.mu.Unlock()
			return offsetLost(ctx, c.client, c.group, tp, at)
		default:
			return fmt.Errorf("poll %s/%d: %w", fe.Topic, fe.Partition, fe.Err)
		}
	}
	return nil
}

// takeBatches turns fetched records into batches that start where the last one ended, and drops what SkipTo skips.
func (c *Consumer) takeBatches(fetches kgo.Fetches) []Batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	var batches []Batch
	index := map[TopicPartition]int{}
	fetches.EachPartition(func(fp kgo.FetchTopicPartition) {
		tp := TopicPartition{fp.Topic, fp.Partition}
		from, owned := c.next[tp]
		if !owned || len(fp.Records) == 0 {
			return
		}
		to := fp.Records[len(fp.Records)-1].Offset + 1
		if to <= from {
			return
		}
		i, ok := index[tp]
		if !ok {
			i = len(batches)
			index[tp] = i
			batches = append(batches, Batch{TopicPartition: tp, From: from})
		}
		for _, r := range fp.Records {
			if r.Offset >= from && !IsControl(r) {
				batches[i].Records = append(batches[i].Records, r)
			}
		}
		batches[i].To = to
		c.next[tp] = to
	})
	return batches
}

// SkipTo leaves out the records of a partition below offset from now on: its intent turned out to be done.
func (c *Consumer) SkipTo(tp TopicPartition, offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, owned := c.next[tp]; owned && at < offset {
		c.next[tp] = offset
	}
}

// AllowRebalance lets partitions be taken away until the next Poll. Call it when everything polled is committed.
func (c *Consumer) AllowRebalance() {
	c.mu.Lock()
	select {
	case <-c.wanted:
		c.wanted = make(chan struct{})
	default:
	}
	c.mu.Unlock()
	c.client.AllowRebalance()
}

// RebalanceWanted is closed when a rebalance waits for AllowRebalance; a new channel takes its place afterwards.
func (c *Consumer) RebalanceWanted() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wanted
}

// ReadRange reads the committed records with offsets in [from, to) of a partition again, outside of the group. It
// returns an *OffsetLostError if the log does not reach back to from.
func (c *Consumer) ReadRange(ctx context.Context, tp TopicPartition, from, to int64) ([]*Record, error) {
	var records []*Record
	err := readRange(ctx, c.cfg.with(c.cc.Group), c.deps, tp, from, to, func(r *Record) error {
		records = append(records, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

// TopicID is the id of a topic, by its full name. It changes when the topic is made anew; an intent names it.
func (c *Consumer) TopicID(ctx context.Context, name string) ([16]byte, error) {
	c.mu.Lock()
	id, ok := c.ids[name]
	c.mu.Unlock()
	if ok {
		return id, nil
	}
	_, metas, err := describe(ctx, c.client, []string{name})
	if err != nil {
		return [16]byte{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids[name] = metas[name].id
	return metas[name].id, nil
}

// Close leaves the group. Nothing is committed.
func (c *Consumer) Close() { closeClient(context.Background(), c.client) }
