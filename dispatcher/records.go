package dispatcher

import (
	"fmt"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// Roles are the names of the consumer groups, without the installation's prefix.
const (
	rolePlan              = "webhook-plan"
	rolePlanConversations = "webhook-plan-conversations"
	rolePlanQueues        = "webhook-plan-queues"
	roleSend              = "webhook-send"
	roleRetry             = "webhook-retry"
	roleReplay            = "webhook-replay"
)

func laneKey(workspace, endpoint string, subject object.Ref) []byte {
	return topic.Key(workspace, webhook.LaneType, endpoint, string(subject.Type), subject.ID)
}

func replayKey(workspace, id string) []byte { return topic.Key(workspace, webhook.ReplayType, id) }

func cancelKey(workspace, id string) []byte { return topic.Key(workspace, webhook.CancelType, id) }

// Group is a consumer group and what it reads. Its first offsets are committed before it runs.
type Group struct {
	Name   string
	Topics []topic.Name
}

// Groups lists the consumer groups of the dispatcher.
func Groups() []Group {
	return []Group{
		{Name: rolePlan, Topics: []topic.Name{topic.Events}},
		{Name: rolePlanConversations, Topics: []topic.Name{topic.Conversations}},
		{Name: rolePlanQueues, Topics: []topic.Name{topic.WebhookQueues}},
		{Name: roleSend, Topics: []topic.Name{topic.WebhookDeliveries}},
		{Name: roleRetry, Topics: tierTopics()},
		{Name: roleReplay, Topics: []topic.Name{topic.WebhookReplays}},
	}
}

func tierTopics() []topic.Name {
	var names []topic.Name
	for _, t := range webhook.Tiers() {
		names = append(names, t.Topic)
	}
	return names
}

// records makes the records that the dispatcher writes.
type records struct {
	kafka stream.Config
	// deliveries is the number of partitions of webhook-deliveries, and of every topic that is keyed by endpoint.
	deliveries int
	// queues is the number of partitions of webhook-queues.
	queues int
}

// maxDeadKeyBytes bounds what a dead letter keeps of its source's key.
const maxDeadKeyBytes = 4 << 10

func (r records) record(name topic.Name, partition int32, key, value []byte, e topic.Envelope) *stream.Record {
	return &stream.Record{
		Topic: r.kafka.Topic(name), Partition: partition, Key: key, Value: value, Headers: stream.Headers(e.Headers()),
	}
}

// home is the partition of an endpoint in every topic that is keyed by endpoint.
func (r records) home(key []byte) int32 { return stream.PartitionOf(key, r.deliveries) }

// delivery is a delivery in webhook-deliveries or a retry topic.
func (r records) delivery(name topic.Name, d *webhook.Delivery) (*stream.Record, error) {
	value, err := d.Encode()
	if err != nil {
		return nil, err
	}
	key := endpointKey(d.Workspace, d.Endpoint)
	return r.record(name, r.home(key), key, value, topic.Envelope{
		ID: d.ID, Type: topic.TypeWebhookDelivery, Workspace: d.Workspace, Time: d.PlannedAt.Time,
	}), nil
}

func (r records) attempt(a *webhook.Attempt) (*stream.Record, error) {
	value, err := a.Encode()
	if err != nil {
		return nil, err
	}
	key := endpointKey(a.Workspace, a.Endpoint)
	return r.record(topic.WebhookAttempts, r.home(key), key, value, topic.Envelope{
		ID: fmt.Sprintf("%s/%d", a.Delivery, a.Number), Type: topic.TypeWebhookAttempt, Workspace: a.Workspace, Time: a.At.Time,
	}), nil
}

// lane is a line as it stands, or a tombstone where nothing waits in it.
func (r records) lane(partition int32, ln *orderedLine) (*stream.Record, error) {
	l := &webhook.Lane{
		Workspace: ln.queue.workspace, Endpoint: ln.queue.endpoint, Subject: ln.subject, Attempts: ln.attempts, DueAt: event.TimeOf(ln.due),
	}
	for _, e := range ln.entries {
		l.Offsets = append(l.Offsets, e.offset)
	}
	var value []byte
	if len(l.Offsets) > 0 {
		var err error
		if value, err = l.Encode(); err != nil {
			return nil, err
		}
	}
	return r.record(topic.WebhookLanes, partition, laneKey(l.Workspace, l.Endpoint, l.Subject), value, topic.Envelope{
		ID: l.Subject.ID, Type: topic.TypeWebhookLane, Workspace: l.Workspace, Time: l.DueAt.Time,
	}), nil
}

// replay is a job as it stands, in the partition in which it began.
func (r records) replay(j *webhook.Replay) (*stream.Record, error) {
	value, err := j.Encode()
	if err != nil {
		return nil, err
	}
	key := replayKey(j.Workspace, j.ID)
	return r.record(topic.WebhookReplays, r.home(key), key, value, topic.Envelope{
		ID: j.ID, Type: topic.TypeWebhookReplay, Workspace: j.Workspace, Time: j.UpdatedAt.Time,
	}), nil
}

func (r records) state(s *webhook.State, at event.Time) (*stream.Record, error) {
	value, err := s.Encode()
	if err != nil {
		return nil, err
	}
	return r.record(topic.WebhookEndpoints, 0, stateKey(s.Workspace, s.ID), value, topic.Envelope{
		ID: s.ID, Type: topic.TypeWebhookState, Workspace: s.Workspace, Time: at.Time,
	}), nil
}

// queueKey is the key of everything about the queue of a team.
func queueKey(workspace, team string) []byte {
	return topic.Key(workspace, string(webhook.QueueType), team)
}

func (r records) queueChange(c *webhook.QueueChange) (*stream.Record, error) {
	value, err := c.Encode()
	if err != nil {
		return nil, err
	}
	key := queueKey(c.Workspace, c.Team)
	return r.record(topic.WebhookQueues, stream.PartitionOf(key, r.queues), key, value, topic.Envelope{
		ID: transitionID(c.ConversationID, c.ConversationVersion), Type: topic.TypeQueueChange, Workspace: c.Workspace, Time: c.OccurredAt.Time,
	}), nil
}

// queueSize is the size of a queue, in the partition of its changes.
func (r records) queueSize(partition int32, s *webhook.QueueSize, at time.Time) (*stream.Record, error) {
	value, err := s.Encode()
	if err != nil {
		return nil, err
	}
	return r.record(topic.WebhookQueueSizes, partition, queueKey(s.Workspace, s.Team), value, topic.Envelope{
		ID: s.Team, Type: topic.TypeQueueSize, Workspace: s.Workspace, Time: at,
	}), nil
}

// deadLetter keeps a record that nobody can process.
func (r records) deadLetter(group, reason, workspace string, source *stream.Record) (*stream.Record, error) {
	letter := event.DeadLetter{
		Group: group, Topic: source.Topic, Partition: source.Partition, Offset: source.Offset, Reason: reason,
		Workspace: workspace, At: event.TimeOf(source.Timestamp), Key: source.Key[:min(len(source.Key), maxDeadKeyBytes)],
		Value: source.Value,
	}
	value, err := letter.Encode()
	if err != nil {
		return nil, err
	}
	out := r.record(topic.DeadLetters, 0, source.Key[:min(len(source.Key), maxDeadKeyBytes)], value, topic.Envelope{
		ID:   group + "/" + topic.Origin(source.Topic, source.Partition, source.Offset),
		Type: topic.TypeDeadLetter, Workspace: workspace, Time: letter.At.Time,
	})
	stream.SetOrigin(out, source)
	return out, nil
}
