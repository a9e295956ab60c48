package registry

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// Records makes the records of which a Registry is a view: what the edge appends for an object.
type Records struct {
	Kafka  stream.Config
	Master *seal.Master
	// Now is the clock.
	Now func() time.Time
}

// NewKey makes a data key of a subject, with its id, and its record. That must be acknowledged before anything that the
// key has sealed is written, so that nobody meets a sealed record whose key is not in the log.
func (m Records) NewKey(workspace string, ref object.Ref) (string, *seal.DataKey, *stream.Record, error) {
	now := m.Now()
	rec, key, err := m.Master.NewKey(workspace, ref, now)
	if err != nil {
		return "", nil, nil, err
	}
	value, err := rec.Encode()
	if err != nil {
		return "", nil, nil, err
	}
	return rec.ID, key, &stream.Record{
		Topic: m.Kafka.Topic(topic.SubjectKeys), Key: topic.Key(workspace, string(ref.Type), ref.ID, rec.ID), Value: value, Timestamp: now,
		Headers: stream.EnvelopeHeaders(topic.Envelope{ID: rec.ID, Type: topic.TypeSubjectKey, Workspace: workspace, Time: now}),
	}, nil
}

// Seal makes the record's value of an object: what identifies and links it in the clear, what is personal sealed.
func (m Records) Seal(workspace string, o *object.Object, keyID string, key *seal.DataKey) ([]byte, error) {
	rec := &object.Record{
		Version: object.RecordVersion, Workspace: workspace, Type: o.Type, ID: o.ID,
		UpdatedAt: m.Now().UTC().Truncate(time.Millisecond), KeyID: keyID,
	}
	p := object.Personal{ExternalID: o.ExternalID, Name: o.Name, Attributes: string(o.Attributes)}
	if o.ExternalID != "" {
		rec.ExternalToken = m.Master.ExternalToken(workspace, o.Type, o.ExternalID)
	}
	for i, l := range o.Relations {
		rel := object.Relation{Type: l.Type, ID: l.ID}
		if l.ExternalID != "" {
			rel.ExternalToken = m.Master.ExternalToken(workspace, l.Type, l.ExternalID)
			if p.RelationExternalIDs == nil {
				p.RelationExternalIDs = make([]string, len(o.Relations))
			}
			p.RelationExternalIDs[i] = l.ExternalID
		}
		rec.Relations = append(rec.Relations, rel)
	}
	plain, err := json.Marshal(&p)
	if err != nil {
		return nil, fmt.Errorf("encode object: %w", err)
	}
	rec.Sealed = key.Seal(plain, rec.AdditionalData())
	value, err := json.Marshal(rec)
	if err != nil {
		return nil, fmt.Errorf("encode object: %w", err)
	}
	return value, nil
}

// Object makes the record of an object of its value, which is nil for a tombstone.
func (m Records) Object(workspace string, ref object.Ref, value []byte) *stream.Record {
	now := m.Now()
	id := uuid.Must(uuid.NewV7()).String() // fails only where the system has no randomness
	return &stream.Record{
		Topic: m.Kafka.Topic(topic.Objects), Key: topic.Key(workspace, string(ref.Type), ref.ID), Value: value, Timestamp: now,
		Headers: stream.Headers(topic.Envelope{ID: id, Type: topic.TypeObject, Workspace: workspace, Time: now}.Headers()),
	}
}
