package stream

import (
	"context"
	"errors"
	"time"

	"github.com/throughline/throughline/schema/topic"
)

// ProcessorConfig says what a Processor reads and writes.
type ProcessorConfig struct {
	// Role names the consumer group and begins the transactional id.
	Role string
	// Instance tells the processes of a role apart. It is stable over restarts, so that a new start fences the
	// transaction that its predecessor left open.
	Instance string
	// Input is the topic that is read. One processor reads one topic: the group protocol does not keep the
	// partitions of two topics together.
	Input topic.Name
	// Outputs are the topics that are written.
	Outputs []topic.Name
	// MaxBatchRecords bounds a transaction; 5,000 by default. A batch is what is there when the one before is done:
	// small when idle, thousands when behind.
	MaxBatchRecords int
	// TxnTimeout is after how long the broker aborts a transaction that hangs; 10 s by default. So long may a dead
	// processor freeze its output partitions.
	TxnTimeout time.Duration
	// SessionTimeout is after how long without a heartbeat a member counts as dead; 10 s by default.
	SessionTimeout time.Duration
	// RebalanceTimeout is how long the members have to join a new generation; 30 s by default.
	RebalanceTimeout time.Duration
	// MaxRecordBytes is the largest output that is taken, by RecordSize; topic.MaxRecordBytes by default.
	MaxRecordBytes int
	// Oversized turns an output that is too large into a smaller one, usually a dead letter with its body cut and
	// its source kept. Without it such an output ends Run with ErrTooLarge.
	Oversized func(out *Record) *Record
}

// Processor turns an input topic into output topics, exactly once: outputs and input offsets are committed in one
// transaction.
type Processor struct{}

// NewProcessor checks its arguments; it opens nothing.
func NewProcessor(cfg Config, pc ProcessorConfig, h Handler, deps Deps) (*Processor, error) {
	return nil, errors.ErrUnsupported
}

// Run processes until ctx ends, and then returns nil. It survives the loss of brokers, of its session and of its
// transactional id by opening a new session with backoff. It returns an error that names the way out for what no
// retry can heal: an *OffsetLostError, an error that wraps ErrStop, an output that is too large.
func (p *Processor) Run(ctx context.Context) error { return errors.ErrUnsupported }

// Ready is nil while the processor has a session and every partition that it was assigned is loaded.
func (p *Processor) Ready() error { return errors.ErrUnsupported }

// OutputReader reads the outputs of one partition that was just assigned.
type OutputReader struct{}

// Answered tells what the handler's checkpoint knows: every input below offset was answered when it was written.
func (o *OutputReader) Answered(offset int64) {}

// Read gives each the committed records of partition p of an output topic, from offset from (or the start of the log,
// if that is later) up to the high watermark, in order, without control records. It returns the next offset.
func (o *OutputReader) Read(ctx context.Context, t topic.Name, from int64, each func(*Record) error) (int64, error) {
	return 0, errors.ErrUnsupported
}

// Bounds are the start of the log and the high watermark of partition p of an output topic. A checkpoint outside of
// them belongs to another log.
func (o *OutputReader) Bounds(t topic.Name) (start, end int64) { return 0, 0 }

// TopicID is the id of an output topic, which changes when the topic is made anew. A checkpoint keeps it.
func (o *OutputReader) TopicID(t topic.Name) [16]byte { return [16]byte{} }
