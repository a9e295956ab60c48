package link

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// loadBatch is after how many events a load writes what it has read. They take 60 bytes each until then, and 100 in the
// write. The store sorts and merges what it is given: the fewer and larger the writes, the less often it does so.
const loadBatch = 200_000

// replayed is an event that a load has read in the log.
type replayed struct {
	id     identity
	at     int64 // in epoch milliseconds
	digest [16]byte
}

func (r *replayed) seen() seen { return seen{time.UnixMilli(r.at).UTC(), r.digest} }

// standing is an event that a load writes: by its number among what was read, and with the time under which the store has
// its identity already, or zero.
type standing struct {
	number   int32
	replaces time.Time
}

// load writes events that the log has, in its order, and the checkpoint behind them in one batch: those that the window
// has not already, as add and commit would one by one. What it writes is in the order of its keys, so that nothing has to
// sort it. It is synced, other than what commit writes: whoever is killed after a load is not to load again.
func (w *window) load(p int32, read []replayed, advance func(*checkpoint)) error {
	part := w.parts[p]
	stand, err := w.stand(p, read)
	if err != nil {
		return err
	}
	next := part.checkpoint
	advance(&next)
	for _, s := range stand {
		if s.replaces.IsZero() {
			next.Entries++
		}
	}
	const checkpointBytes, entryBytes = 1 << 10, 110
	b := w.db.NewBatchWithSize(checkpointBytes + entryBytes*len(stand))
	if err := next.put(b, p); err != nil {
		return err
	}
	// The batch copies what it is given.
	var key, value []byte
	for _, s := range stand {
		r := &read[s.number]
		key, value = appendEntryKey(key[:0], p, r.id), appendSeen(value[:0], r.at, r.digest)
		if err := b.Set(key, value, nil); err != nil {
			return fmt.Errorf("write window: %w", err)
		}
	}
	if err := writeTimes(b, p, read, stand); err != nil {
		return err
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("write window: %w", err)
	}
	part.checkpoint = next
	earliest := earliestOf(read)
	for dropped := true; dropped; {
		if dropped, err = w.evict(p, earliest, &part.checkpoint); err != nil {
			return err
		}
	}
	w.metrics.entries(p, part.checkpoint.Entries)
	if len(read) > 0 {
		w.metrics.window(p, part.checkpoint.span(read[len(read)-1].seen().at))
	}
	return nil
}

// stand finds the events that enter the window, sorted by identity.
func (w *window) stand(p int32, read []replayed) (stand []standing, err error) {
	order := make([]int32, len(read))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(bytes.Compare(read[a].id[:], read[b].id[:]), cmp.Compare(a, b))
	})
	// What comes in the order of the keys is found faster by one who goes through the store than by one who asks.
	it, err := w.db.NewIter(&pebble.IterOptions{LowerBound: prefix(spaceEntry, p), UpperBound: prefix(spaceEntry, p+1)})
	if err != nil {
		return nil, fmt.Errorf("read window: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	fresh := w.parts[p].fresh
	stand = make([]standing, 0, len(read))
	var key []byte
	for i := 0; i < len(order); {
		id := read[order[i]].id
		var last seen
		known := false
		if key = appendEntryKey(key[:0], p, id); !fresh.First(id[:]) && it.SeekGE(key) && bytes.Equal(it.Key(), key) {
			last, known = decodeSeen(it.Value()), true
		}
		s := standing{number: -1, replaces: last.at}
		for ; i < len(order) && read[order[i]].id == id; i++ {
			if now := read[order[i]].seen(); !known || !last.covers(now.at) {
				last, known, s.number = now, true, order[i]
			}
		}
		if s.number >= 0 {
			stand = append(stand, s)
		}
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("read window: %w", err)
	}
	return stand, nil
}

// writeTimes writes the second order of events.
func writeTimes(b *pebble.Batch, p int32, read []replayed, stand []standing) error {
	var errs []error
	for _, s := range stand {
		if !s.replaces.IsZero() {
			errs = append(errs, b.Delete(timeKey(p, s.replaces, read[s.number].id), nil))
		}
	}
	// They are nearly in the order in which they were received, and so nearly sorted in that in which they were read.
	slices.SortFunc(stand, func(a, b standing) int { return cmp.Compare(a.number, b.number) })
	slices.SortFunc(stand, func(a, b standing) int {
		x, y := &read[a.number], &read[b.number]
		return cmp.Or(cmp.Compare(x.at, y.at), bytes.Compare(x.id[:], y.id[:]))
	})
	var key []byte
	for _, s := range stand {
		r := &read[s.number]
		key = appendTimeKey(key[:0], p, r.at, r.id)
		if err := b.Set(key, nil, nil); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("write window: %w", err)
	}
	return nil
}

// earliestOf is when the first of some events was received; zero where there is none.
func earliestOf(read []replayed) time.Time {
	if len(read) == 0 {
		return time.Time{}
	}
	earliest := slices.MinFunc(read, func(a, b replayed) int { return cmp.Compare(a.at, b.at) })
	return earliest.seen().at
}
