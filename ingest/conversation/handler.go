package conversation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/throughline/throughline/ingest/derive"
	"github.com/throughline/throughline/ingest/registry"
	conv "github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// handler decides commands: each gets a reply, and those that are accepted a snapshot and, where they change something,
// their transitions.
type handler struct {
	objects  Objects
	states   *states
	records  derive.Records
	sealing  registry.Records
	producer *stream.Producer
	metrics  *metrics
	log      *slog.Logger
	embedded bool
	// writing are writes of data keys that the transaction has to wait for. mu guards it: partitions are processed side by
	// side.
	mu      sync.Mutex
	writing []<-chan error
	// partitions is the number of partitions of commands, and so of the outputs.
	partitions int
	// conversations, snapshots and replies are the full names of the topics.
	conversations, snapshots, replies string
}

func newHandler(deps Deps) *handler {
	return &handler{
		objects: deps.Objects, states: newStates(), records: derive.Records{Kafka: deps.Kafka},
		sealing:  registry.Records{Kafka: deps.Kafka, Master: deps.Master, Now: time.Now},
		producer: deps.Producer, metrics: newMetrics(deps.Reg), log: deps.Log, embedded: deps.Kafka.Embedded,
		conversations: deps.Kafka.Topic(topic.Conversations), snapshots: deps.Kafka.Topic(topic.ConversationState),
		replies: deps.Kafka.Topic(topic.CommandReplies),
	}
}

// Prepare implements stream.Preparer. Whatever was acknowledged before records were polled is seen by them.
func (h *handler) Prepare(ctx context.Context) error {
	if err := h.objects.Barrier(ctx); err != nil {
		return fmt.Errorf("bring objects up to date: %w", err)
	}
	return nil
}

// Process implements stream.Handler.
func (h *handler) Process(ctx context.Context, p int32, in []*stream.Record) ([]*stream.Record, error) {
	b := &batch{handler: h, partition: p, out: make([]*stream.Record, 0, 3*len(in)), lookups: map[object.Lookup]*named{}}
	for _, r := range in {
		if err := b.answer(ctx, r); err != nil {
			return nil, fmt.Errorf("process %s: %w", topic.Origin(r.Topic, r.Partition, r.Offset), err)
		}
	}
	h.writeKeys(ctx, b.newKeys)
	return b.out, nil
}

// writeKeys begins to write data keys; Finish waits for them.
func (h *handler) writeKeys(ctx context.Context, keys []*stream.Record) {
	if len(keys) == 0 {
		return
	}
	written := make(chan error, 1)
	h.mu.Lock()
	h.writing = append(h.writing, written)
	h.mu.Unlock()
	go func() {
		_, err := h.producer.Produce(ctx, keys...)
		if err == nil {
			h.metrics.keys.Add(float64(len(keys)))
		}
		written <- err
	}()
}

// Finish implements stream.Finisher. A data key is acknowledged before anything that it has sealed can be read, which is
// when the transaction is committed.
func (h *handler) Finish(context.Context) error {
	var errs []error
	for _, written := range h.writing {
		if err := <-written; err != nil {
			errs = append(errs, fmt.Errorf("write data keys: %w", err))
		}
	}
	h.writing = nil
	return errors.Join(errs...)
}

// batch is the commands of one partition in one transaction.
type batch struct {
	*handler

	partition int32
	out       []*stream.Record
	// newKeys are the records of data keys that were made.
	newKeys []*stream.Record
	// lookups are those of one workspace, of this batch: what they found does not change within it.
	workspace string
	lookups   map[object.Lookup]*named
}

// answer decides one command.
func (b *batch) answer(ctx context.Context, r *stream.Record) error {
	c, err := b.parse(b.partition, r)
	if err != nil {
		return b.bury(err, r)
	}
	before, err := b.states.get(b.partition, r.Key)
	if err != nil {
		return err
	}
	who, err := b.parties(ctx, c)
	if err != nil {
		return err
	}
	d := conv.Decide(before.snapshot, c, who.Parties)
	if d.Refusal != nil || d.Repeated {
		return b.reply(c, d, who.missing, r)
	}
	after := *before
	if err := b.complete(ctx, c, d.Transitions, &after, who); err != nil {
		return err
	}
	state := before.snapshot.Conversation
	if n := len(d.Transitions); n > 0 {
		state = d.Transitions[n-1].After
	}
	after.snapshot = before.snapshot.Advance(state, c)
	written, large, err := b.write(c, d.Transitions, &after, r)
	if err != nil {
		return err
	}
	if large > 0 {
		return b.tooLarge(c, before.snapshot, large, r)
	}
	b.out = append(b.out, written...)
	b.states.put(b.partition, r.Key, &after)
	return b.reply(c, d, who.missing, r)
}

// bury keeps a record that is no command.
func (b *batch) bury(reason error, r *stream.Record) error {
	b.metrics.commands.WithLabelValues(outcomeDead).Inc()
	letter, err := b.records.DeadLetter(Group, reason.Error(), "", event.TimeOf(derive.Time(r)), r)
	if err == nil {
		b.out = append(b.out, letter)
	}
	return err
}

// write makes the records of transitions and of the snapshot after them. large is the size of one that exceeds what a topic
// takes, or 0.
func (b *batch) write(c *conv.Command, ts []*conv.Transition, after *entry, r *stream.Record) (written []*stream.Record, large int, err error) {
	add := func(name topic.Name, value []byte, envelope topic.Envelope) {
		rec := b.records.Record(name, b.partition, r.Key, value, r, envelope)
		if n := stream.RecordSize(rec); n > topic.MaxRecordBytes {
			large = n
		}
		written = append(written, rec)
	}
	for _, t := range ts {
		value, err := t.Encode()
		if err != nil {
			return nil, 0, err
		}
		add(topic.Conversations, value, t.Envelope())
	}
	if after.encoded, err = after.snapshot.Encode(); err != nil {
		return nil, 0, err
	}
	envelope := after.snapshot.Envelope()
	envelope.Time = c.ReceivedAt.Time
	add(topic.ConversationState, after.encoded, envelope)
	return written, large, nil
}

// tooLarge refuses a command whose records would not fit; nothing of it is kept.
func (b *batch) tooLarge(c *conv.Command, before *conv.Snapshot, n int, r *stream.Record) error {
	return b.reply(c, conv.Decision{Version: before.Version, State: before.State, Refusal: &conv.Refusal{
		Kind:   conv.TooLarge,
		Detail: fmt.Sprintf("With its links and labels the conversation would need a record of %d bytes; at most %d are allowed.", n, topic.MaxRecordBytes),
	}}, nil, r)
}

// reply answers the edge that waits.
func (b *batch) reply(c *conv.Command, d conv.Decision, missing []object.Lookup, r *stream.Record) error {
	outcome := outcomeNothing
	switch {
	case d.Refusal != nil:
		outcome, missing = string(d.Refusal.Kind), nil
	case d.Repeated:
		outcome = outcomeRepeated
	case d.Changed:
		outcome = outcomeChanged
	}
	b.metrics.commands.WithLabelValues(outcome).Inc()
	reply := conv.Reply{
		Request: c.Request, Workspace: c.Workspace, ConversationID: c.ConversationID, CommandID: c.ID,
		Version: d.Version, State: d.State, Changed: d.Changed, Missing: missing, Refusal: d.Refusal,
	}
	value, err := reply.Encode()
	if err != nil {
		return err
	}
	request := stream.Header{Key: topic.HeaderRequest, Value: []byte(c.Request)}
	b.out = append(b.out, b.records.Record(topic.CommandReplies, b.partition, r.Key, value, r, reply.Envelope(c.ReceivedAt), request))
	return nil
}

// Commit implements stream.Handler.
func (h *handler) Commit(ctx context.Context, done []stream.Done) error {
	for _, d := range done {
		if _, ok := h.states.parts[d.Partition]; !ok {
			continue
		}
		if err := h.states.commit(d.Partition, func(c *checkpoint) {
			c.Input = max(c.Input, d.Input)
			c.Conversations = max(c.Conversations, d.Outputs[h.conversations])
			c.States = max(c.States, d.Outputs[h.snapshots])
			c.Replies = max(c.Replies, d.Outputs[h.replies])
		}); err != nil {
			return err
		}
		h.log.DebugContext(ctx, "commands decided", "partition", d.Partition, "next", d.Input)
	}
	return nil
}

// Discard implements stream.Handler. Keys that are being written may be there or not: nothing is sealed with them.
func (h *handler) Discard() {
	h.writing = nil
	h.notClosed(h.states.discard())
}

// Unload implements stream.Handler.
func (h *handler) Unload(p int32) { h.notClosed(h.states.disown(p)) }

// notClosed says that reading has not ended well. What was read was right, or it would have been an error there.
func (h *handler) notClosed(err error) {
	if err != nil {
		h.log.Warn("local store", slog.String("error", err.Error()))
	}
}
