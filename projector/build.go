package projector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
)

// maxLinks bounds how many records of a batch its span points to.
const maxLinks = 128

// builder turns polled records of one partition into batches. It is the only one that works on the partition's open
// batch, so the records come in order.
type builder struct {
	*worker

	tp      stream.TopicPartition
	topicID [16]byte
	// rows and bytes close a batch. A record's rows are never divided between batches.
	rows, bytes int
	// months bounds those that a batch may touch; it is off where a batch is made again, whose bounds are its intent's.
	months bool
	// open is the batch that is being filled; nil where none is.
	open *batch
	// closed are those that are complete.
	closed []*batch
}

// include transforms what was polled, in order. On an error some of it is in no batch, and the session has to end.
func (u *builder) include(ctx context.Context, polled []stream.Batch) error {
	for _, p := range polled {
		from := p.From
		for _, r := range p.Records {
			if err := u.record(ctx, from, r); err != nil {
				return err
			}
			from = r.Offset + 1
		}
		// What has offsets only, such as a marker, goes with the records before it, however full the batch is.
		switch last := len(u.closed) - 1; {
		case u.open == nil && last >= 0:
			u.closed[last].to = p.To
			u.closed[last].close(u.p, u.topicID)
			continue
		case u.open == nil:
			u.begin(from)
		}
		u.open.to = p.To
	}
	return nil
}

// begin opens a batch at an offset.
func (u *builder) begin(from int64) {
	u.open = &batch{tp: u.tp, from: from, to: from, block: u.block(), began: time.Now()}
}

// record includes a record whose predecessor's offset is before from.
func (u *builder) record(ctx context.Context, from int64, r *stream.Record) error {
	rec := projections.Record{Record: r, Name: u.names[r.Topic], Shared: u.slots.events}
	if u.open != nil && u.months && !u.p.Replacing && !u.open.fits(rec.StoredAt()) {
		u.finish()
	}
	if u.open == nil {
		u.begin(from)
	}
	b := u.open
	before := b.rows()
	err := u.p.Transform(ctx, rec, u.keys, b.block)
	switch {
	case errors.Is(err, projections.ErrPoison) && u.silent:
		// It is a dead letter already, of the group whose table is made again.
	case errors.Is(err, projections.ErrPoison):
		letter, err := u.letter(r, err)
		if err != nil {
			return err
		}
		b.letters = append(b.letters, letter)
	case err != nil:
		return fmt.Errorf("transform offset %d of %s: %w", r.Offset, b.tp, err)
	case b.rows() > before && !u.p.Replacing:
		b.touch(rec.StoredAt())
	}
	if r.Timestamp.After(b.newest) {
		b.newest = r.Timestamp
	}
	if len(b.links) < maxLinks {
		if link, ok := stream.TraceLink(r); ok {
			b.links = append(b.links, link)
		}
	}
	b.to = r.Offset + 1
	b.values += len(r.Value)
	if b.rows() >= u.rows || b.bytes() >= u.bytes {
		u.finish()
	}
	return nil
}

// finish closes the open batch.
func (u *builder) finish() {
	u.open.close(u.p, u.topicID)
	u.closed = append(u.closed, u.open)
	u.open = nil
}

// block is an empty one, most often one whose memory was used before.
func (w *worker) block() *table.Block {
	select {
	case b := <-w.spare:
		return b
	default:
		return &table.Block{}
	}
}

// recycle keeps the memory of a batch that is finished for others.
func (w *worker) recycle(b *batch) {
	block := b.block
	b.block = nil
	block.Reset()
	select {
	case w.spare <- block:
	default:
	}
}
