// Package position makes and reads positions: what a write answers, and what a read may ask to be waited for.
//
// A position is a vector of offsets, because a batch touches many partitions, and says for each in which topic the
// write stands. It is opaque to clients, bound to its workspace, and carries no secret.
package position

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/throughline/throughline/schema/topic"
)

// Entry says that a write stands at Offset of one partition.
type Entry struct {
	Topic     topic.Name
	Partition int32
	Offset    int64
	// Pending says that the record's primary object was not known when it was written, so that link may move it to
	// another partition.
	Pending bool
}

// Position covers the greatest offset of each partition that was written.
type Position struct {
	entries map[place]int64
}

type place struct {
	topic     topic.Name
	partition int32
	pending   bool
}

// ErrMalformed is what Parse answers for a text that is no position, or one of another workspace.
var ErrMalformed = errors.New("not a position of this workspace")

// MaxLength bounds the text of a position, in bytes. A batch over 12 partitions of two topics needs 400.
const MaxLength = 16 << 10

const version = 1

// The numbers of topics in the wire form. They are part of the contract with positions that clients hold.
func topics() []topic.Name {
	return []topic.Name{
		"", topic.Submissions, topic.Objects, topic.Workspaces, topic.ConversationCommands,
		topic.WebhookEndpoints, topic.WebhookDeliveries, topic.WebhookReplays,
	}
}

// Add widens the position to cover a record.
func (p *Position) Add(e Entry) {
	if p.entries == nil {
		p.entries = make(map[place]int64)
	}
	at := place{e.Topic, e.Partition, e.Pending}
	if have, ok := p.entries[at]; !ok || e.Offset > have {
		p.entries[at] = e.Offset
	}
}

// Merge widens the position to cover another.
func (p *Position) Merge(other Position) {
	for _, e := range other.Entries() {
		p.Add(e)
	}
}

// Empty says whether the position covers nothing.
func (p Position) Empty() bool { return len(p.entries) == 0 }

// Entries lists what the position covers, by topic and partition.
func (p Position) Entries() []Entry {
	entries := make([]Entry, 0, len(p.entries))
	for at, offset := range p.entries {
		entries = append(entries, Entry{at.topic, at.partition, offset, at.pending})
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		if a.Topic != b.Topic {
			return slices.Index(topics(), a.Topic) - slices.Index(topics(), b.Topic)
		}
		if a.Partition != b.Partition {
			return int(a.Partition) - int(b.Partition)
		}
		if a.Pending == b.Pending {
			return 0
		}
		if b.Pending {
			return -1
		}
		return 1
	})
	return entries
}

// Encode writes the position for a workspace's client; nil where it covers nothing.
func (p Position) Encode(workspace string) *string {
	if p.Empty() {
		return nil
	}
	b := []byte{version}
	b = append(b, bind(workspace)...)
	for _, e := range p.Entries() {
		kind := uint64(slices.Index(topics(), e.Topic)) << 1
		if e.Pending {
			kind |= 1
		}
		b = binary.AppendUvarint(b, kind)
		b = binary.AppendUvarint(b, uint64(uint32(e.Partition)))
		b = binary.AppendUvarint(b, uint64(e.Offset))
	}
	b = append(b, sum(b)...)
	s := base64.RawURLEncoding.EncodeToString(b)
	return &s
}

// Parse reads what Encode wrote for the same workspace.
func Parse(s, workspace string) (Position, error) {
	var p Position
	if len(s) > MaxLength {
		return p, ErrMalformed
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) < 1+bound+bound || b[0] != version {
		return p, ErrMalformed
	}
	body, tail := b[:len(b)-bound], b[len(b)-bound:]
	if string(sum(body)) != string(tail) || string(body[1:1+bound]) != string(bind(workspace)) {
		return p, ErrMalformed
	}
	body = body[1+bound:]
	for len(body) > 0 {
		var n [3]uint64
		for i := range n {
			v, w := binary.Uvarint(body)
			if w <= 0 {
				return Position{}, ErrMalformed
			}
			n[i], body = v, body[w:]
		}
		known := topics()
		if n[0]>>1 == 0 || n[0]>>1 >= uint64(len(known)) || n[1] > 1<<31-1 || n[2] > 1<<63-1 {
			return Position{}, ErrMalformed
		}
		p.Add(Entry{known[n[0]>>1], int32(n[1]), int64(n[2]), n[0]&1 == 1})
	}
	return p, nil
}

const bound = 6

func bind(workspace string) []byte {
	h := sha256.Sum256([]byte("ws\x00" + workspace))
	return h[:bound]
}

func sum(b []byte) []byte { h := sha256.Sum256(b); return h[:bound] }
