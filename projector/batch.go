package projector

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
)

// maxMonths is how many of a table's partitions one batch may touch. Two is a month's turn. More would be a foreign
// producer's clock, and an insert into more than a hundred is refused.
const maxMonths = 2

// batch is the offsets [from, to) of one partition and the rows that they give. Once it is closed it never changes: it is
// retried as it is, and made again from the log as it was.
type batch struct {
	tp       stream.TopicPartition
	from, to int64
	block    *table.Block
	// values is the length of the records' values, with which the rows may share memory.
	values int
	// months are the months of the rows' times of storing; since and until are the first and the last of these times.
	months       []int
	since, until time.Time
	// letters are the dead letters of records that give no rows.
	letters []*stream.Record
	// links point to the traces of some records.
	links []trace.Link
	// token names the insert; it is empty until the batch is closed, and where there are no rows.
	token string
	// joint names the insert that the batch shares with others; it is empty where it goes alone.
	joint string
	// began is when the first record was included, newest the time of the newest record.
	began, newest time.Time
	// done says that the rows are in the table and the dead letters are written.
	done bool
}

func (b *batch) rows() int {
	if b.block == nil {
		return 0
	}
	return b.block.Rows()
}

// bytes is about how much memory the batch takes.
func (b *batch) bytes() int {
	if b.block == nil {
		return b.values
	}
	return b.values + b.block.Bytes()
}

// fits says whether a record that is stored at a time stays within the months that a batch may touch.
func (b *batch) fits(at time.Time) bool {
	return len(b.months) < maxMonths || slices.Contains(b.months, month(at))
}

// touch notes that rows are stored at a time.
func (b *batch) touch(at time.Time) {
	if m := month(at); !slices.Contains(b.months, m) {
		b.months = append(b.months, m)
	}
	if b.since.IsZero() || at.Before(b.since) {
		b.since = at
	}
	if at.After(b.until) {
		b.until = at
	}
}

// month numbers months as the tables' partitions do.
func month(t time.Time) int { return t.Year()*100 + int(t.Month()) }

// lane is what one partition has in memory, from the records that were polled to the batches that are being inserted.
// It belongs to the session's goroutine, but for open while building is set: then that is the builder's.
type lane struct {
	tp      stream.TopicPartition
	topicID [16]byte
	// next is the first offset that is not polled yet, committed the one that is committed.
	next, committed int64
	// queue is what was polled and is not transformed yet, in order; queued is its bytes.
	queue  []stream.Batch
	queued int
	// building says that a builder is at work, on as many bytes.
	building int
	// open is the batch that is being filled.
	open *batch
	// closed are batches that are complete and not announced yet.
	closed []*batch
	// sent are batches that are announced by the committed intent and are being inserted, in order.
	sent []*batch
}

// push appends what was polled.
func (l *lane) push(b stream.Batch) {
	if b.To <= l.next {
		return
	}
	b.From = max(b.From, l.next)
	b.Records = slices.DeleteFunc(b.Records, func(r *stream.Record) bool { return r.Offset < b.From })
	l.next = b.To
	l.queue = append(l.queue, b)
	l.queued += size(b)
}

// size is about how much memory polled records take.
func size(b stream.Batch) int {
	const each = 256 // the record itself, its headers, and what points to it
	n := each
	for _, r := range b.Records {
		n += each + len(r.Key) + len(r.Value)
	}
	return n
}

// empty says that everything that was polled is committed.
func (l *lane) empty() bool {
	return len(l.queue)+len(l.closed)+len(l.sent) == 0 && l.building == 0 && l.open == nil
}

// delivering says that a batch is on its way whose end will be heard of. One that is done is none: the next commit takes it
// out, and nobody would say when what waited for it may begin.
func (l *lane) delivering() bool {
	return len(l.closed) > 0 || slices.ContainsFunc(l.sent, func(b *batch) bool { return !b.done })
}

// held is about how much memory the lane takes.
func (l *lane) held() int {
	n := l.queued + l.building
	if l.open != nil && l.building == 0 {
		n += l.open.bytes()
	}
	for _, b := range l.closed {
		n += b.bytes()
	}
	for _, b := range l.sent {
		n += b.bytes()
	}
	return n
}

// close ends the open batch.
func (l *lane) close(p projections.Projection) {
	l.open.close(p, l.topicID)
	l.closed = append(l.closed, l.open)
	l.open = nil
}

// close names the insert, which depends on where the batch ends.
func (b *batch) close(p projections.Projection, topicID [16]byte) {
	if b.rows() > 0 {
		b.token = token(p, b.tp, topicID, b.from, b.to)
	}
}
