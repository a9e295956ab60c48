package link

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/throughline/throughline/ingest/derive"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/workspace"
)

// maxSubmissionBytes bounds a record of submissions. An event of 32 KiB grows sixfold at most when its text is escaped,
// and gets an envelope of less than 4 KiB.
const maxSubmissionBytes = 6*event.MaxEventBytes + 4<<10

// parse reads a record of submissions. An error means that nobody can process it.
func parse(r *stream.Record) (*event.Submission, error) {
	if n := len(r.Value); n > maxSubmissionBytes {
		return nil, fmt.Errorf("record has %d bytes; at most %d are allowed", n, maxSubmissionBytes)
	}
	if !utf8.Valid(r.Value) {
		return nil, errors.New("record is not valid UTF-8")
	}
	s, err := event.ParseSubmission(r.Value)
	if err != nil {
		return nil, err
	}
	if err := workspace.ValidateID(s.Workspace); err != nil {
		return nil, fmt.Errorf("workspace %w", err)
	}
	return s, nil
}

// complete makes a submission of any producer what the edge would have made of it: types in their canonical form, an id,
// a time of receipt. It lists the rules that the submission breaks. It looks at the record alone and at no clock, so
// that a batch that is processed again gives the same.
func complete(s *event.Submission, r *stream.Record) []object.Violation {
	stamp := derive.Time(r)
	s.ReceivedAt = receivedAt(s, stamp)
	now := stamp
	if s.Resolved {
		now = now.Add(derive.ClockSlack)
	}
	broken := append(canonicalise(s), s.Validate(now)...)
	if n := contentBytes(s); n > event.MaxEventBytes {
		broken = append(broken, object.Violation{Detail: fmt.Sprintf("has %d bytes; at most %d are allowed", n, event.MaxEventBytes)})
	}
	if s.ID == "" || object.ValidateID(s.ID) != nil {
		s.ID = event.PlaceID(r.Topic, r.Partition, r.Offset, r.Timestamp)
	}
	return broken
}

func canonicalise(s *event.Submission) []object.Violation {
	var broken []object.Violation
	canonical := func(t object.Type, pointer string) object.Type {
		if t == "" {
			return "" // Validate says that it is required
		}
		parsed, err := object.ParseType(string(t))
		if err != nil {
			broken = append(broken, object.Violation{Pointer: pointer, Detail: err.Error()})
			return t
		}
		return parsed
	}
	s.Type = canonical(s.Type, "/objectType")
	for i := range s.Related[:min(len(s.Related), event.MaxRelatedObjects)] {
		s.Related[i].Type = canonical(s.Related[i].Type, fmt.Sprintf("/relatedObjects/%d/objectType", i))
	}
	return broken
}

// contentBytes is a lower bound of the bytes that a caller needs to say this, so that what the edge accepts is never
// refused here.
func contentBytes(s *event.Submission) int {
	n := len(s.Payload) + len(s.Name) + len(s.Description) + len(s.Icon) + len(s.Source) + len(s.ExternalID)
	for _, l := range s.Related {
		n += len(l.ID) + len(l.ExternalID)
	}
	return n
}

// receivedAt is the time of receipt that a submission carries, where that can be true: not later than its record, and,
// unless the edge has vouched for the rest, not more than a day before it.
func receivedAt(s *event.Submission, stamp time.Time) event.Time {
	at := s.ReceivedAt
	tooEarly := !s.Resolved && at.Before(stamp.Add(-event.Ahead)) || at.Before(time.UnixMilli(0))
	if at.IsZero() || tooEarly || at.After(stamp.Add(derive.ClockSlack)) {
		return event.TimeOf(stamp)
	}
	return event.TimeOf(at.Time)
}

// reasons says in a sentence which rules a submission breaks.
func reasons(broken []object.Violation) string {
	const most = 10
	parts := make([]string, 0, most+1)
	for i, v := range broken {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(broken)-most))
			break
		}
		if v.Pointer == "" {
			parts = append(parts, "the event "+v.Detail)
			continue
		}
		parts = append(parts, v.Pointer+" "+v.Detail)
	}
	return strings.Join(parts, "; ")
}
