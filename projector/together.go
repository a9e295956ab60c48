package projector

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/table"
)

// join says which of the batches that are announced by one commit are inserted as one block, and names that insert in each
// of them. The server has half as much work with a block of forty rows as with one of five hundred, so a table that is
// fed by many partitions would otherwise spend it on their number.
func (w *worker) join(batches []*batch) (inserts [][]*batch) {
	slices.SortFunc(batches, func(a, b *batch) int {
		return cmp.Or(cmp.Compare(a.tp.Topic, b.tp.Topic), cmp.Compare(a.tp.Partition, b.tp.Partition), cmp.Compare(a.from, b.from))
	})
	var open []*batch
	rows, bytes := 0, 0
	for _, b := range batches {
		if b.rows() == 0 {
			inserts = append(inserts, []*batch{b}) // dead letters, or nothing
			continue
		}
		if len(open) > 0 && (rows+b.rows() > w.cfg.BatchRows || bytes+b.bytes() > w.cfg.BatchBytes || !sameMonths(open, b)) {
			inserts, open, rows, bytes = append(inserts, open), nil, 0, 0
		}
		open, rows, bytes = append(open, b), rows+b.rows(), bytes+b.bytes()
	}
	if len(open) > 0 {
		inserts = append(inserts, open)
	}
	for _, of := range inserts {
		if len(of) > 1 {
			name := jointToken(w.p, of)
			for _, b := range of {
				b.joint = name
			}
		}
	}
	return inserts
}

// sameMonths says that a batch brings no further month into an insert that has one already: a block that touches several
// is stored one month after the other.
func sameMonths(of []*batch, b *batch) bool {
	return slices.Equal(of[0].months, b.months)
}

// jointToken names an insert by the names of its batches.
func jointToken(p projections.Projection, batches []*batch) string {
	h := sha256.New()
	for _, b := range batches {
		h.Write([]byte(b.token + "\n"))
	}
	return fmt.Sprintf("%s/joint/%s/%d", p.Table, hex.EncodeToString(h.Sum(nil)[:16]), p.Version)
}

// firstToken is that under which a batch is inserted by itself at first. One that was announced as a part of a joint insert
// uses the token of that insert, so that the server knows it from then on and drops the whole, should it still come. If it
// is known already, by another batch or by the whole, the rows that are missing go in under the batch's own token: nobody
// can bring them under the joint one any more. A table that replaces rows needs none of this, and could not see that the
// server dropped a batch.
func (k *sink) firstToken(b *batch) string {
	if b.joint == "" || k.p.Replacing {
		return b.token
	}
	return b.joint
}

// putTogether inserts batches that were announced as one insert, a moment ago and by this process, and returns once their
// rows are known to be in the table. After anything unexpected each of them is brought to its end as its partition's next
// owner would do it, for there may be one.
func (k *sink) putTogether(ctx context.Context, batches []*batch) error {
	if len(batches) == 1 {
		return k.put(ctx, batches[0], true)
	}
	blocks := make([]*table.Block, len(batches))
	for i, b := range batches {
		blocks[i] = b.block
	}
	token := batches[0].joint
	err := k.send(ctx, queryID(token), token, blocks...)
	switch {
	case err == nil:
		for _, b := range batches {
			k.metrics.stored(k.p.Table, b)
		}
		k.trouble(nil)
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("insert %s: %w", token, err)
	case !retryable(err):
		return fmt.Errorf("insert %s: %w: %w", token, ErrInsert, err)
	}
	k.trouble(err)
	k.metrics.retries.WithLabelValues(k.p.Table).Inc()
	k.log.WarnContext(ctx, "batches are inserted one by one", slog.String("token", token), slog.Int("batches", len(batches)),
		slog.String("error", err.Error()))
	k.kill(ctx, batches[0])
	for _, b := range batches {
		if err := k.put(ctx, b, false); err != nil {
			return err
		}
	}
	return nil
}
