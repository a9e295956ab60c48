package projector

import (
	"slices"
	"time"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/stream"
)

// maxMonths is how many of a table's partitions one batch may touch. Two is a month's turn. More would be a foreign
// producer's clock, and an insert into more than a hundred is refused.
const maxMonths = 2

// batch is the offsets [from, to) of one partition and the rows that they give. It is closed when it is made: it is
// retried as it is, and made again from the log as it was.
type batch struct {
	tp       stream.TopicPartition
	from, to int64
	rows     []projections.Row
	bytes    int
	// months are the months of the rows' times of storing; since and until are the first and the last of these times.
	months       []int
	since, until time.Time
	// letters are the dead letters of records that give no rows.
	letters []*stream.Record
	// token names the insert; intent is what is committed before it. Both are empty where there are no rows.
	token, intent string
	// newest is the time of the newest record.
	newest time.Time
}

// fits says whether the rows of a record stay within the months that a batch may touch.
func (b *batch) fits(rows []projections.Row) bool {
	months := b.months
	for _, r := range rows {
		if m := month(r.StoredAt); !slices.Contains(months, m) {
			months = append(slices.Clip(months), m)
		}
	}
	return len(months) <= maxMonths || len(b.rows) == 0
}

func (b *batch) add(rows []projections.Row) {
	for _, r := range rows {
		if m := month(r.StoredAt); !slices.Contains(b.months, m) {
			b.months = append(b.months, m)
		}
		if len(b.rows) == 0 || r.StoredAt.Before(b.since) {
			b.since = r.StoredAt
		}
		if len(b.rows) == 0 || r.StoredAt.After(b.until) {
			b.until = r.StoredAt
		}
		b.rows = append(b.rows, r)
		b.bytes += r.Bytes
	}
}

// month numbers months as the tables' partitions do.
func month(t time.Time) int { return t.Year()*100 + int(t.Month()) }

// lane is what one partition has in memory: its position, and what was polled of it and is in no batch yet.
type lane struct {
	tp      stream.TopicPartition
	topicID [16]byte
	// next is the first offset that is in no batch.
	next int64
	// queue is what was polled, in order.
	queue []stream.Batch
}

// push appends what was polled, without what is behind the lane's position.
func (l *lane) push(b stream.Batch) {
	b.Records = slices.DeleteFunc(b.Records, func(r *stream.Record) bool { return r.Offset < l.next })
	if b.To > l.next {
		l.queue = append(l.queue, b)
	}
}

// records counts what is queued.
func (l *lane) records() (count, bytes int) {
	for _, b := range l.queue {
		count += len(b.Records)
		for _, r := range b.Records {
			bytes += len(r.Value)
		}
	}
	return count, bytes
}

// take removes the first record of the queue, with the offsets before it; after the last record of a polled batch the
// offsets to its end go with it.
func (l *lane) take() {
	head := &l.queue[0]
	if len(head.Records) > 0 {
		l.next = head.Records[0].Offset + 1
		head.Records = head.Records[1:]
	}
	if len(head.Records) == 0 {
		l.next = head.To
		l.queue = l.queue[1:]
	}
}

// peek is the first record of the queue; nil where only offsets without records come first.
func (l *lane) peek() *stream.Record {
	if len(l.queue[0].Records) == 0 {
		return nil
	}
	return l.queue[0].Records[0]
}
