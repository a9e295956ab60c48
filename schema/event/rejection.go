package event

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/throughline/throughline/schema/object"
)

// Status is what became of a submission, as the event log says it.
type Status string

// The statuses of the event log.
const (
	StatusLinked    Status = "LINKED"
	StatusPending   Status = "PENDING"
	StatusDuplicate Status = "DUPLICATE"
	StatusNotFound  Status = "OBJECT_NOT_FOUND"
	StatusInvalid   Status = "INVALID"
	StatusFailed    Status = "FAILED"
)

// Statuses lists every status.
func Statuses() []Status {
	return []Status{StatusLinked, StatusPending, StatusDuplicate, StatusNotFound, StatusInvalid, StatusFailed}
}

// Rejection is a submission that did not become an event, in the topic rejections, which expires. Its key is the
// primary object's where that is known, else the workspace's.
type Rejection struct {
	Version   int    `json:"v"`
	ID        string `json:"id"`
	Workspace string `json:"workspace"`
	Status    Status `json:"processingStatus"`
	// Reason is a sentence for the person who looks at the event log.
	Reason     string      `json:"reason"`
	Type       object.Type `json:"objectType,omitempty"`
	ObjectID   string      `json:"objectId,omitempty"`
	ExternalID string      `json:"externalId,omitempty"`
	Name       string      `json:"name,omitempty"`
	ReceivedAt Time        `json:"receivedAt"`
	// Submission is what was sent, as text: it need not be JSON. It is cut at MaxEventBytes.
	Submission string `json:"submission,omitempty"`
}

// Encode writes the record's value.
func (r *Rejection) Encode() ([]byte, error) {
	r.Version = RecordVersion
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode rejection: %w", err)
	}
	return b, nil
}

// ParseRejection reads a record's value. It ignores members that it does not know.
func ParseRejection(value []byte) (*Rejection, error) {
	var r Rejection
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("parse rejection: %w", err)
	}
	if r.Version < 1 || r.Version > RecordVersion {
		return nil, fmt.Errorf("parse rejection: version %d is not known, the newest known is %d", r.Version, RecordVersion)
	}
	if r.Workspace == "" || r.ID == "" || r.Status == "" {
		return nil, errors.New("parse rejection: workspace, id and processingStatus are required")
	}
	return &r, nil
}

// DeadLetter is a record that nobody could process, in the topic dead-letters. Its identity is where it stood: group,
// topic, partition and offset.
type DeadLetter struct {
	Version   int    `json:"v"`
	Group     string `json:"group"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Reason    string `json:"reason"`
	// Workspace is empty where not even that could be read.
	Workspace string `json:"workspace,omitempty"`
	At        Time   `json:"at"`
	Key       []byte `json:"key,omitempty"`
	Value     []byte `json:"value,omitempty"`
	// Cut says that Value is only the beginning.
	Cut bool `json:"cut,omitempty"`
}

// MaxDeadLetterBytes is how much of a record's value its dead letter keeps.
const MaxDeadLetterBytes = 256 << 10

// Encode writes the record's value, cutting the dead record's own where it is too long.
func (d *DeadLetter) Encode() ([]byte, error) {
	d.Version = RecordVersion
	if len(d.Value) > MaxDeadLetterBytes {
		d.Value, d.Cut = d.Value[:MaxDeadLetterBytes], true
	}
	b, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode dead letter: %w", err)
	}
	return b, nil
}

// ParseDeadLetter reads a record's value. It ignores members that it does not know.
func ParseDeadLetter(value []byte) (*DeadLetter, error) {
	var d DeadLetter
	if err := json.Unmarshal(value, &d); err != nil {
		return nil, fmt.Errorf("parse dead letter: %w", err)
	}
	if d.Version < 1 || d.Version > RecordVersion {
		return nil, fmt.Errorf("parse dead letter: version %d is not known, the newest known is %d", d.Version, RecordVersion)
	}
	return &d, nil
}

// DeadLetterRetry says, in the topic dead-letters, that a dead letter's record was put back into the topic that it is from.
// Group, Topic, Partition and Offset are those of the dead letter; the record that was put back names it in its header
// topic.HeaderRetryOf, and was written in the same transaction. Read as a dead letter it is one of no workspace.
type DeadLetterRetry struct {
	Version   int    `json:"v"`
	Group     string `json:"group"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	At        Time   `json:"at"`
}

// Encode writes the record's value.
func (r *DeadLetterRetry) Encode() ([]byte, error) {
	r.Version = RecordVersion
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode retry of a dead letter: %w", err)
	}
	return b, nil
}

// ParseDeadLetterRetry reads a record's value. It ignores members that it does not know.
func ParseDeadLetterRetry(value []byte) (*DeadLetterRetry, error) {
	var r DeadLetterRetry
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("parse retry of a dead letter: %w", err)
	}
	if r.Version < 1 || r.Version > RecordVersion {
		return nil, fmt.Errorf("parse retry of a dead letter: version %d is not known, the newest known is %d", r.Version, RecordVersion)
	}
	return &r, nil
}
