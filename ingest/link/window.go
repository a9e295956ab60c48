package link

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/throughline/throughline/ingest/local"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
)

// Window is how long after its first submission an event's repeat is recognised, by the times of receipt of both.
const Window = 24 * time.Hour

// identity is a hash of what identifies an event: workspace, primary object, id. A collision of 24 bytes of SHA-256 is
// out of reach even for who chooses the ids.
type identity [24]byte

func identify(workspace string, primary object.Ref, id string) identity {
	// Longer ones than usual make it allocate.
	buf := make([]byte, 0, 256)
	for _, part := range [...]string{workspace, string(primary.Type), primary.ID, id} {
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(part)))
		buf = append(buf, part...)
	}
	sum := sha256.Sum256(buf)
	return identity(sum[:24])
}

// seen is what the window knows of an event: when it was received, and a digest of its content (zero where that is not
// known).
type seen struct {
	at     time.Time
	digest [16]byte
}

// covers says whether something received at t falls in the window that the event began. A time before its own does
// too: two edges' clocks differ, and a forwarded submission comes later than it was received.
func (s seen) covers(t time.Time) bool { return t.Sub(s.at) <= Window }

// window remembers the events of the last day by partition, on disk, so that a repeat is dropped. It changes in two
// steps: add works on an overlay that find sees, commit writes it together with the checkpoint, discard drops it.
// It is used from one goroutine.
type window struct {
	db         *pebble.DB
	maxEntries int
	metrics    *metrics
	now        func() time.Time
	parts      map[int32]*partition
	// loadBatch is after how many events a load writes.
	loadBatch int
}

type partition struct {
	checkpoint checkpoint
	overlay    map[identity]change
	// earliest is the earliest receipt in the overlay, by which old entries are dropped.
	earliest time.Time
	// fresh knows what the store has, while it is filled from nothing; nil otherwise.
	fresh *local.Fresh
	// answered is which inputs are answered, as far as the checkpoint goes.
	answered stream.AnsweredInputs
}

// change is an entry as the window has it; replaces is the time under which the store has the identity already, or zero.
type change struct {
	seen

	replaces time.Time
}

func newWindow(db *pebble.DB, maxEntries int, m *metrics) *window {
	return &window{db: db, maxEntries: maxEntries, metrics: m, now: time.Now, parts: map[int32]*partition{}, loadBatch: loadBatch}
}

// own begins to keep a partition, from the checkpoint that the store has of it.
func (w *window) own(p int32, c checkpoint) {
	w.parts[p] = &partition{checkpoint: c, overlay: map[identity]change{}, answered: c.answered()}
}

// find looks an event up; it sees what add has noted.
func (w *window) find(p int32, id identity) (seen, bool, error) {
	c, known, err := w.look(p, id)
	return c.seen, known, err
}

// look is find for a caller that may replace what is found.
func (w *window) look(p int32, id identity) (change, bool, error) {
	part := w.parts[p]
	if c, ok := part.overlay[id]; ok {
		return c, true, nil
	}
	if part.fresh.First(id[:]) {
		return change{}, false, nil
	}
	s, ok, err := w.stored(p, id)
	if err != nil || !ok {
		return change{}, false, err
	}
	return change{seen: s, replaces: s.at}, true, nil
}

func (w *window) stored(p int32, id identity) (seen, bool, error) {
	value, closer, err := w.db.Get(entryKey(p, id))
	if errors.Is(err, pebble.ErrNotFound) {
		return seen{}, false, nil
	}
	if err != nil {
		return seen{}, false, fmt.Errorf("read window: %w", err)
	}
	s := decodeSeen(value)
	if err := closer.Close(); err != nil {
		return seen{}, false, fmt.Errorf("read window: %w", err)
	}
	return s, true, nil
}

// add notes an event in the overlay. Where the identity is there already, the event is a later one, beyond the window
// of the other, and replaces it.
func (w *window) add(p int32, id identity, s seen) error {
	c, _, err := w.look(p, id)
	if err != nil {
		return err
	}
	w.put(p, id, c, s)
	return nil
}

func (w *window) put(p int32, id identity, c change, s seen) {
	c.seen = s
	w.parts[p].overlay[id] = c
	w.observe(p, s.at)
}

// observe notes that something was received at t. The earliest of a batch decides what is old: one record with a clock
// that is ahead must not empty the window.
func (w *window) observe(p int32, t time.Time) {
	if part := w.parts[p]; part.earliest.IsZero() || t.Before(part.earliest) {
		part.earliest = t
	}
}

// discard drops every partition's overlay.
func (w *window) discard() {
	for _, part := range w.parts {
		clear(part.overlay)
		part.earliest = time.Time{}
	}
}

// disown forgets a partition; the store keeps what it has of it.
func (w *window) disown(p int32) { delete(w.parts, p) }

// commit writes a partition's overlay and its new checkpoint in one batch, and drops what has become too old or too
// much. The write is not synced: the log is the truth, and a store that lost its last writes in a crash of the machine
// is still whole as of an earlier checkpoint, from which the next load reads on.
func (w *window) commit(p int32, advance func(*checkpoint)) error {
	part := w.parts[p]
	next := part.checkpoint
	advance(&next)
	b := w.db.NewBatch()
	for id, c := range part.overlay {
		if c.replaces.IsZero() {
			next.Entries++
		} else if err := b.Delete(timeKey(p, c.replaces, id), nil); err != nil {
			return fmt.Errorf("write window: %w", err)
		}
		if err := errors.Join(
			b.Set(entryKey(p, id), encodeSeen(c.seen), nil),
			b.Set(timeKey(p, c.at, id), nil, nil),
		); err != nil {
			return fmt.Errorf("write window: %w", err)
		}
	}
	if err := w.apply(p, b, &next); err != nil {
		return err
	}
	if _, err := w.evict(p, part.earliest, &next); err != nil {
		return err
	}
	part.checkpoint = next
	clear(part.overlay)
	part.earliest = time.Time{}
	w.metrics.entries(p, next.Entries)
	return nil
}

// forgot notes that what was received at a time or before is not in the window, though the day is not over: there was too
// much of it.
func (c *checkpoint) forgot(at time.Time) { c.Forgot = max(c.Forgot, at.UnixMilli()) }

// span is how far back the window reaches from a time of receipt.
func (c *checkpoint) span(from time.Time) time.Duration {
	if c.Forgot == 0 {
		return Window
	}
	return min(max(from.Sub(time.UnixMilli(c.Forgot)), 0), Window)
}

func (w *window) apply(p int32, b *pebble.Batch, c *checkpoint) error {
	if err := c.put(b, p); err != nil {
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("write window: %w", err)
	}
	return nil
}

// maxEvictions bounds the work of one commit; the rest is left for the next one.
const maxEvictions = 20_000

// evict drops the entries that are older than the window, seen from a time of receipt that later submissions will hardly
// come before, and the oldest beyond maxEntries. It says whether there were any.
func (w *window) evict(p int32, earliest time.Time, c *checkpoint) (bool, error) {
	horizon := int64(math.MinInt64)
	if !earliest.IsZero() {
		if now := w.now(); now.Before(earliest) {
			earliest = now
		}
		horizon = earliest.Add(-Window).UnixMilli()
	}
	it, err := w.db.NewIter(&pebble.IterOptions{LowerBound: prefix(spaceTime, p), UpperBound: prefix(spaceTime, p+1)})
	if err != nil {
		return false, fmt.Errorf("read window: %w", err)
	}
	b := w.db.NewBatch()
	for ok, n := it.First(), 0; ok && n < maxEvictions; ok, n = it.Next(), n+1 {
		at, id := decodeTimeKey(it.Key())
		tooOld, tooMuch := at.UnixMilli() < horizon, c.Entries > w.maxEntries
		if !tooOld && !tooMuch {
			break
		}
		if !tooOld {
			c.forgot(at)
		}
		c.Entries--
		if err := errors.Join(b.Delete(it.Key(), nil), b.Delete(entryKey(p, id), nil)); err != nil {
			return false, errors.Join(fmt.Errorf("write window: %w", err), it.Close())
		}
	}
	if !earliest.IsZero() {
		w.metrics.window(p, c.span(earliest))
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return false, fmt.Errorf("read window: %w", err)
	}
	if b.Empty() {
		return false, nil
	}
	return true, w.apply(p, b, c)
}
