package projector

import (
	"errors"
	"fmt"
	"time"
)

// RebalanceTimeout is how long a member of a group may hold a rebalance up. Everything that the projector does
// between two polls is given up in time, so that a batch is never finished by a member that was put out of its group.
const RebalanceTimeout = time.Minute

// Config says how batches are cut. The tags are kong's.
type Config struct {
	// Dir is where the view of data keys is kept. One process at a time may have it open; it may be removed while none has.
	// It is set by the program.
	Dir string `kong:"-"`
	// BatchRows closes a batch. The greatest is far below max_insert_block_size, which is 1,048,449 by default, so that
	// the server never cuts a batch in two.
	BatchRows int `name:"projector-batch-rows" env:"THROUGHLINE_PROJECTOR_BATCH_ROWS" default:"20000" help:"Rows that close a batch."`
	// BatchBytes closes a batch, by the memory that its rows and the records that they share it with take: about 1 KiB a row.
	BatchBytes int `name:"projector-batch-bytes" env:"THROUGHLINE_PROJECTOR_BATCH_BYTES" type:"bytes" default:"12MiB" help:"Bytes that close a batch."`
	// MemoryBytes bounds what one table holds of records and rows. At this many it polls no more, and its Kafka client, which
	// has one answer of each broker then, asks for no more. It is four batches: two that are inserted, one that is full, and
	// one that is filled. Beyond it come one poll, that answer (8 MiB, compressed to half or so), and what the ClickHouse
	// client makes of each batch that is inserted (twice its size). With three tables, one broker and four inserts at a time
	// that is 3 · (48 + 2 · 16) + 4 · 24 = 336 MiB, and 32 MiB of events that one table leaves for another; of that the
	// garbage collector makes twice as much where nobody says GOMEMLIMIT.
	MemoryBytes int `name:"projector-memory-bytes" env:"THROUGHLINE_PROJECTOR_MEMORY_BYTES" type:"bytes" default:"48MiB" help:"Bytes of records and rows that one table holds at most before it stops polling."`
	// Parallel bounds the batches that a process inserts at a time, and those that it fills. ClickHouse spreads one insert
	// over few threads, so some at once use more of its cores; more would only queue for the same disk. It stays below the
	// number of connections that store.Open allows.
	Parallel int `name:"projector-parallel" env:"THROUGHLINE_PROJECTOR_PARALLEL" default:"4" help:"Batches that are inserted at a time."`
	// BatchAge is the shortest time between two inserts into a table where there is little to do. A record that comes
	// after a pause is inserted at once.
	BatchAge time.Duration `name:"projector-batch-age" env:"THROUGHLINE_PROJECTOR_BATCH_AGE" default:"200ms" help:"How long records are collected before they are inserted, unless a batch is full."`
	// InsertTimeout bounds one insert. It is below RebalanceTimeout, so that a slow insert has ended before somebody else
	// may own its partition.
	InsertTimeout time.Duration `name:"projector-insert-timeout" env:"THROUGHLINE_PROJECTOR_INSERT_TIMEOUT" default:"20s" help:"How long one insert may take."`
	// AuditEvery is how often one partition of one table is compared with the log, in turn: reading the last 5,000 offsets
	// again takes some 50 ms, which at the default is half a percent of a core. With 6 tables of 12 topics and 12 partitions
	// each a turn takes 25 minutes. What a look costs ClickHouse grows with the month's part of the table.
	AuditEvery time.Duration `name:"projector-audit-every" env:"THROUGHLINE_PROJECTOR_AUDIT_EVERY" default:"10s" help:"How often a partition of a table is compared with the log, in turn; 0 turns it off."`
	// SessionTimeout is after how long a process that died is missed: its partitions wait that long.
	SessionTimeout time.Duration `name:"projector-session-timeout" env:"THROUGHLINE_PROJECTOR_SESSION_TIMEOUT" default:"10s" help:"Time without a heartbeat after which a projector counts as dead."`
}

// DefaultConfig is what kong fills in where nothing is configured.
func DefaultConfig() Config {
	return Config{
		Dir: ".throughline/projector", BatchRows: 20_000, BatchBytes: 12 << 20, MemoryBytes: 48 << 20, Parallel: 4,
		BatchAge: 200 * time.Millisecond, InsertTimeout: 20 * time.Second,
		SessionTimeout: 10 * time.Second, AuditEvery: 10 * time.Second,
	}
}

// Bounds of a Config.
const (
	maxBatchRows     = 500_000
	minBatchBytes    = 1 << 20
	maxBatchBytes    = 1 << 28
	maxMemoryBytes   = 1 << 32
	maxParallel      = 6
	maxBatchAge      = 10 * time.Second
	minInsertTimeout = time.Second
	maxAuditEvery    = time.Hour
	// Brokers refuse sessions outside of these by default.
	minSession, maxSession = 6 * time.Second, 30 * time.Minute
)

// Validate reports everything that is wrong with what an operator said.
func (c Config) Validate() error {
	var errs []error
	if c.BatchRows < 1 || c.BatchRows > maxBatchRows {
		errs = append(errs, fmt.Errorf("projector batch rows are %d, want 1 to %d", c.BatchRows, maxBatchRows))
	}
	if c.BatchBytes < minBatchBytes || c.BatchBytes > maxBatchBytes {
		errs = append(errs, fmt.Errorf("projector batch bytes are %d, want %d to %d", c.BatchBytes, minBatchBytes, maxBatchBytes))
	}
	if c.MemoryBytes < c.BatchBytes || c.MemoryBytes > maxMemoryBytes {
		errs = append(errs, fmt.Errorf("projector memory bytes are %d, want %d (those of a batch) to %d", c.MemoryBytes, c.BatchBytes, maxMemoryBytes))
	}
	if c.Parallel < 1 || c.Parallel > maxParallel {
		errs = append(errs, fmt.Errorf("projector batches at a time are %d, want 1 to %d", c.Parallel, maxParallel))
	}
	if c.BatchAge < 0 || c.BatchAge > maxBatchAge {
		errs = append(errs, fmt.Errorf("projector batch age is %s, want 0 to %s", c.BatchAge, maxBatchAge))
	}
	if c.InsertTimeout < minInsertTimeout || c.InsertTimeout > RebalanceTimeout/2 {
		errs = append(errs, fmt.Errorf("projector insert timeout is %s, want %s to %s", c.InsertTimeout, minInsertTimeout, RebalanceTimeout/2))
	}
	if c.SessionTimeout < minSession || c.SessionTimeout > maxSession {
		errs = append(errs, fmt.Errorf("projector session timeout is %s, want %s to %s", c.SessionTimeout, minSession, maxSession))
	}
	if c.AuditEvery < 0 || c.AuditEvery > maxAuditEvery {
		errs = append(errs, fmt.Errorf("projector audit interval is %s, want 0 (off) to %s", c.AuditEvery, maxAuditEvery))
	}
	return errors.Join(errs...)
}
