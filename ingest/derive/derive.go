// Package derive makes the records that a processor writes for one that it has read: each names its source as its origin.
package derive

import (
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// maxDeadKeyBytes bounds what a dead letter keeps of its source's key, which any producer may have made of any length.
const maxDeadKeyBytes = 4 << 10

// Records makes records of an installation.
type Records struct{ Kafka stream.Config }

// Record is a record of a topic, in partition p. The headers in more come behind the envelope's.
func (o Records) Record(name topic.Name, p int32, key, value []byte, source *stream.Record, e topic.Envelope, more ...stream.Header) *stream.Record {
	headers := append(stream.EnvelopeHeaders(e), more...)
	r := &stream.Record{Topic: o.Kafka.Topic(name), Partition: p, Key: key, Value: value, Headers: headers}
	stream.SetOrigin(r, source)
	return r
}

// DeadLetter keeps a record that a group could not process. at is when it was written, as far as that can be believed;
// workspace is empty where it is not known.
func (o Records) DeadLetter(group, reason, workspace string, at event.Time, source *stream.Record) (*stream.Record, error) {
	key := source.Key[:min(len(source.Key), maxDeadKeyBytes)]
	letter := event.DeadLetter{
		Group: group, Topic: source.Topic, Partition: source.Partition, Offset: source.Offset, Reason: reason,
		Workspace: workspace, At: at, Key: key, Value: source.Value,
	}
	value, err := letter.Encode()
	if err != nil {
		return nil, err
	}
	envelope := topic.Envelope{
		ID:   group + "/" + topic.Origin(source.Topic, source.Partition, source.Offset),
		Type: topic.TypeDeadLetter, Workspace: workspace, Time: letter.At.Time,
	}
	// The topic has one partition, whatever partition the source stood in.
	return o.Record(topic.DeadLetters, 0, key, value, source, envelope), nil
}
