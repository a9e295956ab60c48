package registry

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// conversationsVersion is the version of the form of the conversations' store.
const conversationsVersion = 1

// openConversations opens the view of which conversations there are, and whose they are. It is a view of its own because
// its topic is written in transactions: a barrier waits for those that are open, and only who needs a conversation shall.
func (r *Registry) openConversations(ctx context.Context, deps Deps) error {
	view, err := stream.OpenView(ctx, deps.Kafka, stream.ViewConfig{
		Name:   "conversations",
		Dir:    filepath.Join(r.cfg.Dir, "conversations"),
		Topics: []topic.Name{topic.ConversationState},
		Apply:  r.applyConversation,
		Blind:  true,
		// A snapshot of a transaction that is aborted is of a conversation that may never be.
		ReadCommitted: true,
		Version:       conversationsVersion,
	}, stream.Deps{Log: deps.Log, Reg: deps.Reg})
	if err != nil {
		return err
	}
	r.conversations = view
	return nil
}

// applyConversation keeps of a snapshot what an event about the conversation needs.
func (r *Registry) applyConversation(b *pebble.Batch, rec *stream.Record) error {
	if rec.Value == nil {
		return remove(b, rec.Key)
	}
	s, err := conversation.ParseSnapshot(rec.Value)
	if err != nil {
		r.ignore(rec, err)
		return nil
	}
	c := knownConversation{keyID: s.KeyID}
	if s.Customer != nil {
		c.customer = s.Customer.ID
	}
	if err := b.Set(rec.Key, c.encode(), nil); err != nil {
		return fmt.Errorf("store conversation: %w", err)
	}
	return nil
}

// knownConversation is what the store has of a conversation, under the key of its records. Neither changes after its first
// transition.
type knownConversation struct {
	keyID string
	// customer is the objectId of its customer, known or not; empty where it has none.
	customer string
}

func (c knownConversation) encode() []byte {
	return appendText(appendText(nil, c.keyID), c.customer)
}

// conversation reads what the view has of a conversation as it is.
func (r *Registry) conversation(workspace, id string) (knownConversation, bool, error) {
	value, found, err := r.conversations.Get(conversation.Key(workspace, id))
	if err != nil || !found {
		return knownConversation{}, false, err
	}
	d := decoder{text: string(value)}
	c := knownConversation{keyID: d.string(), customer: d.string()}
	return c, true, d.end()
}

// KnowsConversation says whether a conversation has begun, on the view as it is.
func (r *Registry) KnowsConversation(workspace, id string) (bool, error) {
	found, err := r.conversations.Has(conversation.Key(workspace, id))
	if err != nil {
		return false, fmt.Errorf("look for conversation: %w", err)
	}
	return found, nil
}

// withConversation makes one object of what was PUT of a CONVERSATION, nil where that is nothing, and what is known of it
// from its transitions: it is related to its customer, then to what was PUT. It is nil where neither is there.
func (r *Registry) withConversation(workspace string, ref object.Ref, put *object.Record) (*object.Record, error) {
	c, found, err := r.conversation(workspace, ref.ID)
	if err != nil || !found {
		return put, err
	}
	rec := &object.Record{Version: object.RecordVersion, Workspace: workspace, Type: ref.Type, ID: ref.ID, KeyID: c.keyID}
	if put != nil {
		rec = put
	}
	if c.customer == "" {
		return rec, nil
	}
	customer := object.Relation{Type: object.Customer, ID: c.customer}
	if slices.ContainsFunc(rec.Relations, func(r object.Relation) bool { return r.Type == customer.Type && r.ID == customer.ID }) {
		return rec, nil
	}
	rec.Relations = append([]object.Relation{customer}, rec.Relations...)
	return rec, nil
}

// BarrierConversations is Barrier for conversations: it returns once every transition that was acknowledged before the call
// is seen. It waits for transactions that are open.
func (r *Registry) BarrierConversations(ctx context.Context) error {
	return r.barrierOf(ctx, r.conversations)
}

// barrierConversation is BarrierConversations for one of them.
func (r *Registry) barrierConversation(ctx context.Context, workspace, id string) error {
	name := r.kafka.Topic(topic.ConversationState)
	partition := stream.PartitionOf(conversation.Key(workspace, id), r.conversations.Partitions(topic.ConversationState))
	return r.barrierOf(ctx, r.conversations, stream.TopicPartition{Topic: name, Partition: partition})
}

// runAll runs both views until the context ends or one of them fails.
func (r *Registry) runAll(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	other := make(chan error, 1)
	go func() {
		defer cancel()
		other <- r.conversations.Run(ctx)
	}()
	err := r.view.Run(ctx)
	cancel()
	return errors.Join(err, <-other)
}
