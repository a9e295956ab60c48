package conversation

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	conv "github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/seal"
)

// storeForm is the version of the form of the store; what another version wrote is read from the log again.
const storeForm = 1

// states are the snapshots of all conversations of the partitions that are owned, on disk. They change in two steps, as
// stream demands: put works on an overlay that get sees, commit writes it together with the checkpoint, discard drops it.
// It is used from one goroutine, but for get and put of different partitions.
type states struct {
	db    *pebble.DB
	parts map[int32]*partition
}

type partition struct {
	checkpoint checkpoint
	overlay    map[string]*entry
	// reader reads what is committed, from the first look-up of a transaction until it ends; nil before that.
	reader *pebble.Iterator
}

// entry is a conversation in the overlay.
type entry struct {
	snapshot *conv.Snapshot
	// encoded is the snapshot as it is written to the log, and here.
	encoded []byte
	// key is the data key, once it was looked up; the registry may not have a new one yet.
	key *seal.DataKey
	// erased says that the data key is gone.
	erased bool
}

// checkpoint says up to where in the log a partition's states are complete. It is written with them in one batch.
type checkpoint struct {
	Form int `json:"form"`
	// Topics are the ids of commands, conversations and states: a topic that was made anew makes the copy void.
	Topics [3][16]byte `json:"topics"`
	// Input: every command below this offset is answered.
	Input int64 `json:"input"`
	// Conversations, States and Replies are the next offsets to read of the partition's outputs.
	Conversations int64 `json:"conversations"`
	States        int64 `json:"states"`
	Replies       int64 `json:"replies"`
}

func newStates() *states { return &states{parts: map[int32]*partition{}} }

// own begins to keep a partition, from the checkpoint that the store has of it.
func (s *states) own(p int32, c checkpoint) {
	s.parts[p] = &partition{checkpoint: c, overlay: map[string]*entry{}}
}

// disown forgets a partition; the store keeps what it has of it.
func (s *states) disown(p int32) error {
	part, ok := s.parts[p]
	if !ok {
		return nil
	}
	delete(s.parts, p)
	return part.endReading()
}

// close ends all reading, so that the store can be closed.
func (s *states) close() error {
	var errs []error
	for _, part := range s.parts {
		errs = append(errs, part.endReading())
	}
	return errors.Join(errs...)
}

func (part *partition) endReading() error {
	if part.reader == nil {
		return nil
	}
	err := part.reader.Close()
	part.reader = nil
	if err != nil {
		return fmt.Errorf("end reading of states: %w", err)
	}
	return nil
}

// get is the entry of a conversation, by the key of its records. One that does not exist has an empty snapshot. The entry
// is the overlay's: change it by put alone.
func (s *states) get(p int32, key []byte) (*entry, error) {
	part := s.parts[p]
	if e, ok := part.overlay[string(key)]; ok {
		return e, nil
	}
	e := &entry{snapshot: &conv.Snapshot{}}
	value, err := s.committed(p, key)
	if err == nil && value != nil {
		e.snapshot, err = conv.ParseSnapshot(value)
	}
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	return e, nil
}

// committed is a snapshot as it stands in the store, until the next call; nil where there is none. Most conversations of a
// busy moment are new, and the store's own look-up of one key does not ask the filters of the last level, where nearly all
// keys are: it read a block for each.
func (s *states) committed(p int32, key []byte) ([]byte, error) {
	part := s.parts[p]
	if part.reader == nil {
		reader, err := s.db.NewIter(&pebble.IterOptions{
			LowerBound: prefix(spaceState, p), UpperBound: prefix(spaceState, p+1), UseL6Filters: true,
		})
		if err != nil {
			return nil, err
		}
		part.reader = reader
	}
	at := stateKey(p, key)
	if !part.reader.SeekPrefixGE(at) || !bytes.Equal(part.reader.Key(), at) {
		return nil, part.reader.Error()
	}
	return part.reader.ValueAndErr()
}

// put changes a conversation in the overlay.
func (s *states) put(p int32, key []byte, e *entry) { s.parts[p].overlay[string(key)] = e }

// discard drops every partition's overlay.
func (s *states) discard() error {
	for _, part := range s.parts {
		clear(part.overlay)
	}
	return s.close()
}

// commit writes a partition's overlay and its new checkpoint in one batch. The write is not synced: the log is the truth,
// and a store that lost its last writes in a crash of the machine is still whole as of an earlier checkpoint, from which
// the next load reads on.
func (s *states) commit(p int32, advance func(*checkpoint)) error {
	part := s.parts[p]
	if err := part.endReading(); err != nil {
		return err
	}
	next := part.checkpoint
	advance(&next)
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }()
	for key, e := range part.overlay {
		if e.encoded == nil {
			continue
		}
		if err := b.Set(stateKey(p, []byte(key)), e.encoded, nil); err != nil {
			return fmt.Errorf("write state: %w", err)
		}
	}
	if err := next.put(b, p); err != nil {
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("write states: %w", err)
	}
	part.checkpoint = next
	clear(part.overlay)
	return nil
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

// checkpoint reads that of a partition; it is a zero one where the store has none.
func (s *states) checkpoint(p int32) (checkpoint, error) {
	value, closer, err := s.db.Get(prefix(spaceCheckpoint, p))
	if errors.Is(err, pebble.ErrNotFound) {
		return checkpoint{}, nil
	}
	if err != nil {
		return checkpoint{}, fmt.Errorf("read checkpoint: %w", err)
	}
	var c checkpoint
	if err := errors.Join(json.Unmarshal(value, &c), closer.Close()); err != nil {
		return checkpoint{}, fmt.Errorf("read checkpoint: %w", err)
	}
	return c, nil
}

// begin throws everything away that the store has of a partition and writes a first checkpoint.
func (s *states) begin(p int32, c checkpoint) error {
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }()
	err := errors.Join(b.DeleteRange(prefix(spaceState, p), prefix(spaceState, p+1), nil), c.put(b, p))
	if err == nil {
		err = b.Commit(pebble.NoSync)
	}
	if err != nil {
		return fmt.Errorf("begin states of partition %d: %w", p, err)
	}
	return nil
}

// The spaces of the store. Every key begins with its space and the partition.
const (
	spaceCheckpoint byte = 'c' // → checkpoint
	spaceState      byte = 's' // key of the conversation's records → the snapshot's value
)

func prefix(space byte, p int32) []byte {
	return binary.BigEndian.AppendUint32([]byte{space}, uint32(p))
}

func stateKey(p int32, key []byte) []byte { return append(prefix(spaceState, p), key...) }
