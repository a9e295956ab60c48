package conversation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/throughline/throughline/ingest/links"
	"github.com/throughline/throughline/ingest/registry"
	conv "github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
)

// named is what the look-up of somebody that a command names has found.
type named struct {
	party conv.Party
	// record is nil where nobody is known.
	record *object.Record
}

// people are those that a command names, looked up.
type people struct {
	conv.Parties

	// all are those, in the order of their naming; missing lists those of them that are not known.
	all     []*named
	missing []object.Lookup
	// external are those that were named by an external id.
	external []object.Lookup
}

// parties looks up whom a command names.
func (b *batch) parties(ctx context.Context, c *conv.Command) (*people, error) {
	who := &people{}
	one := func(t object.Type, r *conv.Reference) (*conv.Party, error) {
		if r == nil {
			return nil, nil
		}
		l := r.Lookup(t)
		n, err := b.find(ctx, c.Workspace, l)
		if err != nil {
			return nil, err
		}
		who.all = append(who.all, n)
		if n.record == nil {
			who.missing = append(who.missing, l)
		}
		if l.ExternalID != "" {
			who.external = append(who.external, l)
		}
		return &n.party, nil
	}
	var err error
	if who.Customer, err = one(object.Customer, c.Customer); err != nil {
		return nil, err
	}
	if who.Agent, err = one(object.User, c.Agent); err != nil {
		return nil, err
	}
	if c.Bot != nil {
		if who.Agent, err = one(object.Chatbot, c.Bot); err != nil {
			return nil, err
		}
	}
	for i := range c.Agents {
		a, err := one(object.User, &c.Agents[i])
		if err != nil {
			return nil, err
		}
		who.Agents = append(who.Agents, *a)
	}
	return who, nil
}

// find looks somebody up, once a batch.
func (b *batch) find(ctx context.Context, workspace string, l object.Lookup) (*named, error) {
	if workspace != b.workspace {
		b.workspace = workspace
		clear(b.lookups)
	}
	if n, ok := b.lookups[l]; ok {
		return n, nil
	}
	rec, err := links.In{Objects: b.objects, Workspace: workspace}.Named(ctx, l)
	if err != nil {
		return nil, err
	}
	n := &named{record: rec, party: conv.Party{Type: l.Type, ID: l.ID}}
	switch {
	case rec != nil:
		n.party.ID = rec.ID
	case l.ID == "":
		n.party.ExternalToken = b.sealing.Master.ExternalToken(workspace, l.Type, l.ExternalID)
	}
	b.lookups[l] = n
	return n, nil
}

// complete fills in what transitions lack: links, the sealed part, and the state after each. e gets the data key.
func (b *batch) complete(ctx context.Context, c *conv.Command, ts []*conv.Transition, e *entry, who *people) error {
	state := e.snapshot.Conversation
	for _, t := range ts {
		if state.KeyID == "" {
			if err := b.newKey(t, e); err != nil {
				return err
			}
		} else {
			t.KeyID = state.KeyID
		}
		if err := b.link(ctx, t, &state, who); err != nil {
			return err
		}
		if !t.Implied {
			if err := b.seal(ctx, c, t, e, who); err != nil {
				return err
			}
		}
		if err := t.Complete(state); err != nil {
			return err
		}
		state = t.After
	}
	return nil
}

// link finds whom a transition concerns: the conversation and what it is related to, those that the command names, the
// customer and what that is related to.
func (b *batch) link(ctx context.Context, t *conv.Transition, before *conv.Conversation, who *people) error {
	s := links.Begin(t.Ref(), links.In{Objects: b.objects, Workspace: t.Workspace})
	customer := before.Customer
	if t.Customer != nil {
		customer = t.Customer
	}
	var known *object.Record
	if customer != nil && customer.ID != "" {
		n, err := b.find(ctx, t.Workspace, object.Lookup{Type: customer.Type, ID: customer.ID})
		if err != nil {
			return err
		}
		if known = n.record; known != nil {
			s.Add(known)
		}
	}
	if !t.Implied {
		for _, n := range who.all {
			if n.record != nil {
				s.Add(n.record)
			}
		}
	}
	// Whoever has the conversation sees how it goes on.
	if before.Agent != nil && before.Agent.ID != "" {
		n, err := b.find(ctx, t.Workspace, object.Lookup{Type: before.Agent.Type, ID: before.Agent.ID})
		if err != nil {
			return err
		}
		if n.record != nil {
			s.Add(n.record)
		}
	}
	own, _, err := b.objects.Object(t.Workspace, t.Ref())
	if err == nil {
		err = s.Follow(ctx, own)
	}
	if err == nil {
		err = s.Follow(ctx, known)
	}
	if err != nil {
		return err
	}
	t.Links, t.LinksDropped = s.Links, s.Dropped
	b.metrics.missing.WithLabelValues("command").Add(float64(len(who.missing)))
	b.metrics.missing.WithLabelValues("relation").Add(float64(s.Absent))
	b.metrics.dropped.Add(float64(s.Dropped))
	return nil
}

// newKey gives a new conversation its data key: the one under which it was PUT as an object before, or a new one. It has
// one even where nothing is personal yet, because events that are posted to it are sealed with it.
func (b *batch) newKey(t *conv.Transition, e *entry) error {
	id, key, err := b.keyOfObject(t)
	if errors.Is(err, registry.ErrErased) {
		var record *stream.Record
		if id, key, record, err = b.sealing.NewKey(t.Workspace, t.Ref()); err == nil {
			b.newKeys = append(b.newKeys, record)
		}
	}
	if err != nil {
		return wrongMaster(err)
	}
	t.KeyID, e.key = id, key
	return nil
}

// keyOfObject is the data key under which a conversation was PUT. Most never were, which is found sooner than that they have
// no key.
func (b *batch) keyOfObject(t *conv.Transition) (string, *seal.DataKey, error) {
	_, known, err := b.objects.Object(t.Workspace, t.Ref())
	if err != nil {
		return "", nil, err
	}
	if !known {
		return "", nil, registry.ErrErased
	}
	return b.objects.CurrentKey(t.Workspace, t.Ref())
}

// seal closes the personal part of a transition with the data key of its conversation. Where the key is gone the subject
// was erased, and the transition is kept without that part.
func (b *batch) seal(ctx context.Context, c *conv.Command, t *conv.Transition, e *entry, who *people) error {
	personal := conv.Personal{Attributes: c.Attributes, Comment: c.Comment, Named: who.external, Missing: who.missing}
	if personal.Empty() {
		return nil
	}
	if e.key == nil && !e.erased {
		key, err := b.objects.DataKey(ctx, t.Workspace, t.Ref(), t.KeyID)
		if e.erased = errors.Is(err, registry.ErrErased); !e.erased && err != nil {
			return wrongMaster(err)
		}
		e.key = key
	}
	if e.erased {
		b.metrics.redacted.Inc()
		return nil
	}
	plain, err := json.Marshal(&personal)
	if err != nil {
		return fmt.Errorf("encode personal part: %w", err)
	}
	t.Sealed = e.key.Seal(plain, t.AdditionalData())
	return nil
}

// wrongMaster stops the processor where data keys do not unwrap: every transition would lose its content, so an operator
// has to look.
func wrongMaster(err error) error {
	if errors.Is(err, seal.ErrKey) {
		return fmt.Errorf("%w: is this the master key that the conversations were written with? %w", stream.ErrStop, err)
	}
	return err
}
