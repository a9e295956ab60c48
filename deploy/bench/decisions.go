package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/ingest/conversation"
	conv "github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// customers is how many objects the conversations of a measurement are about.
const customers = 1000

// decisionTopics are what the processor of conversations writes for each command: the transition, the snapshot and the
// reply.
func decisionTopics() []topic.Name {
	return []topic.Name{topic.Conversations, topic.ConversationState, topic.CommandReplies}
}

// pace is how fast a process read what waited for it, and the processor time that it took for each.
type pace struct {
	rate float64
	each time.Duration
}

// paceOf measures a process that reads some records, of a group that it joins.
func (l lags) paceOf(ctx context.Context, c *child, group string) (pace, error) {
	readings := []reading{{group, []topic.Name{topic.ConversationCommands}}}
	waiting, err := l.of(ctx, readings)
	if err != nil {
		return pace{}, err
	}
	var m meter
	share, took, err := l.drained(ctx, readings, func() (err error) {
		m, err = newMeter(c.cmd.Process.Pid)
		return err
	})
	if err != nil {
		return pace{}, err
	}
	used, err := m.used()
	n := float64(waiting) * share
	return pace{n / took.Seconds(), time.Duration(float64(used) / n)}, err
}

// bareDecisions measures the bare loop over the commands that an installation has. For each it writes a transition, a
// snapshot and a reply that the processor has written there: what the two do differs in deciding alone.
func (b *bench) bareDecisions(ctx context.Context, l lags) (pace, error) {
	bare, err := start(ctx, spec{
		Role: roleTransact, Brokers: l.kafka.Brokers, Prefix: l.kafka.Prefix, Dir: filepath.Join(b.dir, roleTransact), Log: "warn",
		Topics: []topic.Name{topic.ConversationCommands}, Outputs: decisionTopics(),
	})
	if err != nil {
		return pace{}, err
	}
	d, err := l.paceOf(ctx, bare, transactGroup)
	return d, errors.Join(err, bare.stop())
}

// decisions measures the processor alone beside the bare loop: both read commands that wait, each in its turn. The
// processor's time has that of the views in its process, which follow what it writes.
func (b *bench) decisions(ctx context.Context, cfg ConversationsConfig, sum *Summary) error {
	for _, load := range []struct{ name, what string }{{"opening", "opening conversations"}, {"whole", "whole conversations"}} {
		b.say("the processor alone, %s, load %s", load.what, loadAverage())
		command := opening
		if load.name == "whole" {
			command = whole
		}
		ours, limit, err := b.decidesAlone(ctx, cfg, load.name, command)
		if err != nil {
			return err
		}
		sum.add(Measure{
			Part: "conversations", Name: "the processor alone, " + load.what, Unit: "transitions/s", Ours: ours.rate, Limit: limit.rate,
			By: "the client library's loop that writes the same records", Aim: aimTransitions,
		}, Measure{
			Part: "conversations", Name: "the same, processor time a transition", Unit: "µs", Ours: 1000 * milliseconds(ours.each),
			Limit: 1000 * milliseconds(limit.each), By: "that loop",
		})
	}
	return nil
}

// decidesAlone measures the processor and the loop in an installation of their own.
func (b *bench) decidesAlone(ctx context.Context, cfg ConversationsConfig, name string, command func(int) *conv.Command) (ours, limit pace, err error) {
	kafka := b.kafka
	kafka.Prefix += "-" + name
	if _, err := assembly.Topics(ctx, kafka, stream.Deps{Log: b.log}, b.cfg.partitions(), 1); err != nil {
		return ours, limit, err
	}
	if _, err := stream.EnsureTopics(ctx, kafka, stream.Deps{Log: b.log}, transactTopics(b.cfg.partitions(), len(decisionTopics())), 1); err != nil {
		return ours, limit, err
	}
	if _, _, err := produceObjects(ctx, kafka, customers, b.log, func(int) {}); err != nil {
		return ours, limit, err
	}
	if err := b.produceCommands(ctx, kafka, cfg.Transitions, command); err != nil {
		return ours, limit, err
	}
	l, err := b.openLags(kafka)
	if err != nil {
		return ours, limit, err
	}
	edge, err := start(ctx, spec{Role: roleEdge, Brokers: kafka.Brokers, Prefix: kafka.Prefix, Dir: filepath.Join(b.dir, "alone-"+name), Log: "warn"})
	if err != nil {
		return ours, limit, err
	}
	profiled := func() error { return nil }
	if cfg.Profile != "" {
		if err := os.MkdirAll(cfg.Profile, 0o750); err != nil {
			return ours, limit, errors.Join(fmt.Errorf("make folder of profiles: %w", err), edge.stop())
		}
		profiled = edge.profile(ctx, filepath.Join(cfg.Profile, "decisions-"+name+".cpu.prof"), profileTime)
	}
	ours, err = l.paceOf(ctx, edge, conversation.Group)
	if err := errors.Join(err, profiled(), edge.stop()); err != nil {
		return ours, limit, err
	}
	limit, err = b.bareDecisions(ctx, l)
	return ours, limit, err
}

// produceCommands writes commands as the edge does.
func (b *bench) produceCommands(ctx context.Context, kafka stream.Config, n int, command func(int) *conv.Command) error {
	producer, err := patient(kafka, b.log)
	if err != nil {
		return err
	}
	now := event.TimeOf(time.Now())
	for from := 0; from < n && err == nil; from += chunk {
		records := make([]*stream.Record, 0, chunk)
		for i := from; i < min(from+chunk, n) && err == nil; i++ {
			c := command(i)
			c.Workspace, c.Request, c.ID, c.ReceivedAt = benchWorkspace, "request/"+manyID(i), manyID(i), now
			var value []byte
			value, err = c.Encode()
			records = append(records, &stream.Record{
				Topic: kafka.Topic(topic.ConversationCommands), Key: conv.Key(c.Workspace, c.ConversationID), Value: value,
				Timestamp: now.Time, Headers: stream.EnvelopeHeaders(c.Envelope()),
			})
		}
		if err == nil {
			_, err = producer.Produce(ctx, records...)
		}
	}
	return errors.Join(err, producer.Close(context.WithoutCancel(ctx)))
}

// opening opens a conversation, which is the dearest of all transitions: it makes a data key.
func opening(i int) *conv.Command {
	return &conv.Command{ConversationID: "opened-" + manyID(i), Type: conv.Opened, Team: "support", Channel: "chat"}
}

// whole is a transition of conversations that have five of them, with a customer each. Many go on at the same time.
func whole(i int) *conv.Command {
	const steps, together = 5, 1000
	round, n := i/(steps*together), i%(steps*together)
	c := &conv.Command{ConversationID: fmt.Sprintf("whole-%d-%d", round, n%together)}
	switch n / together {
	case 0:
		c.Type, c.Team, c.Channel = conv.Opened, "support", "chat"
		c.Customer = &conv.Reference{ID: manyID(n % customers)}
	case 1:
		c.Type, c.Team = conv.Queued, "support"
	case 2:
		c.Type, c.Team = conv.Transferred, "sales"
	case 3:
		c.Type, c.Labels = conv.Labeled, &[]string{"billing", "urgent"}
	default:
		c.Type, c.Reason = conv.Closed, "solved"
	}
	return c
}
