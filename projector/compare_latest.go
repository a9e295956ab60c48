package projector

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
)

// A replacing table has for each key the row of the key's last record. Which records are the last cannot be known without
// all of them, so it is proven from both sides: what the table has for the key of a record is that record's or a later
// one's (replaced), and whatever the table has is a record's (latest). Rows of keys that are gone may outlive the
// tombstone that they are made of, which compaction removes in the end.

// replaced looks up the keys of the rows in memory. Of the records of a key that are in memory together the last counts: what
// is missing is one state.
func (c *comparison) replaced(ctx context.Context) error {
	key := strings.Join(c.p.Key, ", ")
	last, err := c.lastStates()
	if err != nil {
		return err
	}
	values := make([][]string, len(c.p.Key))
	for text := range last {
		parts, err := topic.ParseKey([]byte(text))
		if err != nil {
			return fmt.Errorf("take key apart: %w", err)
		}
		for i, part := range parts {
			values[i] = append(values[i], part)
		}
	}
	args := []any{clickhouse.Named("topic", c.span.tp.Topic), clickhouse.Named("partition", c.span.tp.Partition)}
	lists := make([]string, len(values))
	for i, list := range values {
		name := fmt.Sprintf("key_%d", i)
		lists[i] = "{" + name + ":Array(String)}"
		args = append(args, clickhouse.Named(name, list))
	}
	rows, err := c.deps.Store.Query(patient(ctx), "SELECT "+key+", max(_offset) FROM "+c.p.Table+
		" WHERE ("+key+") IN arrayZip("+strings.Join(lists, ", ")+") AND _topic = {topic:String} AND _partition = {partition:Int32}"+
		" GROUP BY "+key, args...)
	if err != nil {
		return fmt.Errorf("look for keys: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below has said what there is to say
	for rows.Next() {
		parts, at := make([]string, len(c.p.Key)), int64(0)
		dest := make([]any, 0, len(parts)+1)
		for i := range parts {
			dest = append(dest, &parts[i])
		}
		if err := rows.Scan(append(dest, &at)...); err != nil {
			return fmt.Errorf("look for keys: %w", err)
		}
		if text := string(topic.Key(parts...)); at >= last[text] {
			delete(last, text)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("look for keys: %w", err)
	}
	for _, offset := range slices.Sorted(maps.Values(last)) {
		c.report.note(Missing, offset, 1)
	}
	return nil
}

// lastStates are the offsets of the last rows in memory, by their keys.
func (c *comparison) lastStates() (map[string]int64, error) {
	last := map[string]int64{}
	parts := make([]string, len(c.p.Key))
	for row := range c.block.Rows() {
		for i, column := range c.p.Key {
			text, ok := c.block.Value(row, column).(string)
			if !ok {
				return nil, fmt.Errorf("column %s is no text", column)
			}
			parts[i] = text
		}
		offset, _ := c.block.Place(row)
		last[string(topic.Key(parts...))] = offset
	}
	return last, nil
}

// latest looks for rows of the window that no record gives.
func (c *comparison) latest(ctx context.Context, to int64) error {
	strange, err := c.strange(ctx, to)
	if err != nil || len(strange) == 0 {
		return err
	}
	if slices.ContainsFunc(strange, func(at int64) bool { return !c.read(at) }) {
		// Compaction takes a record away as soon as there is a later one of its key, also where the group has not come to
		// that yet. So the group has to be at the end before a row can be called one too many.
		behind, err := c.behind(ctx)
		if err != nil {
			return err
		}
		if behind {
			strange = slices.DeleteFunc(strange, func(at int64) bool { return !c.read(at) })
		} else if strange, err = c.strange(ctx, to); err != nil {
			return err
		}
	}
	for _, at := range strange {
		c.report.note(Extra, at, 1)
	}
	return nil
}

// strange lists the offsets of rows, in order, for which the records of the window give none.
func (c *comparison) strange(ctx context.Context, to int64) ([]int64, error) {
	gone := "0"
	if c.p.Gone != "" {
		gone = c.p.Gone
	}
	rows, err := c.deps.Store.Query(patient(ctx),
		"SELECT _offset, toUInt8("+gone+") FROM "+c.p.Table+" FINAL"+within+" ORDER BY _offset", c.place(to)...)
	if err != nil {
		return nil, fmt.Errorf("list rows: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below has said what there is to say
	var strange []int64
	last, same := int64(-1), int32(0)
	for rows.Next() {
		var at int64
		var gone uint8
		if err := rows.Scan(&at, &gone); err != nil {
			return nil, fmt.Errorf("list rows: %w", err)
		}
		if same++; at != last {
			last, same = at, 1
		}
		if i, read := c.find(at); read && same > c.want[i].rows || !read && gone == 0 {
			strange = append(strange, at)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list rows: %w", err)
	}
	return strange, nil
}

// find looks for a record of the window.
func (c *comparison) find(offset int64) (int, bool) {
	return slices.BinarySearchFunc(c.want, offset, func(w wanted, at int64) int { return int(w.offset - at) })
}

func (c *comparison) read(offset int64) bool {
	_, found := c.find(offset)
	return found
}

// behind says whether the group has not come to the end of the partition.
func (c *comparison) behind(ctx context.Context) (bool, error) {
	ends, err := c.watch.EndOffsets(ctx, c.span.name)
	if err != nil {
		return false, err
	}
	committed, err := c.watch.Committed(ctx, table.Group(c.p.Table), c.span.name)
	if err != nil {
		return false, err
	}
	return committed[c.span.tp.Partition] < ends[c.span.tp.Partition], nil
}
