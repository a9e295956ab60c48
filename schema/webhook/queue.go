package webhook

import (
	"errors"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// QueueType is the type of a team's queue as the subject of deliveries; its id is the team's name, which is empty for the
// conversations that no team was named for. It is the middle part of the keys of QueueChange and QueueSize too.
const QueueType object.Type = "QUEUE"

// QueueChange says that a conversation came into the queue of a team or left it, in the topic webhook-queues under the
// queue's key. The order of the topic is the one in which the queue's size is counted. The record's origin is the
// transition.
type QueueChange struct {
	Version        int    `json:"v"`
	Workspace      string `json:"workspace"`
	Team           string `json:"team,omitempty"`
	ConversationID string `json:"conversationId"`
	// ConversationVersion and Transition are those of the transition that moved the conversation.
	ConversationVersion int64  `json:"conversationVersion"`
	Transition          string `json:"transition"`
	// Joined says that the conversation came; otherwise it left.
	Joined     bool       `json:"joined,omitempty"`
	OccurredAt event.Time `json:"occurredAt"`
	ReceivedAt event.Time `json:"receivedAt"`
}

// Encode writes the record's value.
func (c *QueueChange) Encode() ([]byte, error) {
	c.Version = RecordVersion
	return encode("queue change", c)
}

// ParseQueueChange reads a record's value. It ignores members that it does not know.
func ParseQueueChange(value []byte) (*QueueChange, error) {
	var c QueueChange
	if err := decode("queue change", value, &c, &c.Version); err != nil {
		return nil, err
	}
	if c.Workspace == "" || c.ConversationID == "" || c.ConversationVersion < 1 {
		return nil, errors.New("parse queue change: workspace, conversationId and conversationVersion are required")
	}
	return &c, nil
}

// QueueSize is the size of a team's queue in the compacted topic webhook-queue-sizes, under the queue's key. It is written
// in the transaction that commits the changes up to its origin.
type QueueSize struct {
	Version   int    `json:"v"`
	Workspace string `json:"workspace"`
	Team      string `json:"team,omitempty"`
	QueueCount

	// Before is the count as it was before the transaction. It counts where the transaction is not committed after all,
	// which the embedded broker alone knows: one that was cut off by a kill, and is there in parts.
	Before QueueCount `json:"before"`
}

// QueueCount is a size and what is in it.
type QueueCount struct {
	Size int `json:"size"`
	// Counted is, by partition of conversations, the offset of the last transition that was counted: what comes a second
	// time is not counted again.
	Counted map[int32]int64 `json:"counted,omitempty"`
}

// Encode writes the record's value.
func (s *QueueSize) Encode() ([]byte, error) {
	s.Version = RecordVersion
	return encode("queue size", s)
}

// ParseQueueSize reads a record's value. It ignores members that it does not know.
func ParseQueueSize(value []byte) (*QueueSize, error) {
	var s QueueSize
	if err := decode("queue size", value, &s, &s.Version); err != nil {
		return nil, err
	}
	if s.Workspace == "" || s.Size < 0 || s.Before.Size < 0 {
		return nil, errors.New("parse queue size: workspace and sizes of 0 or more are required")
	}
	return &s, nil
}
