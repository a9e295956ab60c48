package stream

import (
	"context"
	"errors"
	"time"

	"github.com/throughline/throughline/schema/topic"
)

// ConsumerConfig says what a Consumer reads.
type ConsumerConfig struct {
	// Group is the consumer group's name without the prefix.
	Group string
	// Topics are what it reads.
	Topics []topic.Name
	// MaxPollRecords bounds one Poll; 5,000 by default.
	MaxPollRecords int
	// MaxFetchBytes bounds what one broker sends in one answer; 16 MiB by default.
	MaxFetchBytes int
	// FetchMaxWait is how long a broker holds an empty answer back; 500 ms by default. New records end the wait.
	FetchMaxWait time.Duration
	// SessionTimeout is after how long without a heartbeat a member counts as dead; 10 s by default.
	SessionTimeout time.Duration
	// RebalanceTimeout is how long a batch may take from Poll to AllowRebalance; 60 s by default. A slower member is
	// ejected, and its Commit answers ErrRebalanced.
	RebalanceTimeout time.Duration
}

// Polled is what one Poll brought. Handle Lost first, then Assigned, then Batches.
type Polled struct {
	// Lost are partitions that this member does not own any more.
	Lost []TopicPartition
	// Assigned are partitions that this member owns from now on. None of their records was in an earlier Polled.
	Assigned []Assignment
	// Batches are the new records, at most one batch a partition.
	Batches []Batch
}

// Assignment is a partition that was just assigned, with what its former owner committed. No transaction that
// could still change it is open.
type Assignment struct {
	TopicPartition

	// Offset is the committed offset: the next record to process.
	Offset int64
	// Metadata is the string that was committed with it.
	Metadata string
}

// Batch is a run of records of one partition: the offsets [From, To) hold exactly these Records. What else is in
// between are transaction markers, aborted records, and gaps that compaction left.
type Batch struct {
	TopicPartition

	From, To int64
	Records  []*Record
}

// Commit is a position of a partition, with a string of the caller (the intent; at most MaxMetadataBytes).
type Commit struct {
	Offset   int64
	Metadata string
}

// MaxMetadataBytes is the brokers' default limit of the string in a Commit (offset.metadata.max.bytes).
const MaxMetadataBytes = 4096

// Consumer reads topics in a group for a sink outside of Kafka, which makes its writes repeatable with the help of
// an intent in the commit's metadata. It is used by one goroutine.
type Consumer struct{}

// NewConsumer opens a Consumer and joins the group in the background.
func NewConsumer(cfg Config, cc ConsumerConfig, deps Deps) (*Consumer, error) {
	return nil, errors.ErrUnsupported
}

// Poll waits for records or for a change of assignment. Until AllowRebalance is called no partition is taken away.
// Records that are polled are not polled again: a caller that gives a batch up closes the Consumer. It returns the
// context's error, or an *OffsetLostError.
func (c *Consumer) Poll(ctx context.Context) (Polled, error) { return Polled{}, errors.ErrUnsupported }

// SkipTo leaves out the records of a partition below offset from now on: its intent turned out to be done.
func (c *Consumer) SkipTo(tp TopicPartition, offset int64) {}

// Commit commits positions with their metadata. It returns an error that wraps ErrRebalanced if this member is not the
// owner any more; any other error may be retried.
func (c *Consumer) Commit(ctx context.Context, commits map[TopicPartition]Commit) error {
	return errors.ErrUnsupported
}

// AllowRebalance lets partitions be taken away until the next Poll. Call it when everything polled is committed.
func (c *Consumer) AllowRebalance() {}

// RebalanceWanted is closed when a rebalance waits for AllowRebalance; a new channel takes its place afterwards.
func (c *Consumer) RebalanceWanted() <-chan struct{} { return nil }

// ReadRange reads the committed records with offsets in [from, to) of a partition again, outside of the group. It
// returns an *OffsetLostError if the log does not reach back to from.
func (c *Consumer) ReadRange(ctx context.Context, tp TopicPartition, from, to int64) ([]*Record, error) {
	return nil, errors.ErrUnsupported
}

// TopicID is the id of a topic, which changes when the topic is made anew; an intent names it.
func (c *Consumer) TopicID(ctx context.Context, t string) ([16]byte, error) {
	return [16]byte{}, errors.ErrUnsupported
}

// Close leaves the group. Nothing is committed.
func (c *Consumer) Close() {}
