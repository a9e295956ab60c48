package link

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"github.com/throughline/throughline/ingest/derive"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// outputs makes the records that answer a submission. All of them name the submission as their origin.
type outputs struct{ derive.Records }

func (o outputs) event(e *event.Event, digest [16]byte, source *stream.Record) (*stream.Record, error) {
	value, err := e.Encode()
	if err != nil {
		return nil, err
	}
	envelope := topic.Envelope{ID: e.ID, Type: topic.TypeEvent, Workspace: e.Workspace, Time: e.OccurredAt.Time}
	key := topic.Key(e.Workspace, string(e.Type), e.ObjectID)
	hexed := stream.Header{Key: topic.HeaderDigest, Value: hex.AppendEncode(nil, digest[:])}
	return o.Record(topic.Events, source.Partition, key, value, source, envelope, hexed), nil
}

// rejection says why a submission did not become an event. What the submission says of itself is kept as far as it is
// valid; primary is nil where the object is not known.
func (o outputs) rejection(s *event.Submission, primary *object.Ref, status event.Status, reason string, source *stream.Record) (*stream.Record, error) {
	rej := event.Rejection{
		ID: s.ID, Workspace: s.Workspace, Status: status, Reason: reason, ReceivedAt: s.ReceivedAt,
		Name:       beginning(s.Name, event.MaxNameLength),
		Submission: cut(string(source.Value), event.MaxEventBytes),
	}
	if t, err := object.ParseType(string(s.Type)); err == nil {
		rej.Type = t
	}
	if object.ValidateID(s.ObjectID) == nil {
		rej.ObjectID = s.ObjectID
	}
	if object.ValidateID(s.ExternalID) == nil {
		rej.ExternalID = s.ExternalID
	}
	key := topic.Key(s.Workspace)
	if primary != nil {
		rej.Type, rej.ObjectID = primary.Type, primary.ID
		key = topic.Key(s.Workspace, string(primary.Type), primary.ID)
	}
	value, err := rej.Encode()
	if err != nil {
		return nil, err
	}
	envelope := topic.Envelope{ID: rej.ID, Type: topic.TypeRejection, Workspace: rej.Workspace, Time: rej.ReceivedAt.Time}
	return o.Record(topic.Rejections, source.Partition, key, value, source, envelope), nil
}

// forward is the submission once more, resolved and complete, in the partition of its primary object.
func (o outputs) forward(s *event.Submission, primary object.Ref, p int32, source *stream.Record) (*stream.Record, error) {
	resolved := *s
	resolved.Resolved, resolved.Type, resolved.ObjectID = true, primary.Type, primary.ID
	value, err := resolved.Encode()
	if err != nil {
		return nil, err
	}
	envelope := topic.Envelope{ID: s.ID, Type: topic.TypeSubmission, Workspace: s.Workspace, Time: s.ReceivedAt.Time}
	key := topic.Key(s.Workspace, string(primary.Type), primary.ID)
	return o.Record(topic.Submissions, p, key, value, source, envelope), nil
}

// deadLetter keeps a record that nobody can process.
func (o outputs) deadLetter(group, reason, workspace string, source *stream.Record) (*stream.Record, error) {
	return o.DeadLetter(group, reason, workspace, event.TimeOf(derive.Time(source)), source)
}

// beginning is at most n code points of s.
func beginning(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// cut is at most n bytes of s, whole code points.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.Clone(s[:n])
}
