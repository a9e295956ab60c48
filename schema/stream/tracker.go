package stream

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// trackerForm begins the metadata that a tracker writes.
const trackerForm = "1:"

// maxSlots is how far beyond the low-water mark a record may be handed out: as many bits as fit into the metadata of a
// commit, in base64.
const maxSlots int64 = (MaxMetadataBytes - int64(len(trackerForm))) / 4 * 3 * 8

// tracker is the bookkeeping of one partition whose records are finished in any order. What is committed of it is the
// low-water mark, below which everything is finished, and a bitmap of what is finished above it. Offsets that were never
// polled between polled ones are markers, aborted records and what compaction left: they are finished.
type tracker struct {
	// next is the offset after the last that was polled.
	next int64
	// open are the offsets that were handed out and are not recorded as finished.
	open map[int64]struct{}
	// order has the open offsets in ascending order, and some that are not open any more.
	order []int64
	// ahead are offsets at or beyond next that are finished already: an owner before us finished them.
	ahead map[int64]struct{}
}

// newTracker begins with what is committed. An error says that the metadata cannot be read; then nothing above the mark
// counts as finished.
func newTracker(mark int64, metadata string) (*tracker, error) {
	t := &tracker{next: mark, open: map[int64]struct{}{}, ahead: map[int64]struct{}{}}
	if metadata == "" {
		return t, nil
	}
	text, ok := strings.CutPrefix(metadata, trackerForm)
	if !ok {
		return t, errors.New("read tracker: the metadata is of another form")
	}
	bits, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return t, fmt.Errorf("read tracker: %w", err)
	}
	for i, b := range bits {
		for bit := range 8 {
			if b&(1<<bit) != 0 {
				t.ahead[mark+int64(i*8+bit)] = struct{}{}
			}
		}
	}
	return t, nil
}

// poll notes that a record was polled, and says whether it is new: neither known nor finished.
func (t *tracker) poll(offset int64) bool {
	if offset < t.next {
		return false
	}
	t.pass(offset)
	if _, done := t.ahead[offset]; done {
		delete(t.ahead, offset)
		return false
	}
	if _, known := t.open[offset]; known {
		return false
	}
	t.open[offset] = struct{}{}
	t.order = append(t.order, offset)
	return true
}

// skip notes a polled offset that carries nothing.
func (t *tracker) skip(offset int64) {
	if offset >= t.next {
		t.pass(offset)
	}
}

// pass moves next beyond an offset. Entries of ahead below it stood for what can be told from next alone by now.
func (t *tracker) pass(offset int64) {
	for o := t.next; o < offset && len(t.ahead) > 0; o++ {
		delete(t.ahead, o)
	}
	t.next = offset + 1
}

// keep takes over an offset that this process works on since before it was assigned the partition again. It says no where
// somebody has finished it meanwhile.
func (t *tracker) keep(offset int64) bool {
	if _, done := t.ahead[offset]; done || offset < t.next {
		return false
	}
	t.open[offset] = struct{}{}
	i, _ := slices.BinarySearch(t.order, offset)
	t.order = slices.Insert(t.order, i, offset)
	return true
}

// finish notes that an offset is recorded as finished.
func (t *tracker) finish(offset int64) {
	if _, known := t.open[offset]; !known {
		return
	}
	delete(t.open, offset)
	if offset >= t.next {
		t.ahead[offset] = struct{}{}
	}
	i := 0
	for ; i < len(t.order); i++ {
		if _, open := t.open[t.order[i]]; open {
			break
		}
	}
	t.order = t.order[i:]
}

// finished says whether a record is recorded as finished.
func (t *tracker) finished(offset int64) bool {
	if _, ahead := t.ahead[offset]; ahead {
		return true
	}
	_, open := t.open[offset]
	return offset < t.next && !open
}

// fits says whether a record may be handed out: whether its bit fits into the metadata.
func (t *tracker) fits(offset int64) bool { return offset-t.mark(nil) < maxSlots }

// mark is the low-water mark if the offsets in done were finished.
func (t *tracker) mark(done map[int64]struct{}) int64 {
	mark := t.next
	for _, o := range t.order {
		_, open := t.open[o]
		if _, finished := done[o]; open && !finished {
			mark = min(mark, o)
			break
		}
	}
	// What was finished ahead moves the mark as soon as everything before it is.
	for {
		_, ahead := t.ahead[mark]
		if _, finished := done[mark]; !ahead && (mark < t.next || !finished) {
			return mark
		}
		mark++
	}
}

// position is what to commit if the offsets in done were finished.
func (t *tracker) position(done map[int64]struct{}) Commit {
	mark := t.mark(done)
	var bits []byte
	set := func(offset int64) {
		i := offset - mark
		if i < 0 || i >= maxSlots {
			return
		}
		for int64(len(bits)) <= i/8 {
			bits = append(bits, 0)
		}
		bits[i/8] |= 1 << (i % 8)
	}
	for o := mark; o < t.next; o++ {
		_, open := t.open[o]
		if _, finished := done[o]; !open || finished {
			set(o)
		}
	}
	for o := range t.ahead {
		set(o)
	}
	for o := range done {
		if o >= t.next {
			set(o)
		}
	}
	if len(bits) == 0 {
		return Commit{Offset: mark}
	}
	return Commit{Offset: mark, Metadata: trackerForm + base64.RawStdEncoding.EncodeToString(bits)}
}
