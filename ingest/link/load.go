package link

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/throughline/throughline/ingest/local"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

const (
	// catchUp is how many records a checkpoint may be behind before it is worth asking where the window begins.
	catchUp = 100_000
	// tail is how many records of a log's end are looked at first for its last event, and for how many of its offsets are
	// events.
	tail = 4096
	// tailOfRejections is how many rejections are read where there is no checkpoint: more than one transaction writes.
	tailOfRejections = 20_000
)

// Load implements stream.Handler. The window is what the partition's events of the last day say. The store has them up to
// its checkpoint, so only what is newer is read; without a checkpoint, or with one of another log, a day is read, or as
// many events as the window may hold, if those are fewer.
//
// What it writes on the way is a checkpoint as good as that of a transaction, with the inputs that are answered by what was
// read: who is killed while it loads goes on there, and who starts again with nothing new reads nothing.
func (h *handler) Load(ctx context.Context, p int32, out *stream.OutputReader) error {
	h.window.disown(p)
	if h.partitions = out.Partitions(topic.Submissions); h.partitions == 0 {
		return errNoPartitions
	}
	c, err := readCheckpoint(h.window.db, p)
	if err != nil {
		return err
	}
	whole := h.fits(c, out)
	_, end := out.Bounds(topic.Events)
	first := windowStart{offset: c.Events}
	if !whole || end-c.Events > catchUp {
		if first, err = h.windowStart(ctx, out, h.window.maxEntries); err != nil {
			return err
		}
	}
	if !whole {
		if c, err = h.begin(ctx, p, out, first.offset); err != nil {
			return err
		}
	}
	h.window.own(p, c)
	part := h.window.parts[p]
	if !whole {
		part.fresh = local.NewFresh(end - first.offset)
	}
	out.AnsweredBefore(c.answered())
	from := max(c.Events, first.offset)
	// What lies before the first event that is read is forgotten for the number of entries, if not for its age.
	rest, err := h.loadEvents(ctx, p, out, from, first.crowded && from == first.offset)
	if err != nil {
		return fmt.Errorf("load window: %w", err)
	}
	// The rejections hold nothing for the window; they tell the reader which inputs they answer.
	rejections, err := out.Read(ctx, topic.Rejections, c.Rejections, func(*stream.Record) error { return nil })
	if err != nil {
		return fmt.Errorf("load rejections: %w", err)
	}
	part.answered = out.AnsweredInputs()
	if err := h.window.load(p, rest, func(c *checkpoint) { c.move(part.answered, end, rejections) }); err != nil {
		return err
	}
	part.fresh = nil
	h.log.DebugContext(ctx, "window loaded", "partition", p, "from", from, "to", end, "window_entries", part.checkpoint.Entries)
	return nil
}

// loadEvents reads events to the end, and writes them now and then; the rest, which it has not written, it returns.
// crowded says that there are earlier ones of the last day, which have no place.
func (h *handler) loadEvents(ctx context.Context, p int32, out *stream.OutputReader, from int64, crowded bool) ([]replayed, error) {
	part := h.window.parts[p]
	_, end := out.Bounds(topic.Events)
	batch := make([]replayed, 0, max(0, min(int64(h.window.loadBatch), end-from)))
	total := 0
	_, err := out.Read(ctx, topic.Events, from, func(r *stream.Record) error {
		total++
		e, err := replay(r)
		if err != nil {
			// Nothing of ours: link alone writes here. It is of no use to the window and must not stop it.
			h.log.WarnContext(ctx, "event in the log cannot be read", "partition", p, "offset", r.Offset, "error", err)
			return nil
		}
		if crowded {
			part.checkpoint.forgot(e.seen().at)
			crowded = false
		}
		if batch = append(batch, e); len(batch) < h.window.loadBatch {
			return nil
		}
		if err := h.window.load(p, batch, func(c *checkpoint) { c.move(out.AnsweredInputs(), r.Offset+1, 0) }); err != nil {
			return err
		}
		batch = batch[:0]
		h.metrics.read.Add(float64(total))
		h.log.InfoContext(ctx, "window is being loaded", "partition", p, "next", r.Offset+1, "to", end,
			"window_entries", part.checkpoint.Entries)
		total = 0
		return nil
	})
	h.metrics.read.Add(float64(total))
	return batch, err
}

// fits says whether a checkpoint belongs to the log that is there.
func (h *handler) fits(c checkpoint, out *stream.OutputReader) bool {
	start, end := out.Bounds(topic.Events)
	return c.Form == storeForm && c.Topics == h.topics(out) && start <= c.Events && c.Events <= end
}

func (h *handler) topics(out *stream.OutputReader) [3][16]byte {
	return [3][16]byte{out.TopicID(topic.Submissions), out.TopicID(topic.Events), out.TopicID(topic.Rejections)}
}

// begin starts a partition's window anew, from an offset of its events.
func (h *handler) begin(ctx context.Context, p int32, out *stream.OutputReader, from int64) (checkpoint, error) {
	c := checkpoint{Form: storeForm, Topics: h.topics(out), Events: from}
	// The rejections tell which submissions are answered beyond the group's position: those of the last transaction.
	_, end := out.Bounds(topic.Rejections)
	c.Rejections = max(0, end-tailOfRejections)
	h.log.InfoContext(ctx, "window begins anew", "partition", p, "from", from)
	return c, begin(h.window.db, p, c)
}

// windowStart is where the events begin that can be in the window.
type windowStart struct {
	offset int64
	// crowded says that the day begins before it, but with more events than the window may hold.
	crowded bool
}

// windowStart finds the offset from which events can hold entries of the window. The window is counted from the last event
// and not from the clock: after link has stood still for days, it goes on where it was.
func (h *handler) windowStart(ctx context.Context, out *stream.OutputReader, maxEntries int) (windowStart, error) {
	last, density, err := h.lastEvent(ctx, out)
	if err != nil {
		return windowStart{}, err
	}
	start, end := out.Bounds(topic.Events)
	if last.IsZero() {
		return windowStart{offset: start}, nil
	}
	// An event is written after it was received, so what was received within the window is not written before it.
	from, err := out.OffsetAt(ctx, topic.Events, last.Add(-Window))
	if err != nil {
		return windowStart{}, fmt.Errorf("find start of window: %w", err)
	}
	from = max(start, from)
	if crowded := end - int64(float64(maxEntries)/density); crowded > from {
		return windowStart{offset: crowded, crowded: true}, nil
	}
	return windowStart{offset: from}, nil
}

// lastEvent is when the last event of the partition was received, or, where that is more than a day before it was
// written, a day before it was written: a bound on what a wrong time of receipt can make us read. It is zero where there
// is no event. density is how many of the last offsets are events: the others are markers of transactions.
func (h *handler) lastEvent(ctx context.Context, out *stream.OutputReader) (last time.Time, density float64, err error) {
	start, end := out.Bounds(topic.Events)
	for n := int64(tail); ; n *= 16 {
		from := max(start, end-n)
		events := 0
		_, err := out.Read(ctx, topic.Events, from, func(r *stream.Record) error {
			events++
			last = r.Timestamp.Add(-Window)
			if head, err := event.ParseHead(r.Value); err == nil && head.ReceivedAt.After(last) {
				last = head.ReceivedAt.Time
			}
			return nil
		})
		if err != nil {
			return time.Time{}, 0, fmt.Errorf("find last event: %w", err)
		}
		if events > 0 || from == start {
			return last, max(float64(events), 1) / max(float64(end-from), 1), nil
		}
	}
}

// replay is what the window keeps of an event that is in the log.
func replay(r *stream.Record) (replayed, error) {
	head, err := event.ParseHead(r.Value)
	if err != nil {
		return replayed{}, err
	}
	if head.ReceivedAt.Before(time.UnixMilli(0)) {
		return replayed{}, fmt.Errorf("event was received at %s, which cannot be", head.ReceivedAt)
	}
	e := replayed{
		id: identify(head.Workspace, object.Ref{Type: head.Type, ID: head.ObjectID}, head.ID), at: head.ReceivedAt.UnixMilli(),
	}
	if text, ok := stream.HeaderValue(r, topic.HeaderDigest); ok {
		if b, err := hex.DecodeString(text); err == nil && len(b) == len(e.digest) {
			e.digest = [16]byte(b)
		}
	}
	return e, nil
}

var _ stream.Handler = (*handler)(nil)

// errNoPartitions says that keys cannot be placed.
var errNoPartitions = errors.New("topic submissions has no partitions")
