// Package projections says how records become rows: one projection for each table.
//
// A projection is a pure function of a record's bytes and of the data keys of its subject: no clock, no look-up, a
// stable order. The projector relies on it, because a batch whose fate is unknown is made again from the log and
// must come out as it was. Whoever changes what a projection gives for a record raises its Version.
package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
)

// Projection says how records of some topics become rows of one table.
type Projection struct {
	// Table is written by this projection alone.
	Table string
	// Topics are what it reads.
	Topics []topic.Name
	// Version is that of Transform, from 1. An intent names it, so that a batch is never made again by another one.
	Version int
	// Replacing says that a row stands for the latest state of its key and replaces those of smaller offsets. To insert
	// it twice is then harmless, and to count rows is pointless, because the server removes the replaced ones.
	Replacing bool
	// Key are the columns of that key; empty where the table is not Replacing.
	Key []string
	// Gone is the column that is 1 where a row says that its key is no more; empty where there is none.
	Gone string
	// Keeps is how long after its StoredAt the table keeps a row; 0 means for ever.
	Keeps time.Duration
	// Transform adds the rows of a record to a block, in a stable order, numbered from 0; rows of a table that is not
	// Replacing have the record's StoredAt. Where it returns an error it has added none. The error is ErrPoison where the
	// record itself is to blame; any other is the Opener's and may go away.
	Transform func(ctx context.Context, rec Record, open Opener, to *table.Block) error
}

// All lists the projections, in the order in which their tables were added.
func All() []Projection {
	return []Projection{Timeline(), EventLog(), Objects(), Transitions(), Conversations(), WebhookAttempts()}
}

// Record is a record with the name that its topic has without the installation's prefix.
type Record struct {
	*stream.Record

	Name topic.Name
	// Shared is where tables that read the same events leave them for each other; nil where they do not.
	Shared *Shared
}

// Sealed is what a record keeps sealed, and whose it is.
type Sealed struct {
	Workspace string
	Subject   object.Ref
	KeyID     string
	Bytes     []byte
	// Additional is what the bytes are bound to.
	Additional []byte
}

// Opener opens sealed parts of records. ok is false where the data key is gone, which means that the subject was
// erased. The error is ErrPoison for bytes that the right key does not open.
type Opener interface {
	Open(ctx context.Context, s Sealed) (plain []byte, ok bool, err error)
}

// ErrPoison says that a record cannot be transformed, today or ever.
var ErrPoison = errors.New("record cannot be transformed")

func poison(err error) error { return fmt.Errorf("%w: %w", ErrPoison, err) }

// opened opens a sealed part with parse. What is absent or erased is nil: the rows are the same, redacted.
func opened[T any](ctx context.Context, open Opener, s Sealed, parse func([]byte) (*T, error)) (*T, error) {
	if len(s.Bytes) == 0 || s.KeyID == "" {
		return nil, nil
	}
	plain, ok, err := open.Open(ctx, s)
	if err != nil || !ok {
		return nil, err
	}
	v, err := parse(plain)
	if err != nil {
		return nil, poison(err)
	}
	return v, nil
}

func (r Record) source(index int) table.Source {
	return table.Source{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Row: int32(index)}
}

// StoredAt is the time at which the log got the record, by the record's own word: the column stored_at, which decides
// the partitions of tables.
func (r Record) StoredAt() time.Time { return within(r.Timestamp) }

// within moves a time into the years that DateTime64 and the client library both know: outside of them the library
// wraps around without a word. Times of ours never lie there; those of a foreign producer may.
func within(t time.Time) time.Time {
	const (
		first = -2208988800000 // 1900-01-01
		last  = 9183110400000  // 2261-01-01
	)
	t = t.UTC()
	switch ms := t.UnixMilli(); {
	case t.Year() < 1900 || ms < first:
		return time.UnixMilli(first).UTC()
	case t.Year() > 2261 || ms > last:
		return time.UnixMilli(last).UTC()
	default:
		return t.Truncate(time.Millisecond)
	}
}
