package projector

import "slices"

// Kinds of differences between a table and the log.
const (
	// Missing rows are given by a record and are not in the table.
	Missing = "missing"
	// Extra rows are in the table and given by no record.
	Extra = "extra"
	// Doubled rows are in the table once more.
	Doubled = "doubled"
)

// maxRanges bounds the ranges that a partition's report lists. What comes after them is only counted.
const maxRanges = 100

// Counts are numbers of rows that differ.
type Counts struct {
	Missing int64 `json:"missing"`
	Extra   int64 `json:"extra"`
	Doubled int64 `json:"doubled"`
}

func (c *Counts) of(kind string) *int64 {
	switch kind {
	case Missing:
		return &c.Missing
	case Extra:
		return &c.Extra
	default:
		return &c.Doubled
	}
}

func (c *Counts) add(o Counts) {
	c.Missing, c.Extra, c.Doubled = c.Missing+o.Missing, c.Extra+o.Extra, c.Doubled+o.Doubled
}

// Clean says that nothing differs.
func (c Counts) Clean() bool { return c == Counts{} }

// Range is a run of offsets [From, To) in which rows differ in one way.
type Range struct {
	Kind string `json:"kind"`
	From int64  `json:"from"`
	To   int64  `json:"to"`
	Rows int64  `json:"rows"`
}

// PartitionReport is what a reconciliation found for a partition of a topic.
type PartitionReport struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// From and To bound the offsets that were compared: from the start of the log, or of the window, to what the group
	// had committed.
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// Records were read from the log; they give so many Rows.
	Records int64 `json:"records"`
	Rows    int64 `json:"rows"`
	// BeforeLog are rows of records that the log does not have any more: nothing is left to compare them with.
	BeforeLog int64 `json:"before_log"`
	Counts

	// Ranges say where, in order; there are More than are listed.
	Ranges []Range `json:"ranges,omitempty"`
	More   int     `json:"more_ranges,omitempty"`
}

// note counts rows of a record that differ. A transaction's marker does not divide a range.
func (r *PartitionReport) note(kind string, offset, rows int64) {
	if rows <= 0 {
		return
	}
	for i, last := range slices.Backward(r.Ranges) {
		if last.Kind == kind {
			if offset >= last.From && offset <= last.To+1 {
				*r.of(kind) += rows
				r.Ranges[i].To = max(last.To, offset+1)
				r.Ranges[i].Rows += rows
				return
			}
			break
		}
	}
	r.noteRange(Range{Kind: kind, From: offset, To: offset + 1, Rows: rows})
}

// noteRange counts rows of a range that differ, and lists it.
func (r *PartitionReport) noteRange(add Range) {
	*r.of(add.Kind) += add.Rows
	if len(r.Ranges) == maxRanges {
		r.More++
		return
	}
	r.Ranges = append(r.Ranges, add)
}

// TableReport is what a reconciliation found for a table.
type TableReport struct {
	Table string `json:"table"`
	Group string `json:"group"`
	// Records and Rows are those of all partitions.
	Records   int64 `json:"records"`
	Rows      int64 `json:"rows"`
	BeforeLog int64 `json:"before_log"`
	Counts

	Partitions []PartitionReport `json:"partitions"`
}

func (t *TableReport) include(p PartitionReport) {
	t.Partitions = append(t.Partitions, p)
	t.Records, t.Rows, t.BeforeLog = t.Records+p.Records, t.Rows+p.Rows, t.BeforeLog+p.BeforeLog
	t.add(p.Counts)
}

// Report is what a reconciliation found.
type Report struct {
	Counts

	Tables []TableReport `json:"tables"`
}

// wanted is what a record gives.
type wanted struct {
	offset int64
	// rows are what the record gives, numbered from 0.
	rows int32
	// may says that the table may have removed them, because it does not keep rows for so long.
	may bool
}

// compare holds the rows of a table, which come in the order of their places, against what the records of the same offsets
// give, and notes what differs. next gives ok = false at the end.
func (r *PartitionReport) compare(want []wanted, next func() (id identity, ok bool, err error)) error {
	id, ok, err := next()
	for _, w := range want {
		for ; err == nil && ok && id.offset < w.offset; id, ok, err = next() {
			r.note(Extra, id.offset, 1)
		}
		due, last := int32(0), int32(-1)
		for ; err == nil && ok && id.offset == w.offset; id, ok, err = next() {
			switch {
			case id.index < 0 || id.index >= w.rows:
				r.note(Extra, id.offset, 1)
			case id.index == last:
				r.note(Doubled, id.offset, 1)
			default:
				if !w.may {
					r.note(Missing, id.offset, int64(id.index-due))
				}
				due, last = id.index+1, id.index
			}
		}
		if err != nil {
			return err
		}
		if !w.may {
			r.note(Missing, w.offset, int64(w.rows-due))
		}
	}
	for ; err == nil && ok; id, ok, err = next() {
		r.note(Extra, id.offset, 1)
	}
	return err
}
