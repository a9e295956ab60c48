package webhook

import (
	"errors"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// LaneType is the second part of the keys in the topic webhook-lanes: workspace/LANE/endpoint/type/id of the subject.
const LaneType = "LANE"

// Lane is the deliveries of one conversation to one endpoint that wait for the first of them, in the topic webhook-lanes, in
// the partition of the endpoint. They are told of in this order and no other. The deliveries stay where they are in
// webhook-deliveries; they count as finished there, so that they hold nothing up.
type Lane struct {
	Version   int        `json:"v"`
	Workspace string     `json:"workspace"`
	Endpoint  string     `json:"endpoint"`
	Subject   object.Ref `json:"subject"`
	// Offsets are those of the deliveries, in the partition of this record, in their order.
	Offsets []int64 `json:"offsets"`
	// Attempts counts those of the first delivery, and DueAt is when its next one may be made.
	Attempts int        `json:"attempts,omitempty"`
	DueAt    event.Time `json:"dueAt,omitzero"`
}

// Encode writes the record's value.
func (l *Lane) Encode() ([]byte, error) {
	l.Version = RecordVersion
	return encode("lane", l)
}

// ParseLane reads a record's value. It ignores members that it does not know.
func ParseLane(value []byte) (*Lane, error) {
	var l Lane
	if err := decode("lane", value, &l, &l.Version); err != nil {
		return nil, err
	}
	if l.Workspace == "" || l.Endpoint == "" || l.Subject.ID == "" || len(l.Offsets) == 0 {
		return nil, errors.New("parse webhook lane: workspace, endpoint, subject and offsets are required")
	}
	return &l, nil
}
