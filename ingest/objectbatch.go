package ingest

import (
	"context"
	"errors"
	"net/http"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/position"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
)

// postObjects replaces the objects of a batch, item by item and in order: the last item of an object wins.
func (s *Service) postObjects(w http.ResponseWriter, r *http.Request) error {
	b, err := s.readBatch(w, r, "objects")
	if err != nil {
		return err
	}
	workspace := access.From(r.Context()).Workspace
	objects := make([]*object.Object, len(b.items))
	for i, item := range b.items {
		if p := oversized(item, object.MaxObjectBytes); p != nil {
			b.results[i].refuse(p)
			continue
		}
		o, refused := decodeNamedObject(item)
		if refused != nil {
			b.results[i].refuse(refused)
			continue
		}
		objects[i] = o
	}
	if err := s.storeAll(r.Context(), workspace, b, objects); err != nil {
		return err
	}
	return b.answer(w, r, workspace)
}

// decodeNamedObject reads an object that names itself.
func decodeNamedObject(data []byte) (*object.Object, *problem.Problem) {
	var b objectBody
	if err := web.DecodeJSON(data, &b); err != nil {
		return nil, problem.From(err)
	}
	o := &object.Object{
		Type: object.Type(b.ObjectType), ID: b.ObjectID, ExternalID: b.ExternalID, Name: b.Name, Attributes: present(b.Attributes),
	}
	broken := canonical("/objectType", b.ObjectType, &o.Type)
	if o.Type == "" {
		broken = append(broken, object.Violation{Pointer: "/objectType", Detail: "is required"})
	}
	relations, bad := lookups("/relations", b.Relations, object.MaxRelations)
	o.Relations = relations
	return o, faults(append(append(broken, bad...), o.Validate()...))
}

// storeAll writes what was not refused: under the locks of all of it, after one wait for the view.
func (s *Service) storeAll(ctx context.Context, workspace string, b *batch, objects []*object.Object) error {
	var names []string
	for _, o := range objects {
		if o != nil {
			names = append(names, lockNames(workspace, o.Ref(), o.ExternalID)...)
		}
	}
	unlock, err := s.locks.acquire(ctx, names...)
	if err != nil {
		return unavailable(err)
	}
	defer unlock()
	if err := s.upToDate(ctx); err != nil {
		return unavailable(err)
	}
	c := &claims{service: s, workspace: workspace, holders: map[string]string{}, held: map[object.Ref]string{}}
	for i, o := range objects {
		if o == nil {
			continue
		}
		if err := c.take(o); err != nil {
			b.results[i].refuse(problem.From(err))
			objects[i] = nil
		}
	}
	keys, err := s.dataKeys(ctx, workspace, objects)
	if err != nil {
		return err
	}
	s.writeAll(ctx, workspace, b, objects, keys)
	return nil
}

// claims says who holds an external id once the items of a batch so far are written.
type claims struct {
	service   *Service
	workspace string
	// holders are the objects that took a token in this batch; held is the token that an object has after it.
	holders map[string]string
	held    map[object.Ref]string
}

// take lets an object have its external id, or refuses it because another object holds that.
func (c *claims) take(o *object.Object) error {
	token := ""
	if o.ExternalID != "" {
		token = c.service.master.ExternalToken(c.workspace, o.Type, o.ExternalID)
		if err := c.free(o, token); err != nil {
			return err
		}
		c.holders[token] = o.ID
	}
	if before, ok := c.held[o.Ref()]; ok && before != token && c.holders[before] == o.ID {
		delete(c.holders, before)
	}
	c.held[o.Ref()] = token
	return nil
}

func (c *claims) free(o *object.Object, token string) error {
	if holder, ok := c.holders[token]; ok {
		if holder == o.ID {
			return nil
		}
		return held(o, holder)
	}
	owners, err := c.service.registry.ByExternal(c.workspace, o.Type, token)
	if err != nil {
		return err
	}
	for _, owner := range owners {
		_, changed := c.held[object.Ref{Type: o.Type, ID: owner.ID}]
		if owner.ID == o.ID || changed {
			// Its own, or given up earlier in this batch.
			continue
		}
		return held(o, owner.ID)
	}
	return nil
}

// sealer is a data key and its id.
type sealer struct {
	id  string
	key *seal.DataKey
}

// dataKeys finds or makes the data key of every object. All new ones are acknowledged before anything is sealed.
func (s *Service) dataKeys(ctx context.Context, workspace string, objects []*object.Object) (map[object.Ref]sealer, error) {
	keys := map[object.Ref]sealer{}
	var records []*stream.Record
	for _, o := range objects {
		if o == nil {
			continue
		}
		if _, ok := keys[o.Ref()]; ok {
			continue
		}
		id, key, err := s.registry.CurrentKey(workspace, o.Ref())
		if errors.Is(err, registry.ErrErased) {
			var record *stream.Record
			if id, key, record, err = s.records.NewKey(workspace, o.Ref()); err == nil {
				records = append(records, record)
			}
		}
		if err != nil {
			return nil, err
		}
		keys[o.Ref()] = sealer{id, key}
	}
	if _, err := s.producer.Produce(ctx, records...); err != nil {
		return nil, unavailable(err)
	}
	return keys, nil
}

// writeAll appends the objects' records, and waits until this edge sees those that were acknowledged.
func (s *Service) writeAll(ctx context.Context, workspace string, b *batch, objects []*object.Object, keys map[object.Ref]sealer) {
	records := make([]*stream.Record, 0, len(objects))
	of := make([]int, 0, len(objects))
	for i, o := range objects {
		if o == nil {
			continue
		}
		k := keys[o.Ref()]
		value, err := s.records.Seal(workspace, o, k.id, k.key)
		if err != nil {
			b.results[i].refuse(problem.From(err))
			continue
		}
		records, of = append(records, s.records.Object(workspace, o.Ref(), value)), append(of, i)
	}
	last := map[int32]stream.Offset{}
	for n, result := range s.producer.ProduceEach(ctx, records) {
		i := of[n]
		if result.Err != nil {
			b.results[i].refuse(problem.From(unavailable(result.Err)))
			continue
		}
		o := objects[i]
		b.results[i].Status, b.results[i].Type, b.results[i].Object = http.StatusOK, string(o.Type), o.ID
		b.where.Add(position.Entry{Topic: topic.Objects, Partition: result.Offset.Partition, Offset: result.Offset.Offset})
		if have, ok := last[result.Offset.Partition]; !ok || have.Offset < result.Offset.Offset {
			last[result.Offset.Partition] = result.Offset
		}
		s.metrics.objects.WithLabelValues("put").Inc()
	}
	for _, offset := range last {
		s.visible(ctx, offset)
	}
}
