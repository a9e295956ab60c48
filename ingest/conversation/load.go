package conversation

import (
	"context"
	"fmt"

	conv "github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

const (
	// loadBatch is after how many records a load writes what it has read, to bound its memory.
	loadBatch = 5_000
	// tail is how many offsets of conversations are folded over the snapshots where there is no checkpoint: more than one
	// transaction writes, which is two transitions a command and a marker.
	tail = 2*maxBatch + 16
)

// Load implements stream.Handler. The store has the states up to its checkpoint, so only what is newer is read: the
// snapshots, and over them the transitions that conversations has beyond them.
//
// On a broker that commits a transaction whole the two always agree. The embedded broker may be killed between the two,
// and then the snapshot may be there and its transition not. The transition is the truth and will be written again with
// the same version, so there the snapshots are not read at all: each transition carries the state after it.
func (h *handler) Load(ctx context.Context, p int32, out *stream.OutputReader) error {
	h.states.disown(p)
	if h.partitions = out.Partitions(topic.ConversationCommands); h.partitions == 0 {
		return errNoPartitions
	}
	c, err := h.states.checkpoint(p)
	if err != nil {
		return err
	}
	if !h.fits(c, out) {
		if c, err = h.begin(ctx, p, out); err != nil {
			return err
		}
	}
	h.states.own(p, c)
	out.Answered(c.Input)
	next := c
	if !h.embedded {
		if next.States, err = h.read(ctx, p, out, topic.ConversationState, c.States, h.takeSnapshot); err != nil {
			return err
		}
	}
	if next.Conversations, err = h.read(ctx, p, out, topic.Conversations, c.Conversations, h.takeTransition); err != nil {
		return err
	}
	if h.embedded {
		// Which inputs a torn transaction has answered is known only as long as its outputs are read.
		next = c
	}
	if err := h.states.commit(p, func(c *checkpoint) { *c = next }); err != nil {
		return err
	}
	h.log.DebugContext(ctx, "states loaded", "partition", p, "states_from", c.States, "conversations_from", c.Conversations)
	return nil
}

// fits says whether a checkpoint belongs to the log that is there.
func (h *handler) fits(c checkpoint, out *stream.OutputReader) bool {
	start, end := out.Bounds(topic.Conversations)
	stateStart, stateEnd := out.Bounds(topic.ConversationState)
	return c.Form == storeForm && c.Topics == h.topics(out) &&
		start <= c.Conversations && c.Conversations <= end && stateStart <= c.States && c.States <= stateEnd
}

func (h *handler) topics(out *stream.OutputReader) [3][16]byte {
	return [3][16]byte{out.TopicID(topic.ConversationCommands), out.TopicID(topic.Conversations), out.TopicID(topic.ConversationState)}
}

// begin starts a partition's states anew: from all snapshots and the last transitions, or from all transitions.
func (h *handler) begin(ctx context.Context, p int32, out *stream.OutputReader) (checkpoint, error) {
	c := checkpoint{Form: storeForm, Topics: h.topics(out)}
	c.States, _ = out.Bounds(topic.ConversationState)
	start, end := out.Bounds(topic.Conversations)
	c.Conversations = start
	if !h.embedded {
		c.Conversations = max(start, end-tail)
	}
	h.log.InfoContext(ctx, "states begin anew", "partition", p, "from", c.States)
	return c, h.states.begin(p, c)
}

// read gives every record of an output from an offset on to take, and returns the next offset.
func (h *handler) read(ctx context.Context, p int32, out *stream.OutputReader, name topic.Name, from int64, take func(int32, *stream.Record) error) (int64, error) {
	n := 0
	next, err := out.Read(ctx, name, from, func(r *stream.Record) error {
		if err := take(p, r); err != nil {
			// Nobody but this processor writes here: to go on would be to decide on a state that is not the log's.
			return fmt.Errorf("%w: %s: %w", stream.ErrStop, topic.Origin(r.Topic, r.Partition, r.Offset), err)
		}
		if n++; n%loadBatch == 0 {
			return h.states.commit(p, func(*checkpoint) {})
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("load states: %w", err)
	}
	return next, nil
}

// takeSnapshot takes the state of a conversation over as it is.
func (h *handler) takeSnapshot(p int32, r *stream.Record) error {
	if r.Value == nil {
		return nil
	}
	s, err := conv.ParseSnapshot(r.Value)
	if err != nil {
		return err
	}
	h.states.put(p, r.Key, &entry{snapshot: s, encoded: r.Value})
	return nil
}

// takeTransition folds a transition that the snapshots do not have.
func (h *handler) takeTransition(p int32, r *stream.Record) error {
	t, err := conv.ParseTransition(r.Value)
	if err != nil {
		return err
	}
	e, err := h.states.get(p, r.Key)
	if err != nil || t.Version <= e.snapshot.Version {
		return err
	}
	next := e.snapshot.AfterTransition(t.After, t)
	encoded, err := next.Encode()
	if err != nil {
		return err
	}
	h.states.put(p, r.Key, &entry{snapshot: next, encoded: encoded})
	return nil
}
