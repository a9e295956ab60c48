package query

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/throughline/throughline/schema/position"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
)

// linkGroup is the consumer group of link, which turns submissions into events and rejections.
const linkGroup = "link"

// conversationGroup is the consumer group of the processor of conversations, which turns commands into transitions.
const conversationGroup = "conversation"

// route says over which hops a write comes to the rows that a read shows.
type route struct {
	// table is what is read.
	table string
	// outputs are the topics that link writes and the table's projector reads, in the partition of the submission.
	outputs []topic.Name
	// scattered are topics of that kind with a partitioning of their own.
	scattered []topic.Name
	// objects says that the read shows names of objects.
	objects bool
	// conversations says that the table's projector reads transitions.
	conversations bool
}

func timelineRoute() route {
	return route{table: table.Timeline, outputs: []topic.Name{topic.Events}, objects: true, conversations: true}
}

func conversationsRoute() route { return route{table: table.Conversations, conversations: true} }

func transitionsRoute() route { return route{table: table.Transitions, conversations: true} }

func eventLogRoute() route {
	return route{
		table: table.EventLog, outputs: []topic.Name{topic.Events, topic.Rejections}, scattered: []topic.Name{topic.DeadLetters},
	}
}

func eventNamesRoute() route {
	return route{table: table.EventLog, outputs: []topic.Name{topic.Events}}
}

// waiter waits for the writes of positions.
type waiter struct {
	watch           *stream.OffsetWatch
	kafka           stream.Config
	positionTimeout time.Duration
	metrics         *metrics
}

// await returns once the read would show the writes that the positions cover. It waits for as long as the configuration
// says in all, and then answers that it could not.
func (w *waiter) await(ctx context.Context, workspace string, texts []string, r route) error {
	return w.awaitBy(ctx, workspace, texts, r.table, func(ctx context.Context, covered position.Position) error {
		return w.reach(ctx, covered, r)
	})
}

// awaitBy is await for a read that is shown what it waits for in a way of its own. what names it in metrics.
func (w *waiter) awaitBy(
	ctx context.Context, workspace string, texts []string, what string, reach func(context.Context, position.Position) error,
) error {
	covered, err := web.Positions(texts, workspace)
	if err != nil {
		return err
	}
	if covered.Empty() {
		return nil
	}
	start := time.Now()
	limited, cancel := context.WithTimeout(ctx, w.positionTimeout)
	defer cancel()
	err = reach(limited, covered)
	w.metrics.waited(what, time.Since(start), err)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return err // the client has gone, and the router knows
	case errors.Is(err, context.DeadlineExceeded):
		return problem.New(problem.PositionNotReached, "").WithRetryAfter(retryAfter).WithCause(err)
	default:
		return problem.Busy("The progress of the position cannot be read now.", retryAfter).WithCause(err)
	}
}

// reach follows the writes hop by hop. After each hop the high watermark of the next topic is taken: what the hop wrote
// stands below it.
func (w *waiter) reach(ctx context.Context, covered position.Position, r route) error {
	touched, decided := make(map[int32]bool), make(map[int32]bool)
	pending := false
	for _, e := range covered.Entries() {
		switch e.Topic {
		case topic.Submissions:
			touched[e.Partition] = true
			pending = pending || e.Pending
			if err := w.committed(ctx, linkGroup, topic.Submissions, e.Partition, e.Offset+1); err != nil {
				return err
			}
		case topic.Objects:
			if !r.objects {
				continue
			}
			if err := w.committed(ctx, table.Group(table.Objects), topic.Objects, e.Partition, e.Offset+1); err != nil {
				return err
			}
		case topic.ConversationCommands:
			if !r.conversations {
				continue
			}
			decided[e.Partition] = true
			if err := w.committed(ctx, conversationGroup, topic.ConversationCommands, e.Partition, e.Offset+1); err != nil {
				return err
			}
		default: // nothing that a read shows depends on it
		}
	}
	if len(decided) > 0 {
		if err := w.passed(ctx, table.Group(r.table), topic.Conversations, func(p int32) bool { return decided[p] }); err != nil {
			return err
		}
	}
	if len(touched) == 0 {
		return nil
	}
	all := func(int32) bool { return true }
	which := func(p int32) bool { return touched[p] }
	if pending {
		// Link may have sent the submission on to the partition of its primary object, from where it comes by again.
		if err := w.passed(ctx, linkGroup, topic.Submissions, all); err != nil {
			return err
		}
		which = all
	}
	for _, t := range r.outputs {
		if err := w.passed(ctx, table.Group(r.table), t, which); err != nil {
			return err
		}
	}
	for _, t := range r.scattered {
		if err := w.passed(ctx, table.Group(r.table), t, all); err != nil {
			return err
		}
	}
	return nil
}

// passed waits until a group is past what some partitions of a topic have now.
func (w *waiter) passed(ctx context.Context, group string, t topic.Name, which func(partition int32) bool) error {
	if err := w.watch.WaitPassed(ctx, group, t, which); err != nil {
		return fmt.Errorf("wait for group %s on %s: %w", group, t, err)
	}
	return nil
}

func (w *waiter) committed(ctx context.Context, group string, t topic.Name, partition int32, next int64) error {
	tp := stream.TopicPartition{Topic: w.kafka.Topic(t), Partition: partition}
	if err := w.watch.WaitCommitted(ctx, group, tp, next); err != nil {
		return fmt.Errorf("wait for group %s on %s: %w", group, tp, err)
	}
	return nil
}
