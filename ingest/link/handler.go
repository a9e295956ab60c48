package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/throughline/throughline/ingest/derive"
	"github.com/throughline/throughline/ingest/links"
	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// Group is the name of link's consumer group, without the installation's prefix.
const Group = "link"

// handler answers submissions: each becomes an event, a rejection, a dead letter, or the same submission in the partition
// where its primary object's events are.
type handler struct {
	objects Objects
	window  *window
	outputs outputs
	metrics *metrics
	log     *slog.Logger
	// partitions is the number of partitions of submissions, and so of the outputs.
	partitions int
	// events and rejections are the full names of the topics.
	events, rejections string
}

func newHandler(deps Deps, w *window, m *metrics) *handler {
	return &handler{
		objects: deps.Objects, window: w, outputs: outputs{derive.Records{Kafka: deps.Kafka}}, metrics: m, log: deps.Log,
		events: deps.Kafka.Topic(topic.Events), rejections: deps.Kafka.Topic(topic.Rejections),
	}
}

// Prepare implements stream.Preparer. Whatever was acknowledged before records were polled is seen by them: an upsert that
// was answered before an event was sent, and every data key that it may need.
func (h *handler) Prepare(ctx context.Context) error {
	if err := h.objects.Barrier(ctx); err != nil {
		return fmt.Errorf("bring objects up to date: %w", err)
	}
	return nil
}

// Process implements stream.Handler.
func (h *handler) Process(ctx context.Context, p int32, in []*stream.Record) ([]*stream.Record, error) {
	out := make([]*stream.Record, 0, len(in))
	for _, r := range in {
		answer, err := h.answer(ctx, p, r)
		if err != nil {
			return nil, fmt.Errorf("process %s: %w", topic.Origin(r.Topic, r.Partition, r.Offset), err)
		}
		out = append(out, answer)
	}
	return out, nil
}

func (h *handler) answer(ctx context.Context, p int32, r *stream.Record) (*stream.Record, error) {
	s, err := parse(r)
	if err != nil {
		h.count(outcomeDead)
		return h.outputs.deadLetter(Group, err.Error(), "", r)
	}
	broken := complete(s, r)
	h.window.observe(p, s.ReceivedAt.Time)
	if len(broken) > 0 {
		h.count(outcomeInvalid)
		return h.outputs.rejection(s, nil, event.StatusInvalid, reasons(broken), r)
	}
	primary, stored, refused, err := h.resolve(ctx, s)
	switch {
	case err != nil:
		return nil, err
	case refused.status == event.StatusNotFound:
		h.count(outcomeNotFound)
		return h.outputs.rejection(s, nil, refused.status, refused.reason, r)
	case refused.status != "":
		h.count(outcomeInvalid)
		return h.outputs.rejection(s, nil, refused.status, refused.reason, r)
	}
	// One partition has all events of an object: its window is exact only there, and their order is kept.
	if home := stream.PartitionOf(topic.Key(s.Workspace, string(primary.Type), primary.ID), h.partitions); home != p {
		h.count(outcomeForwarded)
		return h.outputs.forward(s, primary, home, r)
	}
	return h.link(ctx, p, s, primary, stored, r)
}

// refusal is why a primary object was not resolved; a zero one means that it was.
type refusal struct {
	status event.Status
	reason string
}

// resolve finds the primary object. Where the edge has found it before, it is never refused again: it may be gone
// meanwhile, and then has no record.
func (h *handler) resolve(ctx context.Context, s *event.Submission) (object.Ref, *object.Record, refusal, error) {
	in := links.In{Objects: h.objects, Workspace: s.Workspace}
	if s.Resolved {
		ref := object.Ref{Type: s.Type, ID: s.ObjectID}
		rec, err := in.Resolve(ctx, object.Lookup{Type: ref.Type, ID: ref.ID})
		if errors.Is(err, registry.ErrNotFound) {
			return ref, nil, refusal{}, nil
		}
		return ref, rec, refusal{}, err
	}
	rec, err := in.Resolve(ctx, object.Lookup{Type: s.Type, ID: s.ObjectID, ExternalID: s.ExternalID})
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return object.Ref{}, nil, refusal{event.StatusNotFound, fmt.Sprintf("no %s has this objectId or externalId", s.Type)}, nil
	case errors.Is(err, registry.ErrMismatch):
		return object.Ref{}, nil, refusal{event.StatusInvalid, "objectId and externalId are of different objects"}, nil
	case err != nil:
		return object.Ref{}, nil, refusal{}, err
	}
	return object.Ref{Type: rec.Type, ID: rec.ID}, rec, refusal{}, nil
}

// link makes the event, unless it is a repeat.
func (h *handler) link(ctx context.Context, p int32, s *event.Submission, primary object.Ref, stored *object.Record, r *stream.Record) (*stream.Record, error) {
	id, digest := identify(s.Workspace, primary, s.ID), s.Digest()
	first, known, err := h.window.find(p, id)
	if err != nil {
		return nil, err
	}
	if known && first.covers(s.ReceivedAt.Time) {
		h.count(outcomeDuplicate)
		return h.outputs.rejection(s, &primary, event.StatusDuplicate, repeatOf(first, digest), r)
	}
	f, err := links.Of(ctx, primary, stored, s.Related, links.In{Objects: h.objects, Workspace: s.Workspace})
	if err != nil {
		return nil, err
	}
	e := &event.Event{
		ID: s.ID, Workspace: s.Workspace, Type: primary.Type, ObjectID: primary.ID, Name: s.Name, Source: s.Source,
		OccurredAt: s.Occurred(), ReceivedAt: s.ReceivedAt, Links: f.Links, LinksDropped: f.Dropped,
	}
	if err := h.seal(ctx, e, stored, personalOf(s, f.Missing)); err != nil {
		return nil, err
	}
	out, err := h.outputs.event(e, digest, r)
	if err != nil {
		return nil, err
	}
	if n := stream.RecordSize(out); n > topic.MaxRecordBytes {
		h.count(outcomeDead)
		return h.outputs.deadLetter(Group, fmt.Sprintf("event would have %d bytes; at most %d are allowed", n, topic.MaxRecordBytes), s.Workspace, r)
	}
	h.count(outcomeLinked)
	h.metrics.missing.WithLabelValues("event").Add(float64(len(f.Missing)))
	h.metrics.missing.WithLabelValues("relation").Add(float64(f.Absent))
	h.metrics.dropped.Add(float64(f.Dropped))
	return out, h.window.add(p, id, seen{at: s.ReceivedAt.Time, digest: digest})
}

func repeatOf(first seen, digest [16]byte) string {
	at := event.TimeOf(first.at).Format("2006-01-02T15:04:05.000Z07:00")
	switch first.digest {
	case digest:
		return "repeats the event of the same id and content received at " + at
	case [16]byte{}:
		return "repeats the event of the same id received at " + at
	default:
		return "has the id of the event received at " + at + " and other content; the first one stands"
	}
}

func personalOf(s *event.Submission, missing []object.Lookup) event.Personal {
	return event.Personal{
		ExternalID: s.ExternalID, Description: s.Description, Icon: s.Icon, Payload: string(s.Payload),
		Related: s.Related, Missing: missing,
	}
}

// seal closes the event's personal part with a data key of its primary object. Where the key is gone the subject was
// erased, and the event is kept without that part.
func (h *handler) seal(ctx context.Context, e *event.Event, stored *object.Record, personal event.Personal) error {
	keyID, key, err := h.key(ctx, e, stored)
	switch {
	case errors.Is(err, registry.ErrErased):
		h.metrics.redacted.Inc()
		return nil
	case errors.Is(err, seal.ErrKey):
		// Another master key: every event would lose its content, so an operator has to look.
		return fmt.Errorf("%w: is this the master key that the objects were written with? %w", stream.ErrStop, err)
	case err != nil:
		return err
	}
	plain, err := json.Marshal(personal)
	if err != nil {
		return fmt.Errorf("encode personal part: %w", err)
	}
	e.KeyID, e.Sealed = keyID, key.Seal(plain, e.AdditionalData())
	return nil
}

func (h *handler) key(ctx context.Context, e *event.Event, stored *object.Record) (string, *seal.DataKey, error) {
	if stored == nil || stored.KeyID == "" {
		return h.objects.CurrentKey(e.Workspace, e.Primary())
	}
	key, err := h.objects.DataKey(ctx, e.Workspace, e.Primary(), stored.KeyID)
	return stored.KeyID, key, err
}

// Commit implements stream.Handler.
func (h *handler) Commit(ctx context.Context, done []stream.Done) error {
	for _, d := range done {
		part, ok := h.window.parts[d.Partition]
		if !ok {
			continue
		}
		part.answered = part.answered.From(d.Input)
		if err := h.window.commit(d.Partition, func(c *checkpoint) {
			c.move(part.answered, d.Outputs[h.events], d.Outputs[h.rejections])
		}); err != nil {
			return err
		}
		h.log.DebugContext(ctx, "submissions linked", "partition", d.Partition, "next", d.Input,
			"window_entries", h.window.parts[d.Partition].checkpoint.Entries)
	}
	return nil
}

// Discard implements stream.Handler.
func (h *handler) Discard() { h.window.discard() }

// Unload implements stream.Handler.
func (h *handler) Unload(p int32) {
	h.window.disown(p)
	h.metrics.forget(p)
}

func (h *handler) count(outcome string) { h.metrics.submissions.WithLabelValues(outcome).Inc() }
