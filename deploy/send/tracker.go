package send

import (
	"cmp"
	"slices"
	"sync"
)

// batch is some lines that are sent together.
type batch struct {
	// first is the place before its first line.
	first mark
	items []*item
	// bytes is what they are on the wire, length what they are in the input.
	bytes  int
	length int64
}

// tracker knows which lines are done although batches are answered in any order. Its low-water mark is the place before
// the first line that is not: from there a later run goes on. Refusals are written when the mark has passed them, so
// that their file is in the order of the lines and a resumed run repeats none.
type tracker struct {
	mu      sync.Mutex
	state   *state
	refused *refusedFile
	// open are the batches that are being filled, wait or are under way: a few for each worker.
	open map[*batch]struct{}
	// read is the place up to which lines were taken.
	read mark
	// waiting are refusals above the mark.
	waiting []refusal
	// saved is the mark of the last state that was written.
	saved mark

	// What is shown: it counts lines when they are done, ahead of the mark.
	done shown
}

// shown are counts for people.
type shown struct {
	items, bytes, refused int64
}

func newTracker(from *state, refused *refusedFile) *tracker {
	return &tracker{
		state: from, refused: refused, open: make(map[*batch]struct{}), read: from.Sent, saved: from.Sent,
		done: shown{refused: from.Refused},
	}
}

// begin says that a batch has its first line. It comes before that line is taken.
func (t *tracker) begin(b *batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[b] = struct{}{}
}

// take says that lines up to a place are in batches.
func (t *tracker) take(to mark) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.read = to
}

// settle says that the items of a batch are accepted, but for those that are refused.
func (t *tracker) settle(b *batch, refusals []refusal) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, b)
	t.done.items += int64(len(b.items))
	t.done.bytes += b.length
	return t.note(refusals)
}

// drop refuses a line that is in no batch.
func (t *tracker) drop(l *line, r refusal) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.read = l.to
	t.done.items++
	t.done.bytes += l.length
	return t.note([]refusal{r})
}

// note keeps refusals, writes those of lines that the mark passes now, and moves the mark.
func (t *tracker) note(refusals []refusal) error {
	t.done.refused += int64(len(refusals))
	t.waiting = append(t.waiting, refusals...)
	slices.SortFunc(t.waiting, func(a, b refusal) int { return cmp.Compare(a.Line, b.Line) })
	low := t.low()
	passed, _ := slices.BinarySearchFunc(t.waiting, low.Line+1, func(r refusal, number int64) int {
		return cmp.Compare(r.Line, number)
	})
	if err := t.refused.write(t.waiting[:passed]); err != nil {
		return err
	}
	t.waiting = slices.Delete(t.waiting, 0, passed)
	t.state.Sent = low
	t.state.Refused += int64(passed)
	return nil
}

// low is the place before the first line that is not settled.
func (t *tracker) low() mark {
	low := t.read
	for b := range t.open {
		if b.first.Offset < low.Offset {
			low = b.first
		}
	}
	return low
}

// finish says that every line was taken and settled.
func (t *tracker) finish() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state.Complete = true
	return t.note(nil)
}

// save notes how far the file was sent, unless that is noted already. An empty path is of an input that cannot be read
// again.
func (t *tracker) save(path string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.note(nil); err != nil {
		return err
	}
	if path == "" || (t.state.Sent == t.saved && !t.state.Complete) {
		return nil
	}
	// The refusals first: what the state counts must be there.
	if err := t.refused.sync(); err != nil {
		return err
	}
	t.state.RefusedBytes = t.refused.bytes
	if err := t.state.save(path); err != nil {
		return err
	}
	t.saved = t.state.Sent
	return nil
}

func (t *tracker) progress() shown {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done
}

// sent is the low-water mark, with what became of the lines before it.
func (t *tracker) sent() (mark, Totals) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state.Sent, t.state.totals()
}
