package dispatcher

import (
	"context"
	"errors"
	"time"

	"github.com/throughline/throughline/schema/position"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
)

// positionTimeout is how long a read waits for the writes of its positions.
const positionTimeout = 5 * time.Second

// The consumer groups that turn submissions into events, and commands into transitions.
const (
	linkGroup         = "link"
	conversationGroup = "conversation"
)

// positionAt covers one record, for the answer to its write.
func positionAt(workspace string, t topic.Name, at stream.Offset) *string {
	var p position.Position
	p.Add(position.Entry{Topic: t, Partition: at.Partition, Offset: at.Offset})
	return p.Encode(workspace)
}

// await returns once a read shows the writes that positions cover; reach waits for those that it shows at all.
func (s *Service) await(ctx context.Context, workspace string, texts []string, reach func(context.Context, position.Position) error) error {
	covered, err := web.Positions(texts, workspace)
	if err != nil || covered.Empty() {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, positionTimeout)
	defer cancel()
	err = reach(limited, covered)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return err // the client has gone, and the router knows
	case limited.Err() != nil, errors.Is(err, stream.ErrBarrierTimeout):
		return problem.New(problem.PositionNotReached, "").WithRetryAfter(comeBack).WithCause(err)
	default:
		return problem.Busy("The progress of the position cannot be read now.", comeBack).WithCause(err)
	}
}

// shown waits until a view has the writes to its topic. Others do not show in it.
func (s *Service) shown(view *stream.View, t topic.Name) func(context.Context, position.Position) error {
	return func(ctx context.Context, covered position.Position) error {
		for _, e := range covered.Entries() {
			if e.Topic != t {
				continue
			}
			at := stream.TopicPartition{Topic: s.deps.Kafka.Topic(t), Partition: e.Partition}
			if err := view.WaitFor(ctx, stream.Offset{TopicPartition: at, Offset: e.Offset}); err != nil {
				return err
			}
		}
		return nil
	}
}

// planned waits until the tables have the deliveries of an endpoint that writes have led to: those that were asked for by hand,
// and those of events and transitions, which were linked or decided first and planned then.
func (s *Service) planned(workspace, endpoint string) func(context.Context, position.Position) error {
	return func(ctx context.Context, covered position.Position) error {
		watch := s.replays.watch
		home := s.replays.records.home(endpointKey(workspace, endpoint))
		all := func(int32) bool { return true }
		isHome := func(p int32) bool { return p == home }
		events, decided := map[int32]bool{}, map[int32]bool{}
		pending, byHand := false, false
		var waits []func() error
		wait := func(group string, t topic.Name, which func(int32) bool) {
			waits = append(waits, func() error { return watch.WaitPassed(ctx, group, t, which) })
		}
		for _, e := range covered.Entries() {
			group := ""
			switch e.Topic {
			case topic.Submissions:
				group, events[e.Partition], pending = linkGroup, true, pending || e.Pending
			case topic.ConversationCommands:
				group, decided[e.Partition] = conversationGroup, true
			case topic.WebhookDeliveries:
				byHand = true
			default: // nothing that is listed depends on it
			}
			if group == "" {
				continue
			}
			tp := stream.TopicPartition{Topic: s.deps.Kafka.Topic(e.Topic), Partition: e.Partition}
			if err := watch.WaitCommitted(ctx, group, tp, e.Offset+1); err != nil {
				return err
			}
		}
		if len(events) > 0 {
			which := func(p int32) bool { return events[p] }
			if pending {
				// Link may have sent the submission on to the partition of its primary object, from where it comes by again.
				wait(linkGroup, topic.Submissions, all)
				which = all
			}
			wait(rolePlan, topic.Events, which)
		}
		if len(decided) > 0 {
			wait(rolePlanConversations, topic.Conversations, func(p int32) bool { return decided[p] })
			wait(rolePlanQueues, topic.WebhookQueues, all)
		}
		if byHand || len(waits) > 0 {
			wait(table.Group(table.WebhookAttempts), topic.WebhookDeliveries, isHome)
		}
		for _, w := range waits {
			if err := w(); err != nil {
				return err
			}
		}
		return nil
	}
}
