package table

import (
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Row is a row of a table: it names and gives its values, always in the same order.
type Row interface {
	write(b *Block)
}

// Columns lists the columns that a row gives.
func Columns(row Row) []string {
	var b Block
	b.Add(row)
	return b.Columns()
}

// Block holds rows of one table by column, in the form in which an insert sends them, so that no value is looked at by
// reflection and no row is an object of its own. The zero Block is empty and takes the columns of its first row.
type Block struct {
	columns []column
	// next is the column of the row that is being added whose turn it is.
	next        int
	rows, bytes int
	// offset and index are the places of the columns _offset and _row.
	offset, index int
}

// column is one of the slices, by the type of its values.
type column struct {
	name  string
	texts []string
	words *dictionary
	// times are in milliseconds since 1970, which is what the tables keep.
	times  []int64
	int64s []int64
	int32s []int32
	flags  []uint8
}

// Add appends a row. All rows of a Block are of one type.
func (b *Block) Add(row Row) {
	b.next = 0
	row.write(b)
	b.rows++
}

// Rows is how many there are.
func (b *Block) Rows() int { return b.rows }

// Bytes is about how much memory the rows take.
func (b *Block) Bytes() int { return b.bytes }

// Columns lists the columns; none where there are no rows.
func (b *Block) Columns() []string {
	names := make([]string, len(b.columns))
	for i, c := range b.columns {
		names[i] = c.name
	}
	return names
}

// Place is which record a row comes from, and which of its rows it is: _offset and _row.
func (b *Block) Place(row int) (offset int64, index int32) {
	return b.columns[b.offset].int64s[row], b.columns[b.index].int32s[row]
}

// Insert is the statement to which AppendTo fits.
func (b *Block) Insert(table string) string {
	return "INSERT INTO " + table + " (" + strings.Join(b.Columns(), ", ") + ")"
}

// AppendTo puts all rows into a prepared insert.
func (b *Block) AppendTo(insert driver.Batch) error {
	for i := range b.columns {
		c := &b.columns[i]
		if err := c.appendTo(insert.Column(i)); err != nil {
			return fmt.Errorf("append column %s: %w", c.name, err)
		}
	}
	return nil
}

func (c *column) appendTo(to driver.BatchColumn) error {
	switch {
	case c.texts != nil:
		return to.Append(c.texts)
	case c.words != nil:
		return c.words.appendTo(to)
	case c.times != nil:
		return to.Append(c.times)
	case c.int64s != nil:
		return to.Append(c.int64s)
	case c.int32s != nil:
		return to.Append(c.int32s)
	default:
		return to.Append(c.flags)
	}
}

// Pick makes a Block of some rows.
func (b *Block) Pick(rows []int) *Block {
	picked := &Block{columns: make([]column, len(b.columns)), rows: len(rows), offset: b.offset, index: b.index}
	for i := range b.columns {
		from, to := &b.columns[i], &picked.columns[i]
		to.name = from.name
		to.texts, to.times = pick(from.texts, rows), pick(from.times, rows)
		to.int64s, to.int32s, to.flags = pick(from.int64s, rows), pick(from.int32s, rows), pick(from.flags, rows)
		if from.words != nil {
			to.words = &dictionary{values: from.words.values, keys: pick(from.words.keys, rows)}
		}
	}
	return picked
}

func pick[T any](from []T, rows []int) []T {
	if from == nil {
		return nil
	}
	to := make([]T, len(rows))
	for i, row := range rows {
		to[i] = from[row]
	}
	return to
}

// Reset takes all rows out and keeps the memory for others of the same type.
func (b *Block) Reset() {
	b.rows, b.bytes = 0, 0
	for i := range b.columns {
		c := &b.columns[i]
		// The texts would otherwise hold on to the records that they are parts of.
		clear(c.texts)
		c.texts, c.times, c.int64s, c.int32s, c.flags = c.texts[:0], c.times[:0], c.int64s[:0], c.int32s[:0], c.flags[:0]
		if c.words != nil {
			c.words.reset()
		}
	}
}

// Value is the value of a column in a row: a string, a time.Time in UTC, an int64, an int32 or a uint8; nil where there is
// no such column.
func (b *Block) Value(row int, name string) any {
	for _, c := range b.columns {
		switch {
		case c.name != name:
		case c.texts != nil:
			return c.texts[row]
		case c.words != nil:
			return c.words.values[c.words.keys[row]]
		case c.times != nil:
			return time.UnixMilli(c.times[row]).UTC()
		case c.int64s != nil:
			return c.int64s[row]
		case c.int32s != nil:
			return c.int32s[row]
		default:
			return c.flags[row]
		}
	}
	return nil
}

// column is the one whose turn it is. The first row makes the columns.
func (b *Block) column(name string, bytes int) *column {
	if b.next == len(b.columns) {
		b.columns = append(b.columns, column{name: name})
	}
	b.bytes += bytes
	b.next++
	return &b.columns[b.next-1]
}

func (b *Block) text(name, v string) {
	c := b.column(name, 16)
	// Rows of one record have most texts in common, and share their memory.
	if n := len(c.texts); n > 0 && c.texts[n-1] == v {
		v = c.texts[n-1]
	} else {
		b.bytes += len(v)
	}
	c.texts = append(c.texts, v)
}

// word adds a text of which a block has few.
func (b *Block) word(name, v string) {
	c := b.column(name, 8)
	if c.words == nil {
		c.words = &dictionary{}
	}
	b.bytes += c.words.add(v)
}

func (b *Block) time(name string, v time.Time) {
	c := b.column(name, 8)
	c.times = append(c.times, v.UnixMilli())
}

func (b *Block) int64(name string, v int64) {
	c := b.column(name, 8)
	c.int64s = append(c.int64s, v)
}

func (b *Block) int32(name string, v int32) {
	c := b.column(name, 4)
	c.int32s = append(c.int32s, v)
}

func (b *Block) flag(name string, v bool) {
	c := b.column(name, 1)
	n := uint8(0)
	if v {
		n = 1
	}
	c.flags = append(c.flags, n)
}

func (b *Block) source(s Source) {
	b.word("_topic", s.Topic)
	b.int32("_partition", s.Partition)
	b.offset = b.next
	b.int64("_offset", s.Offset)
	b.index = b.next
	b.int32("_row", s.Row)
}
