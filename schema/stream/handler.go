package stream

import (
	"context"
)

// Handler is what a Processor runs. Its methods are called from one goroutine, never at the same time; but for Process, where
// ProcessorConfig.SideBySide says so.
//
// A Handler keeps state per input partition: what the partition's outputs say. State changes in two steps, so that
// an aborted transaction leaves no trace: Process works on an overlay, Commit makes the overlay permanent, Discard
// drops it.
type Handler interface {
	// Load brings the state of partition p, which was just assigned, up to date: it reads, with out.Read, what the
	// outputs have beyond the handler's own checkpoint. Whatever was in memory for p before may be stale. An error
	// is retried with backoff.
	Load(ctx context.Context, p int32, out *OutputReader) error
	// Process turns records of input partition p, in order, into outputs. It must not change committed state, and it
	// must give the same outputs when it is called again after Discard. Every output names its source (SetOrigin),
	// its topic (one of the Outputs) and its partition (p, where the output has as many partitions as the input). An
	// error means that the batch is tried again with backoff; wrap ErrStop to end Run.
	Process(ctx context.Context, p int32, in []*Record) ([]*Record, error)
	// Commit makes the overlay of the Process calls since the last Commit or Discard permanent: their outputs are
	// committed. done says how far. It is the place to write a local checkpoint. An error ends Run's session: all
	// partitions are loaded again.
	Commit(ctx context.Context, done []Done) error
	// Discard drops the overlay.
	Discard()
	// Unload drops the state of a partition that is owned no more. The local checkpoint may stay.
	Unload(p int32)
}

// Preparer is a Handler with work that a transaction needs once, and not once a partition: with many partitions most of a
// small transaction's time would be waits one after the other.
type Preparer interface {
	// Prepare is called after a poll, before the Process calls for what it brought. An error counts as one of Process.
	Prepare(ctx context.Context) error
}

// Finisher is a Handler whose Process leaves something to be waited for.
type Finisher interface {
	// Finish is called when the outputs of all Process calls are acknowledged, before they are committed. An error aborts
	// the transaction; what it waited for is over in any case.
	Finish(ctx context.Context) error
}

// Done is how far a partition has come with a committed transaction.
type Done struct {
	Partition int32
	// Input is the next input offset: everything below is answered. A checkpoint keeps it (OutputReader.Answered).
	Input int64
	// Outputs is, for each topic written to, the next offset in output partition Partition.
	Outputs map[string]int64
}
