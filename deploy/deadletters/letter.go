// Package deadletters lists, shows and retries the records that a consumer could not process.
package deadletters

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// ID is a dead letter's identity: who could not process which record. It is written group/topic/partition/offset.
type ID struct {
	Group     string
	Topic     string
	Partition int32
	Offset    int64
}

// String writes the identity.
func (id ID) String() string { return id.Group + "/" + topic.Origin(id.Topic, id.Partition, id.Offset) }

// ParseID reads what String writes. Neither a group's name nor a topic's has a slash.
func ParseID(text string) (ID, error) {
	parts := strings.Split(text, "/")
	if len(parts) != 4 || parts[0] == "" || parts[1] == "" {
		return ID{}, fmt.Errorf("%q names no dead letter: want group/topic/partition/offset, as `throughline dead-letters list` prints it", text)
	}
	partition, err := strconv.ParseInt(parts[2], 10, 32)
	if err != nil || partition < 0 {
		return ID{}, fmt.Errorf("%q names no dead letter: %q is no partition", text, parts[2])
	}
	offset, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil || offset < 0 {
		return ID{}, fmt.Errorf("%q names no dead letter: %q is no offset", text, parts[3])
	}
	return ID{parts[0], parts[1], int32(partition), offset}, nil
}

// Letter is a dead letter and what became of it.
type Letter struct {
	event.DeadLetter

	// RetriedAt is when its record was put back; zero where it was not.
	RetriedAt time.Time
	// Again is the dead letter that the record became once more after it was put back; zero where it did not.
	Again ID
}

// ID is the letter's identity.
func (l *Letter) ID() ID { return ID{l.Group, l.Topic, l.Partition, l.Offset} }

// State says in a word or two what became of the letter.
func (l *Letter) State() string {
	switch {
	case l.Again != ID{}:
		return "failed again"
	case !l.RetriedAt.IsZero():
		return "retried"
	default:
		return "open"
	}
}

// Filter chooses dead letters. An empty member chooses all.
type Filter struct {
	// Group and Topic may be given with the installation's prefix or without.
	Group, Topic string
	// Open chooses those that nobody has retried.
	Open bool
}

func (f Filter) has(prefix string, l *Letter) bool {
	same := func(want, got string) bool {
		return want == "" || want == got || prefix+"."+want == got || want == prefix+"."+got
	}
	return same(f.Group, l.Group) && same(f.Topic, l.Topic) && (!f.Open || l.RetriedAt.IsZero())
}

// List reads the dead letters that a filter chooses, in the order in which they were written. One that is in the log twice,
// because its consumer was killed after it wrote it, is one.
func List(ctx context.Context, cfg stream.Config, deps stream.Deps, f Filter) ([]*Letter, error) {
	all, err := read(ctx, cfg, deps)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(l *Letter) bool { return !f.has(cfg.Prefix, l) }), nil
}

// Find reads one dead letter.
func Find(ctx context.Context, cfg stream.Config, deps stream.Deps, id ID) (*Letter, error) {
	all, err := read(ctx, cfg, deps)
	if err != nil {
		return nil, err
	}
	return find(all, id)
}

func find(all []*Letter, id ID) (*Letter, error) {
	if i := slices.IndexFunc(all, func(l *Letter) bool { return l.ID() == id }); i >= 0 {
		return all[i], nil
	}
	return nil, fmt.Errorf("there is no dead letter %s; `throughline dead-letters list` prints those that are", id)
}

// read reads all dead letters. What is no dead letter in their topic is somebody else's and left out.
func read(ctx context.Context, cfg stream.Config, deps stream.Deps) ([]*Letter, error) {
	var all []*Letter
	known := map[ID]*Letter{}
	err := stream.ReadTopic(ctx, cfg, deps, topic.DeadLetters, func(r *stream.Record) error {
		if kind, _ := stream.HeaderValue(r, topic.HeaderType); kind == topic.TypeDeadLetterRetry {
			retry, err := event.ParseDeadLetterRetry(r.Value)
			if err != nil {
				return fmt.Errorf("offset %d of %s: %w", r.Offset, r.Topic, err)
			}
			if l := known[ID{retry.Group, retry.Topic, retry.Partition, retry.Offset}]; l != nil {
				l.RetriedAt = retry.At.Time
			}
			return nil
		}
		if d, err := event.ParseDeadLetter(r.Value); err == nil {
			l := &Letter{DeadLetter: *d}
			if known[l.ID()] == nil {
				known[l.ID()] = l
				all = append(all, l)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	followUp(all)
	return all, nil
}

// followUp notes which letters became dead letters once more: the next one of the same group, of a later record of the
// same partition with the same bytes.
func followUp(all []*Letter) {
	for _, l := range all {
		if l.RetriedAt.IsZero() {
			continue
		}
		var next *Letter
		for _, o := range all {
			if o.Group == l.Group && o.Topic == l.Topic && o.Partition == l.Partition && o.Offset > l.Offset &&
				bytes.Equal(o.Key, l.Key) && bytes.Equal(o.Value, l.Value) && (next == nil || cmp.Less(o.Offset, next.Offset)) {
				next = o
			}
		}
		if next != nil {
			l.Again = next.ID()
		}
	}
}
