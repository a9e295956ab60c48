package dispatcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// planning is what all planners have: it makes deliveries, one for each endpoint that wants what there is to tell.
type planning struct {
	// role is that of its processor, which dead letters name.
	role      string
	directory *directory
	records   records
	metrics   *metrics
}

// planner turns records of a topic into deliveries. It keeps no state of its own, so that what it gives for a record
// depends on the record and the endpoints alone.
type planner struct {
	*planning

	read func(r *stream.Record) (news, error)
	// also makes other records of what is told, whether or not an endpoint wants it. It may be nil.
	also func(to records, n news) ([]*stream.Record, error)
}

// news is what a record tells.
type news interface {
	// about is whose it is.
	about() string
	// wanted says whether an endpoint's settings ask for it, but for its filter.
	wanted(t *target) bool
	// occurrence opens what is personal and writes what is posted. An error wraps errPoison where no retry can heal it.
	occurrence(ctx context.Context, d *directory, at event.Time) (*occurrence, error)
}

// Load implements stream.Handler. The planner's outputs are in the partitions of endpoints and not in that of its input,
// so it cannot learn from them which inputs are answered. It need not: where a transaction was torn, which the embedded
// broker alone does, an event is planned again with the same id.
func (p *planner) Load(_ context.Context, _ int32, out *stream.OutputReader) error {
	p.records.queues = out.Partitions(topic.WebhookQueues)
	return p.count(out)
}

// count learns the number of partitions of the topics that are keyed by endpoint.
func (p *planning) count(out *stream.OutputReader) error {
	p.records.deliveries = out.Partitions(topic.WebhookDeliveries)
	if p.records.deliveries == 0 {
		return errors.New("topic webhook-deliveries has no partitions")
	}
	return nil
}

// Prepare implements stream.Preparer. Every endpoint whose PUT was answered before records were polled is there.
func (p *planner) Prepare(ctx context.Context) error { return p.directory.caughtUp(ctx) }

// shareOf is how many records are worth a goroutine of their own.
const shareOf = 16

// Process implements stream.Handler. What one record gives does not depend on the others, so that they are planned at the
// same time; their deliveries keep the order.
func (p *planner) Process(ctx context.Context, _ int32, in []*stream.Record) ([]*stream.Record, error) {
	planned := make([][]*stream.Record, len(in))
	share := max(shareOf, (len(in)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	group, ctx := errgroup.WithContext(ctx)
	for from := 0; from < len(in); from += share {
		to := min(from+share, len(in))
		group.Go(func() error {
			for i, r := range in[from:to] {
				if ctx.Err() != nil {
					return ctx.Err() // another one has failed
				}
				out, err := p.plan(ctx, r)
				if err != nil {
					return fmt.Errorf("plan %s: %w", topic.Origin(r.Topic, r.Partition, r.Offset), err)
				}
				for _, d := range out {
					stream.SetOrigin(d, r)
				}
				planned[from+i] = out
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(planned...), nil
}

// Commit implements stream.Handler.
func (p *planner) Commit(context.Context, []stream.Done) error { return nil }

// Discard implements stream.Handler.
func (p *planner) Discard() {}

// Unload implements stream.Handler.
func (p *planner) Unload(int32) {}

// occurrence is something that endpoints are told of.
type occurrence struct {
	workspace, eventType string
	subject              object.Ref
	// of tells occurrences of a subject apart: an event's id, a conversation's version.
	of        string
	plannedAt event.Time
	body      []byte
	// key seals the body; it is nil where nothing in it is personal.
	key   *seal.DataKey
	keyID string
}

func (p *planner) plan(ctx context.Context, r *stream.Record) ([]*stream.Record, error) {
	n, err := p.read(r)
	if err != nil {
		return p.dead(err.Error(), "", r)
	}
	out, err := p.tell(ctx, n, r)
	if err != nil || p.also == nil {
		return out, err
	}
	more, err := p.also(p.records, n)
	return append(out, more...), err
}

// tell makes the deliveries of a record for the endpoints of its workspace.
func (p *planning) tell(ctx context.Context, n news, r *stream.Record) ([]*stream.Record, error) {
	all, err := p.directory.of(n.about())
	if err != nil {
		return nil, err
	}
	// Most workspaces have no endpoint for it, and then nothing is opened.
	wanting := slices.DeleteFunc(slices.Clone(all), func(t *target) bool { return !n.wanted(t) })
	if len(wanting) == 0 {
		return nil, nil
	}
	o, err := n.occurrence(ctx, p.directory, event.TimeOf(r.Timestamp))
	if err == nil && len(o.body) > maxBodyBytes {
		err = fmt.Errorf("%w: its body has %d bytes; at most %d are sent", errPoison, len(o.body), maxBodyBytes)
	}
	switch {
	case errors.Is(err, seal.ErrKey):
		return nil, fmt.Errorf("%w: is this the master key that the log was written with? %w", stream.ErrStop, err)
	case errors.Is(err, errPoison):
		return p.dead(err.Error(), n.about(), r)
	case err != nil:
		return nil, err
	}
	return p.deliver(o, wanting)
}

// maxBodyBytes bounds what is sent. Sealed, and written as text in a record, it stays below what a topic takes.
const maxBodyBytes = 512 << 10

var errPoison = errors.New("record cannot be told")

// sealed is the part of a record that is closed with a data key of its subject.
type sealed struct {
	workspace  string
	subject    object.Ref
	keyID      string
	bytes      []byte
	additional []byte
}

// open reads what is personal in a record into a value, and gives the key, which seals what is told of it too. Where the
// subject was erased the value stays as it is and there is no key: it is told like any other, without what was personal,
// so that counts are right.
func (s sealed) open(ctx context.Context, d *directory, into any) (*seal.DataKey, error) {
	if len(s.bytes) == 0 {
		return nil, nil
	}
	key, err := d.dataKey(ctx, s.workspace, s.subject, s.keyID)
	if errors.Is(err, errErased) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	plain, err := key.Open(s.bytes, s.additional)
	if err != nil {
		return nil, fmt.Errorf("%w: sealed part does not open", errPoison)
	}
	if err := json.Unmarshal(plain, into); err != nil {
		return nil, fmt.Errorf("%w: %w", errPoison, err)
	}
	return key, nil
}

// deliver makes a delivery for each endpoint whose filter lets the occurrence through.
func (p *planning) deliver(o *occurrence, wanting []*target) ([]*stream.Record, error) {
	var data map[string]any
	var closed []byte
	var out []*stream.Record
	for _, t := range wanting {
		if t.filter != nil {
			var err error
			if data == nil {
				if data, err = parseData(o.body); err != nil {
					return nil, err
				}
			}
			matched, err := t.filter.matches(o.eventType, data)
			if err != nil {
				p.metrics.filtered.WithLabelValues("failed").Inc()
				continue
			}
			if !matched {
				p.metrics.filtered.WithLabelValues("no_match").Inc()
				continue
			}
		}
		d := &webhook.Delivery{
			ID:        webhook.DeliveryID(o.workspace, o.eventType, o.subject, o.of, t.ID),
			Workspace: o.workspace, Endpoint: t.ID, Type: o.eventType, Subject: o.subject, Event: o.of, PlannedAt: o.plannedAt,
		}
		if o.key == nil {
			d.Body = string(o.body)
		} else {
			if closed == nil {
				closed = o.key.Seal(o.body, webhook.BodyData(o.workspace, o.eventType, o.subject, o.of))
			}
			d.KeyID, d.Sealed = o.keyID, closed
		}
		r, err := p.records.delivery(topic.WebhookDeliveries, d)
		if err != nil {
			return nil, err
		}
		p.metrics.planned.WithLabelValues(o.eventType).Inc()
		out = append(out, r)
	}
	return out, nil
}

func (p *planning) dead(reason, workspace string, r *stream.Record) ([]*stream.Record, error) {
	p.metrics.dead.WithLabelValues("plan").Inc()
	letter, err := p.records.deadLetter(p.role, reason, workspace, r)
	if err != nil {
		return nil, err
	}
	return []*stream.Record{letter}, nil
}

var _ stream.Handler = (*planner)(nil)
