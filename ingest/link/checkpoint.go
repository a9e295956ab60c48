package link

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/throughline/throughline/schema/stream"
)

// storeForm is the version of the form of the store; what another version wrote is rebuilt from the log, but for the one
// before, which had no Beyond.
const (
	storeForm  = 2
	formBefore = 1
)

// maxBeyond bounds what a checkpoint says of inputs that were answered out of turn: half a million of them. A transaction
// that was torn has 20,000 at most.
const maxBeyond = 64 << 10

// checkpoint says up to where in the log a partition's entries are complete. It is written with them in one batch.
type checkpoint struct {
	Form int `json:"form"`
	// Topics are the ids of submissions, events and rejections: a topic that was made anew makes the entries void.
	Topics [3][16]byte `json:"topics"`
	// Input: every submission below this offset is answered.
	Input int64 `json:"input"`
	// Beyond has those from Input on that are answered by outputs before Events and Rejections: stream.AnsweredInputs.
	// It is empty unless a transaction was torn, or the group's position lost.
	Beyond []byte `json:"beyond,omitempty"`
	// Events and Rejections are the next offsets to read of the partition's outputs.
	Events     int64 `json:"events"`
	Rejections int64 `json:"rejections"`
	// Entries counts the window's entries.
	Entries int `json:"entries"`
	// Forgot is the latest time of receipt, in epoch milliseconds, of what was dropped for the number of entries; 0 where
	// all of the last day is there.
	Forgot int64 `json:"forgot,omitempty"`
}

// answered is what the checkpoint knows of inputs.
func (c *checkpoint) answered() stream.AnsweredInputs {
	return stream.AnsweredInputs{Below: c.Input, Beyond: c.Beyond}
}

// move notes what is answered by outputs before these offsets. Where more is answered out of turn than a checkpoint may
// say, it does not move over the outputs: they tell it again.
func (c *checkpoint) move(in stream.AnsweredInputs, events, rejections int64) {
	if len(in.Beyond) > maxBeyond {
		in = c.answered().From(in.Below)
	} else {
		c.Events, c.Rejections = max(c.Events, events), max(c.Rejections, rejections)
	}
	c.Input, c.Beyond = in.Below, in.Beyond
}

func (c *checkpoint) put(b *pebble.Batch, p int32) error {
	value, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode checkpoint: %w", err)
	}
	if err := b.Set(prefix(spaceCheckpoint, p), value, nil); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	return nil
}

// readCheckpoint answers a zero checkpoint where the store has none of this form.
func readCheckpoint(db *pebble.DB, p int32) (checkpoint, error) {
	value, closer, err := db.Get(prefix(spaceCheckpoint, p))
	if errors.Is(err, pebble.ErrNotFound) {
		return checkpoint{}, nil
	}
	if err != nil {
		return checkpoint{}, fmt.Errorf("read checkpoint: %w", err)
	}
	var c checkpoint
	err = errors.Join(json.Unmarshal(value, &c), closer.Close())
	if err != nil {
		return checkpoint{}, fmt.Errorf("read checkpoint: %w", err)
	}
	switch c.Form {
	case storeForm:
	case formBefore:
		c.Form = storeForm
	default:
		return checkpoint{}, nil
	}
	return c, nil
}

// begin throws everything away that the store has of a partition and writes a first checkpoint.
func begin(db *pebble.DB, p int32, c checkpoint) error {
	b := db.NewBatch()
	err := errors.Join(
		b.DeleteRange(prefix(spaceEntry, p), prefix(spaceEntry, p+1), nil),
		b.DeleteRange(prefix(spaceTime, p), prefix(spaceTime, p+1), nil),
		c.put(b, p),
	)
	if err == nil {
		err = b.Commit(pebble.NoSync)
	}
	if err != nil {
		return fmt.Errorf("begin window of partition %d: %w", p, err)
	}
	return nil
}

// The spaces of the store. Every key begins with its space and the partition.
const (
	spaceCheckpoint byte = 'c' // → checkpoint
	spaceEntry      byte = 'e' // identity → seen
	spaceTime       byte = 't' // time, identity → nothing: the entries by age
)

func prefix(space byte, p int32) []byte { return appendPrefix(nil, space, p) }

func appendPrefix(b []byte, space byte, p int32) []byte {
	return binary.BigEndian.AppendUint32(append(b, space), uint32(p))
}

// keyBytes is as long as a key of any space is.
const keyBytes = 1 + 4 + 8 + 24

func entryKey(p int32, id identity) []byte { return appendEntryKey(make([]byte, 0, keyBytes), p, id) }

func appendEntryKey(b []byte, p int32, id identity) []byte {
	return append(appendPrefix(b, spaceEntry, p), id[:]...)
}

// timeKey sorts by time. Times of receipt are never before 1970, see receivedAt.
func timeKey(p int32, at time.Time, id identity) []byte {
	return appendTimeKey(make([]byte, 0, keyBytes), p, at.UnixMilli(), id)
}

func appendTimeKey(b []byte, p int32, ms int64, id identity) []byte {
	return append(binary.BigEndian.AppendUint64(appendPrefix(b, spaceTime, p), uint64(ms)), id[:]...)
}

func decodeTimeKey(key []byte) (time.Time, identity) {
	ms := binary.BigEndian.Uint64(key[5:])
	return time.UnixMilli(int64(ms)).UTC(), identity(key[13:])
}

func encodeSeen(s seen) []byte { return appendSeen(nil, s.at.UnixMilli(), s.digest) }

func appendSeen(b []byte, ms int64, digest [16]byte) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(ms)), digest[:]...)
}

func decodeSeen(value []byte) seen {
	return seen{time.UnixMilli(int64(binary.BigEndian.Uint64(value))).UTC(), [16]byte(value[8:])}
}
