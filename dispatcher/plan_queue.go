package dispatcher

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// queuePlanner counts the queues of teams and tells of sizes that cross an endpoint's threshold. All changes of a queue are
// in one partition of webhook-queues, whatever partitions their conversations are in, so their order, and with it every
// crossing, is fixed once they are there. The counts are in webhook-queue-sizes, in the transaction of the deliveries.
type queuePlanner struct {
	*planning

	// counts are those of the partitions that are owned, by the key of the queue.
	counts map[int32]map[string]webhook.QueueCount
	// overlay are the counts of the transaction that is under way.
	overlay map[int32]map[string]webhook.QueueCount
}

func newQueuePlanner(p *planning) *queuePlanner {
	return &queuePlanner{
		planning: p, counts: map[int32]map[string]webhook.QueueCount{}, overlay: map[int32]map[string]webhook.QueueCount{},
	}
}

// Load implements stream.Handler. A size of a transaction that is not committed after all, which the embedded broker alone
// knows, is taken back: its changes come again.
func (p *queuePlanner) Load(ctx context.Context, partition int32, out *stream.OutputReader) error {
	if err := p.count(out); err != nil {
		return err
	}
	counts := map[string]webhook.QueueCount{}
	_, err := out.Peek(ctx, topic.WebhookQueueSizes, 0, func(r *stream.Record) error {
		s, err := webhook.ParseQueueSize(r.Value)
		if err != nil {
			// Nobody else writes here: to go on would be to tell of a size that is wrong.
			return fmt.Errorf("%w: %s: %w", stream.ErrStop, topic.Origin(r.Topic, r.Partition, r.Offset), err)
		}
		origin, err := stream.Origin(r)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", stream.ErrStop, topic.Origin(r.Topic, r.Partition, r.Offset), err)
		}
		if counts[string(r.Key)] = s.QueueCount; origin.Offset >= out.Committed() {
			counts[string(r.Key)] = s.Before
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("load sizes of queues: %w", err)
	}
	p.counts[partition] = counts
	return nil
}

// Prepare implements stream.Preparer, as that of planner.
func (p *queuePlanner) Prepare(ctx context.Context) error { return p.directory.caughtUp(ctx) }

// Process implements stream.Handler.
func (p *queuePlanner) Process(ctx context.Context, partition int32, in []*stream.Record) ([]*stream.Record, error) {
	touched := map[string]*webhook.QueueSize{}
	var out []*stream.Record
	for _, r := range in {
		planned, err := p.change(ctx, partition, r, touched)
		if err != nil {
			return nil, fmt.Errorf("plan %s: %w", topic.Origin(r.Topic, r.Partition, r.Offset), err)
		}
		for _, d := range planned {
			stream.SetOrigin(d, r)
		}
		out = append(out, planned...)
	}
	after := map[string]webhook.QueueCount{}
	last := in[len(in)-1]
	for _, key := range slices.Sorted(maps.Keys(touched)) {
		s := touched[key]
		r, err := p.records.queueSize(partition, s, last.Timestamp)
		if err != nil {
			return nil, err
		}
		stream.SetOrigin(r, last)
		out = append(out, r)
		after[key] = s.QueueCount
	}
	p.overlay[partition] = after
	return out, nil
}

// change counts a change, and makes the deliveries of a crossing.
func (p *queuePlanner) change(ctx context.Context, partition int32, r *stream.Record, touched map[string]*webhook.QueueSize) ([]*stream.Record, error) {
	c, err := webhook.ParseQueueChange(r.Value)
	if err != nil {
		return p.dead(err.Error(), "", r)
	}
	// The origin is the transition: one that was planned twice, which the embedded broker alone makes happen, counts once.
	origin, err := stream.Origin(r)
	if err != nil {
		return p.dead(err.Error(), c.Workspace, r)
	}
	key := string(queueKey(c.Workspace, c.Team))
	s := touched[key]
	if s == nil {
		before := p.counts[partition][key]
		s = &webhook.QueueSize{Workspace: c.Workspace, Team: c.Team, QueueCount: before, Before: before}
		if s.Counted = maps.Clone(before.Counted); s.Counted == nil {
			s.Counted = map[int32]int64{}
		}
		touched[key] = s
	}
	if counted, ok := s.Counted[origin.Partition]; ok && origin.Offset <= counted {
		return nil, nil
	}
	s.Counted[origin.Partition] = origin.Offset
	n := queueNews{QueueChange: c, threshold: s.Size}
	switch {
	case c.Joined:
		s.Size++
		n.size, n.threshold = s.Size, s.Size
	case s.Size == 0:
		// Nobody is known to be in it, so nobody leaves it.
		return nil, nil
	default:
		s.Size--
		n.size = s.Size
	}
	return p.tell(ctx, n, r)
}

// Commit implements stream.Handler.
func (p *queuePlanner) Commit(context.Context, []stream.Done) error {
	for partition, after := range p.overlay {
		if counts := p.counts[partition]; counts != nil {
			maps.Copy(counts, after)
		}
	}
	p.Discard()
	return nil
}

// Discard implements stream.Handler.
func (p *queuePlanner) Discard() { clear(p.overlay) }

// Unload implements stream.Handler.
func (p *queuePlanner) Unload(partition int32) { delete(p.counts, partition) }

// queueNews is a change of a queue by one. It crosses one threshold: the new size where the queue has grown, and otherwise
// the one that it had.
type queueNews struct {
	*webhook.QueueChange

	size, threshold int
}

func (n queueNews) about() string { return n.Workspace }

func (n queueNews) eventType() string {
	if n.Joined {
		return webhook.QueueFormed
	}
	return webhook.QueueCleared
}

func (n queueNews) wanted(t *target) bool {
	return t.Wants(n.eventType()) && t.QueueThreshold == n.threshold && wants(t.Teams, n.Team) && !n.ReceivedAt.Before(t.CreatedAt.Time)
}

func (n queueNews) occurrence(_ context.Context, _ *directory, at event.Time) (*occurrence, error) {
	o := &occurrence{
		workspace: n.Workspace, eventType: n.eventType(), subject: object.Ref{Type: webhook.QueueType, ID: n.Team},
		of: transitionID(n.ConversationID, n.ConversationVersion), plannedAt: at,
	}
	var err error
	o.body, err = queueBody(n)
	return o, err
}

var _ stream.Handler = (*queuePlanner)(nil)
