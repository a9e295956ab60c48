package stream

import (
	"context"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/throughline/throughline/schema/topic"
)

// Apply writes what a record means for the view into b. The batch is indexed: it reads its own writes, and what is
// committed. Keys must not begin with the byte 0x00, which is the View's own. A record with a nil value is a
// tombstone. Applying a record twice must be harmless. An error ends Run.
type Apply func(b *pebble.Batch, r *Record) error

// ViewConfig says what a View keeps.
type ViewConfig struct {
	// Name tells the views of a process apart in metrics and logs.
	Name string
	// Dir is where the view keeps its store. It belongs to this view alone, and may be removed at any time while
	// the view is closed.
	Dir string
	// Topics are the compacted topics that the view reads, all partitions of them.
	Topics []topic.Name
	// Apply turns records into entries of the store.
	Apply Apply
	// ReadCommitted leaves out aborted records; needed for topics that are written in transactions.
	ReadCommitted bool
	// Version is the version of Apply: a store of another version is rebuilt.
	Version int
	// CacheBytes bounds the block cache; 16 MiB by default.
	CacheBytes int64
	// MaxAge is how old a checkpoint may be before a deletion may have been missed; half of topic.TombstoneRetention
	// by default.
	MaxAge time.Duration
}

// BarrierTimeout bounds a Barrier whose context has no earlier deadline.
const BarrierTimeout = 2 * time.Second

// View is a local copy of compacted topics in a Pebble store: bounded memory, restartable, exact on demand.
type View struct{}

// OpenView opens the store, and removes it first where its checkpoint does not fit the topics any more. It reads
// nothing yet: Run does.
func OpenView(ctx context.Context, cfg Config, vc ViewConfig, deps Deps) (*View, error) {
	return nil, errors.ErrUnsupported
}

// Run follows the topics until ctx ends, and then returns nil. Call it once.
func (v *View) Run(ctx context.Context) error { return errors.ErrUnsupported }

// Ready is nil once the view has been up to date since it was opened.
func (v *View) Ready() error { return errors.ErrUnsupported }

// DB is the store, for reading: take a snapshot or an iterator from it.
func (v *View) DB() *pebble.DB { return nil }

// Get reads one entry; ok is false where there is none.
func (v *View) Get(key []byte) (value []byte, ok bool, err error) { return nil, false, errors.ErrUnsupported }

// Partitions is the number of partitions of a topic of the view.
func (v *View) Partitions(t topic.Name) int { return 0 }

// Barrier returns once the view has everything that was in the partitions when it was called; without partitions,
// in all of them. It waits BarrierTimeout at most and then returns ErrBarrierTimeout.
func (v *View) Barrier(ctx context.Context, tps ...TopicPartition) error { return errors.ErrUnsupported }

// BarrierKey is Barrier for the partition of a key.
func (v *View) BarrierKey(ctx context.Context, t topic.Name, key []byte) error { return errors.ErrUnsupported }

// WaitFor returns once the view has the record at o: what a Producer returned.
func (v *View) WaitFor(ctx context.Context, o Offset) error { return errors.ErrUnsupported }

// Position is the next offset of a partition that the view will apply.
func (v *View) Position(tp TopicPartition) int64 { return 0 }

// Close closes the store. Run must have returned.
func (v *View) Close() error { return errors.ErrUnsupported }
