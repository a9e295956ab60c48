package ingest

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/position"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// postEvents accepts a batch of events, item by item: one bad item never fails another.
func (s *Service) postEvents(w http.ResponseWriter, r *http.Request) error {
	b, err := s.readBatch(w, r, "events")
	if err != nil {
		return err
	}
	workspace := access.From(r.Context()).Workspace
	async := prefers(r, "respond-async")
	subs := make([]*event.Submission, len(b.items))
	now := s.now()
	for i, item := range b.items {
		if p := oversized(item, event.MaxEventBytes); p != nil {
			b.results[i].refuse(p)
			continue
		}
		sub, refused := decodeEvent(item, nil, now)
		sub.Workspace = workspace
		if refused != nil {
			b.results[i].refuse(problem.From(s.refuse(sub, workspace, event.StatusInvalid, refused, item)))
			continue
		}
		subs[i] = sub
	}
	if async {
		w.Header().Set("Preference-Applied", "respond-async")
	} else {
		s.resolveAll(r.Context(), b, subs)
	}
	s.appendAll(r.Context(), b, subs)
	return b.answer(w, r, workspace)
}

// resolveAll finds the primary objects of a batch. Whatever needs the view to have caught up shares one wait.
func (s *Service) resolveAll(ctx context.Context, b *batch, subs []*event.Submission) {
	locate := s.remembering()
	unsure := make([]int, 0, len(subs))
	for i, sub := range subs {
		switch {
		case sub == nil:
			continue
		case sub.ExternalID != "":
			// It may have been re-pointed a moment ago.
			unsure = append(unsure, i)
			continue
		}
		id, err := locate(sub)
		if errors.Is(err, registry.ErrNotFound) {
			// It may have been written a moment ago.
			unsure = append(unsure, i)
			continue
		}
		s.resolveItem(b, subs, i, id, err)
	}
	if len(unsure) == 0 {
		return
	}
	behind := s.upToDate(ctx)
	conversation := func(i int) bool { return subs[i].Type == object.Conversation }
	if behind == nil && slices.ContainsFunc(unsure, conversation) {
		behind = s.lookups.pass(func() error { return s.registry.BarrierConversations(ctx) })
	}
	for _, i := range unsure {
		id, err := "", behind
		if err == nil {
			id, err = locate(subs[i])
		}
		s.resolveItem(b, subs, i, id, err)
	}
}

// remembering returns a look-up on the view as it is that asks once for each object: a batch is often about few, or sorted
// by them. What it does not find it asks for again.
func (s *Service) remembering() func(*event.Submission) (string, error) {
	known := make(map[object.Lookup]string)
	return func(sub *event.Submission) (string, error) {
		if id, ok := known[lookup(sub)]; ok {
			return id, nil
		}
		id, err := s.registry.LocateLocal(sub.Workspace, lookup(sub))
		if err == nil {
			known[lookup(sub)] = id
		}
		return id, err
	}
}

// resolveItem takes what the look-up of one item gave.
func (s *Service) resolveItem(b *batch, subs []*event.Submission, i int, id string, err error) {
	if err := s.resolved(subs[i], id, err, b.items[i]); err != nil {
		b.results[i].refuse(problem.From(err))
		subs[i] = nil
	}
}

func lookup(sub *event.Submission) object.Lookup {
	return object.Lookup{Type: sub.Type, ID: sub.ObjectID, ExternalID: sub.ExternalID}
}

// appendAll writes what was not refused and waits until the brokers have it.
func (s *Service) appendAll(ctx context.Context, b *batch, subs []*event.Submission) {
	records := make([]*stream.Record, 0, len(subs))
	of := make([]int, 0, len(subs))
	for i, sub := range subs {
		if sub == nil {
			continue
		}
		record, err := s.submissionRecord(sub)
		if err != nil {
			b.results[i].refuse(problem.From(err))
			continue
		}
		records, of = append(records, record), append(of, i)
	}
	linked, pending, failed := 0, 0, 0
	for n, result := range s.producer.ProduceEach(ctx, records) {
		i := of[n]
		sub := subs[i]
		if result.Err != nil {
			failed++
			b.results[i].refuse(problem.From(unavailable(result.Err)))
			continue
		}
		b.results[i].Status, b.results[i].ID = http.StatusOK, sub.ID
		if sub.Resolved {
			linked++
		} else {
			b.results[i].Status = http.StatusAccepted
			pending++
		}
		b.where.Add(position.Entry{
			Topic: topic.Submissions, Partition: result.Offset.Partition, Offset: result.Offset.Offset, Pending: !sub.Resolved,
		})
	}
	s.metrics.count("linked", linked)
	s.metrics.count("pending", pending)
	s.metrics.count("unavailable", failed)
}
