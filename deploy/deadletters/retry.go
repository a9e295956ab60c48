package deadletters

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/throughline/throughline/dispatcher"
	"github.com/throughline/throughline/ingest/conversation"
	"github.com/throughline/throughline/ingest/link"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// role begins the transactional id of retries.
const role = "dead-letters"

// Outcome is what Retry has done.
type Outcome struct {
	ID ID `json:"id"`
	// Already says that the record was put back before, at RetriedAt, and that nothing was done now.
	Already   bool      `json:"already"`
	RetriedAt time.Time `json:"retriedAt"`
}

// Retry puts the record of a dead letter back at the end of the partition that it is from, with its own bytes and headers,
// so that the group that could not process it gets it once more. The note that it was put back is in the same transaction,
// and one retry runs at a time; so however often Retry is called and wherever it is killed, the record is put back once.
func Retry(ctx context.Context, cfg stream.Config, deps stream.Deps, id ID) (Outcome, error) {
	out := Outcome{ID: id}
	err := stream.Exclusive(ctx, cfg, deps, role, func(ctx context.Context) ([]*stream.Record, error) {
		l, err := Find(ctx, cfg, deps, id)
		if err != nil {
			return nil, err
		}
		if out.Already = !l.RetriedAt.IsZero(); out.Already {
			out.RetriedAt = l.RetriedAt
			return nil, nil
		}
		if err := retryable(cfg.Prefix, id); err != nil {
			return nil, err
		}
		back, err := original(ctx, cfg, deps, l)
		if err != nil {
			return nil, err
		}
		out.RetriedAt = time.Now().UTC()
		note, err := note(cfg, l, out.RetriedAt)
		return []*stream.Record{back, note}, err
	})
	if err != nil {
		return Outcome{}, fmt.Errorf("retry %s: %w", id, err)
	}
	return out, nil
}

// errRebuild says why a record is not put back where others have used it.
var errRebuild = errors.New("other consumers of this topic have processed the record, and would do it again: once the group can read it, " +
	"have it read the log anew (a projector's table is rebuilt)")

// retryable says whether a record can be put back: only where the group that refused it is the one that acts on the records
// of the topic.
func retryable(prefix string, id ID) error {
	name := topic.Name(strings.TrimPrefix(id.Topic, prefix+"."))
	group := strings.TrimPrefix(id.Group, prefix+".")
	switch {
	case id.Topic != prefix+"."+string(name):
		return fmt.Errorf("topic %s is none of this installation, whose topics begin with %q", id.Topic, prefix+".")
	case slices.Contains(queues()[group], name):
		return nil
	default:
		return errRebuild
	}
}

// queues are the topics whose records are work for one group alone, by group. The event log reads submissions, too, and
// shows a submission that is put back as it does any other.
func queues() map[string][]topic.Name {
	all := map[string][]topic.Name{
		link.Group:         {topic.Submissions},
		conversation.Group: {topic.ConversationCommands},
	}
	for _, g := range dispatcher.Groups() {
		for _, name := range g.Topics {
			if isQueue(name) {
				all[g.Name] = append(all[g.Name], name)
			}
		}
	}
	return all
}

// isQueue says whether the records of a topic are work that is done once. A topic that is kept for ever is a source of truth,
// and in a compacted one an old record would take the place of a newer one.
func isQueue(name topic.Name) bool {
	return slices.ContainsFunc(topic.All(), func(s topic.Spec) bool { return s.Name == name && !s.Compacted && s.Retention > 0 })
}

// original is the record as it is to be put back: from the log while that has it, else from the letter.
func original(ctx context.Context, cfg stream.Config, deps stream.Deps, l *Letter) (*stream.Record, error) {
	back := &stream.Record{Topic: l.Topic, Partition: l.Partition, Key: l.Key, Value: l.Value}
	stored, err := stream.ReadRecord(ctx, cfg, deps, stream.Offset{
		TopicPartition: stream.TopicPartition{Topic: l.Topic, Partition: l.Partition}, Offset: l.Offset,
	})
	switch lost, gone := errors.AsType[*stream.OffsetLostError](err); {
	case gone && lost.LogEnd < l.Offset:
		return nil, fmt.Errorf("topic %s ends before the record; it is not the topic that the dead letter is from", l.Topic)
	case gone && l.Cut:
		return nil, errors.New("the log does not have the record any more, and the dead letter has its beginning only")
	case gone:
	case err != nil:
		return nil, err
	case stored != nil && bytes.HasPrefix(stored.Value, l.Value) && bytes.HasPrefix(stored.Key, l.Key):
		back.Key, back.Value = stored.Key, stored.Value
		// What it was derived from was answered by the record itself, not by this copy.
		back.Headers = slices.DeleteFunc(stored.Headers, func(h stream.Header) bool {
			return h.Key == topic.HeaderOrigin || h.Key == topic.HeaderRetryOf
		})
	default:
		return nil, errors.New("the log has another record in this place; the topic was made anew")
	}
	back.Headers = append(back.Headers, stream.Header{Key: topic.HeaderRetryOf, Value: []byte(l.ID().String())})
	return back, nil
}

// note is the record that says that a dead letter was retried.
func note(cfg stream.Config, l *Letter, at time.Time) (*stream.Record, error) {
	retry := event.DeadLetterRetry{Group: l.Group, Topic: l.Topic, Partition: l.Partition, Offset: l.Offset, At: event.TimeOf(at)}
	value, err := retry.Encode()
	if err != nil {
		return nil, err
	}
	envelope := topic.Envelope{ID: l.ID().String(), Type: topic.TypeDeadLetterRetry, Time: at}
	return &stream.Record{
		Topic: cfg.Topic(topic.DeadLetters), Key: l.Key, Value: value, Headers: stream.Headers(envelope.Headers()),
	}, nil
}
