// Package projections says how records become rows: one projection for each table.
//
// A projection is a pure function of a record's bytes and of the data keys of its subject: no clock, no look-up, a
// stable order. The projector relies on it, because a batch whose fate is unknown is made again from the log and
// must come out as it was. Whoever changes what a projection gives for a record raises its Version.
package projections

import (
	"bytes"
	"context"
	"encoding/json"
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
	// Columns are those of every Row's Values.
	Columns []string
	// Replacing says that a row stands for the latest state of its key and replaces those of smaller offsets. To insert
	// it twice is then harmless, and to count rows is pointless, because the server removes the replaced ones.
	Replacing bool
	// Transform gives the rows of a record, in a stable order. The error is ErrPoison where the record itself is to
	// blame; any other is the Opener's and may go away.
	Transform func(ctx context.Context, rec Record, open Opener) ([]Row, error)
}

// All lists the projections, in the order in which their tables were added.
func All() []Projection {
	return []Projection{Timeline(), EventLog(), Objects()}
}

// Record is a record with the name that its topic has without the installation's prefix.
type Record struct {
	*stream.Record

	Name topic.Name
}

// Row is a row that is ready for its table.
type Row struct {
	// Offset and Index tell the rows of a partition apart: columns _offset and _row.
	Offset int64
	Index  int32
	// StoredAt decides the table's partition; it is zero where the table has none.
	StoredAt time.Time
	// Values are in the order of the projection's Columns.
	Values []any
	// Bytes is the length of all texts.
	Bytes int
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

// opened opens a sealed part into v. What is absent or erased leaves v as it is: the rows are the same, redacted.
func opened(ctx context.Context, open Opener, s Sealed, v any) error {
	if len(s.Bytes) == 0 || s.KeyID == "" {
		return nil
	}
	plain, ok, err := open.Open(ctx, s)
	if err != nil || !ok {
		return err
	}
	if err := json.Unmarshal(plain, v); err != nil {
		return poison(fmt.Errorf("parse sealed part: %w", err))
	}
	return nil
}

func (r Record) source(index int) table.Source {
	return table.Source{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Row: int32(index)}
}

// storedAt is the time at which the log got the record, by the record's own word.
func (r Record) storedAt() time.Time { return within(r.Timestamp) }

// row makes a Row of a table's row.
func (r Record) row(index int, storedAt time.Time, values []any) Row {
	row := Row{Offset: r.Offset, Index: int32(index), StoredAt: storedAt, Values: values}
	for _, v := range values {
		if s, ok := v.(string); ok {
			row.Bytes += len(s)
		}
	}
	return row
}

// within moves a time into the years that DateTime64 and the client library both know: outside of them the library
// wraps around without a word. Times of ours never lie there; those of a foreign producer may.
func within(t time.Time) time.Time {
	first, last := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2261, 1, 1, 0, 0, 0, 0, time.UTC)
	switch t = t.UTC(); {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	default:
		return t.Truncate(time.Millisecond)
	}
}

// text writes v as JSON, without the escapes that HTML would need.
func text(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", fmt.Errorf("write JSON: %w", err)
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte{'\n'})), nil
}

// list writes a slice as a JSON array; none is the empty array.
func list[T any](items []T) (string, error) {
	if len(items) == 0 {
		return "[]", nil
	}
	return text(items)
}
