package stream

import (
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

func (c ConsumerConfig) withDefaults() ConsumerConfig {
	if c.MaxPollRecords == 0 {
		c.MaxPollRecords = 5000
	}
	if c.MaxFetchBytes == 0 {
		c.MaxFetchBytes = 16 << 20
	}
	if c.FetchMaxWait == 0 {
		c.FetchMaxWait = 500 * time.Millisecond
	}
	if c.SessionTimeout == 0 {
		c.SessionTimeout = 10 * time.Second
	}
	if c.RebalanceTimeout == 0 {
		c.RebalanceTimeout = time.Minute
	}
	return c
}
