package stream

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// Keys of the View's own entries. An applier's keys do not begin with 0x00.
var (
	identityKey = []byte("\x00identity")
	asOfKey     = []byte("\x00as-of")
)

// offsetKey is where the position of a partition is kept.
func offsetKey(tp TopicPartition) []byte {
	return binary.BigEndian.AppendUint32([]byte("\x00offset/"+tp.Topic+"/"), uint32(tp.Partition))
}

// identity is what a store was built from. Another identity means other offsets.
type identity struct {
	Version int               `json:"version"`
	Cluster string            `json:"cluster"`
	Topics  map[string]string `json:"topics"`
}

func idsOf(topics map[string]topicMeta) map[string]string {
	ids := map[string]string{}
	for name, m := range topics {
		ids[name] = hex.EncodeToString(m.id[:])
	}
	return ids
}

func (i identity) equal(o identity) bool {
	return i.Version == o.Version && i.Cluster == o.Cluster && maps.Equal(i.Topics, o.Topics)
}

// openStore opens the store and takes the positions from it, or begins anew.
func (v *View) openStore(ctx context.Context, want identity, starts, ends map[TopicPartition]int64) error {
	dir := filepath.Join(v.vc.Dir, "pebble")
	db, err := v.openPebble(dir)
	if errors.Is(err, pebble.ErrCorruption) || errors.Is(err, fs.ErrNotExist) {
		// The log is the truth: a broken copy is thrown away like an old one. A process that was killed while it made the
		// store has left one that names files which are not there.
		v.deps.Log.WarnContext(ctx, "view store is corrupt", "view", v.vc.Name, "error", err)
		v.metrics.rebuilds.WithLabelValues("corrupt").Inc()
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove corrupt store: %w", err)
		}
		db, err = v.openPebble(dir)
	}
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	v.db = db
	reason, err := v.restore(want, starts, ends)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	if reason == "" {
		return nil
	}
	if reason != "new" {
		v.deps.Log.WarnContext(ctx, "view is rebuilt from the log", "view", v.vc.Name, "reason", reason)
		v.metrics.rebuilds.WithLabelValues(reason).Inc()
	}
	if err := db.Close(); err != nil {
		return fmt.Errorf("close outdated store: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove outdated store: %w", err)
	}
	if v.db, err = v.openPebble(dir); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	if err := v.begin(want, starts); err != nil {
		return errors.Join(err, v.db.Close())
	}
	for tp, end := range ends {
		v.unread += end - starts[tp]
	}
	return nil
}

func (v *View) openPebble(dir string) (*pebble.DB, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	cache := pebble.NewCache(v.vc.CacheBytes)
	defer cache.Unref()
	opts := &pebble.Options{
		Cache:  cache,
		Logger: pebbleLogger{v.deps.Log.With("view", v.vc.Name)},
		// Two of these are in memory at most: one that is written and one that is flushed.
		MemTableSize:                v.vc.MemTableBytes,
		MemTableStopWritesThreshold: 2,
		// A level holds ten times the one above it, and memtables flush into a base level of as much as eight of them:
		// a smaller one would be rewritten with each flush.
		LBaseMaxBytes: max(64<<20, 8*int64(v.vc.MemTableBytes)),
		// Ten million objects are 8 GiB. Files begin at 8 MiB and double with each level, so that they are some hundred
		// and all of them stay open: opening one costs three reads.
		TargetFileSizes:    [7]int64{8 << 20},
		MaxOpenFiles:       512,
		FormatMajorVersion: pebble.FormatNewest,
	}
	for i := range opts.Levels {
		// Ten bits a key answer 99 of 100 misses without reading a block. The last level is not asked by a look-up of one
		// key, for most of what is looked up is there; those above it hold a tenth, so their filters fit the cache.
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		// An index has an entry of about 60 bytes for each block: at 16 KiB those of 8 GiB are 30 MiB and stay in the
		// cache of a view of that size; at the default of 4 KiB they would be 120 MiB. A block of 16 KiB takes about
		// 10 µs to decompress.
		opts.Levels[i].BlockSize = 16 << 10
		// One level of index: a second one would cost a block more for each look-up.
		opts.Levels[i].IndexBlockSize = 256 << 10
	}
	return pebble.Open(dir, opts)
}

// restore reads the checkpoint. It gives the reason why the store must be built anew, or none.
func (v *View) restore(want identity, starts, ends map[TopicPartition]int64) (string, error) {
	raw, ok, err := v.Get(identityKey)
	if err != nil || !ok {
		return "new", err
	}
	var have identity
	if err := json.Unmarshal(raw, &have); err != nil || !have.equal(want) {
		return "identity", nil //nolint:nilerr // a checkpoint that cannot be read is another version's
	}
	raw, ok, err = v.Get(asOfKey)
	if err != nil {
		return "", err
	}
	// A tombstone that was written after this moment may be gone when we come back later than it is kept.
	if !ok || len(raw) != 8 || time.Since(time.UnixMilli(int64(binary.BigEndian.Uint64(raw)))) > v.vc.MaxAge {
		return "age", nil
	}
	for _, tp := range v.tps {
		raw, ok, err := v.Get(offsetKey(tp))
		if err != nil {
			return "", err
		}
		if !ok || len(raw) != 8 {
			// The topic has got more partitions since.
			v.positions[tp] = starts[tp]
			continue
		}
		at := int64(binary.BigEndian.Uint64(raw))
		switch {
		case at > ends[tp]:
			return "beyond_end", nil
		case at < starts[tp]:
			return "before_start", nil
		}
		v.positions[tp] = at
	}
	return "", nil
}

// begin writes the first checkpoint of an empty store.
func (v *View) begin(want identity, starts map[TopicPartition]int64) error {
	raw, err := json.Marshal(want)
	if err != nil {
		return fmt.Errorf("encode identity: %w", err)
	}
	b := v.db.NewBatch()
	clear(v.positions)
	for _, tp := range v.tps {
		v.positions[tp] = starts[tp]
		if err := setOffset(b, tp, starts[tp]); err != nil {
			return err
		}
	}
	if err := errors.Join(b.Set(identityKey, raw, nil), setAsOf(b, time.Now()), b.Commit(pebble.Sync)); err != nil {
		return fmt.Errorf("begin store: %w", err)
	}
	return nil
}

// distrust makes the next start build the store anew, after the log turned out to be another one than we read.
func (v *View) distrust() error { return v.db.Delete(identityKey, pebble.Sync) }

func setOffset(b *pebble.Batch, tp TopicPartition, offset int64) error {
	return b.Set(offsetKey(tp), binary.BigEndian.AppendUint64(nil, uint64(offset)), nil)
}

func setAsOf(b *pebble.Batch, t time.Time) error {
	return b.Set(asOfKey, binary.BigEndian.AppendUint64(nil, uint64(t.UnixMilli())), nil)
}

// pebbleLogger passes what the store logs to slog; its news of flushes and compactions are of no interest.
type pebbleLogger struct{ log *slog.Logger }

// Infof implements pebble.Logger.
func (pebbleLogger) Infof(string, ...any) {}

// Errorf implements pebble.Logger.
func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Error("view store", "detail", fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. Pebble calls it where it cannot go on, and expects it not to return.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.log.Error("view store cannot go on", "detail", fmt.Sprintf(format, args...))
	os.Exit(1)
}
