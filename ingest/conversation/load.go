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
func (h *handler) Load(ctx context.Context, p int32, out *stream.OutputReader) error {
	if err := h.states.disown(p); err != nil {
		return err
	}
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
	if h.embedded {
		err = h.loadTorn(ctx, p, c, out)
	} else {
		next, err = h.loadWhole(ctx, p, c, out)
	}
	if err != nil {
		return fmt.Errorf("load states: %w", err)
	}
	if err := h.states.commit(p, func(c *checkpoint) { *c = next }); err != nil {
		return err
	}
	h.log.DebugContext(ctx, "states loaded", "partition", p, "states_from", c.States, "conversations_from", c.Conversations)
	return nil
}

// loadWhole reads what a broker has that commits a transaction whole, and returns the checkpoint behind it.
func (h *handler) loadWhole(ctx context.Context, p int32, c checkpoint, out *stream.OutputReader) (checkpoint, error) {
	var err error
	if c.States, err = out.Read(ctx, topic.ConversationState, c.States, h.each(p, h.takeSnapshot)); err != nil {
		return c, err
	}
	c.Conversations, err = out.Read(ctx, topic.Conversations, c.Conversations, h.each(p, h.takeTransition))
	return c, err
}

// loadTorn reads what the embedded broker has, which may have been killed in the middle of a transaction: a snapshot may be
// there and its transition not. The transition is the truth, and is going to be written again with the same version. So the
// states are those after the transitions, which each carries; a snapshot adds the commands that it remembers, and is no
// answer. A reply is one where it says that nothing changed: what was told so must not take effect later. The checkpoint
// stays where it is: which inputs a torn transaction has answered is known only as long as its outputs are read.
func (h *handler) loadTorn(ctx context.Context, p int32, c checkpoint, out *stream.OutputReader) error {
	if _, err := out.Read(ctx, topic.Conversations, c.Conversations, h.each(p, h.takeTransition)); err != nil {
		return err
	}
	if _, err := out.Peek(ctx, topic.ConversationState, c.States, h.each(p, h.takeMemory)); err != nil {
		return err
	}
	_, err := out.Peek(ctx, topic.CommandReplies, c.Replies, func(r *stream.Record) error {
		reply, err := conv.ParseReply(r.Value)
		if err != nil || reply.Changed {
			return err
		}
		return out.Answers(r)
	})
	return err
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
	// Replies expire; those of the last transaction have not.
	_, c.Replies = out.Bounds(topic.CommandReplies)
	c.Replies = max(0, c.Replies-tail)
	h.log.InfoContext(ctx, "states begin anew", "partition", p, "from", c.States)
	return c, h.states.begin(p, c)
}

// each gives records of an output to take, and writes what it took now and then.
func (h *handler) each(p int32, take func(int32, *stream.Record) error) func(*stream.Record) error {
	n := 0
	return func(r *stream.Record) error {
		if err := take(p, r); err != nil {
			// Nobody but this processor writes here: to go on would be to decide on a state that is not the log's.
			return fmt.Errorf("%w: %s: %w", stream.ErrStop, topic.Origin(r.Topic, r.Partition, r.Offset), err)
		}
		if n++; n%loadBatch == 0 {
			return h.states.commit(p, func(*checkpoint) {})
		}
		return nil
	}
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

// takeTransition folds a transition that the states do not have: it carries the one after it.
func (h *handler) takeTransition(p int32, r *stream.Record) error {
	t, err := conv.ParseTransition(r.Value)
	if err != nil {
		return err
	}
	e, err := h.states.get(p, r.Key)
	if err != nil || t.Version <= e.snapshot.Version {
		return err
	}
	return h.replace(p, r.Key, e.snapshot.AfterTransition(t.After, t))
}

// takeMemory takes over the commands that a snapshot remembers, where its transition is there.
func (h *handler) takeMemory(p int32, r *stream.Record) error {
	if r.Value == nil {
		return nil
	}
	s, err := conv.ParseSnapshot(r.Value)
	if err != nil {
		return err
	}
	e, err := h.states.get(p, r.Key)
	if err != nil || s.Version > e.snapshot.Version {
		return err
	}
	return h.replace(p, r.Key, e.snapshot.Remembering(s))
}

func (h *handler) replace(p int32, key []byte, s *conv.Snapshot) error {
	encoded, err := s.Encode()
	if err != nil {
		return err
	}
	h.states.put(p, key, &entry{snapshot: s, encoded: encoded})
	return nil
}
