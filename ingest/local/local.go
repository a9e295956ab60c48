// Package local opens the stores in which processors keep on disk what they could read from the log again.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// Open opens the store in a folder, which one process at a time may have open; name is its name in logs. The log is the
// truth: a store that is broken is thrown away.
func Open(ctx context.Context, dir, name string, log *slog.Logger) (*pebble.DB, error) {
	log = log.With("store", name)
	dir = filepath.Join(dir, "pebble")
	db, err := open(dir, log)
	if errors.Is(err, pebble.ErrCorruption) {
		log.WarnContext(ctx, "local store is corrupt and is read from the log again", "error", err)
		if err := os.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("remove corrupt store: %w", err)
		}
		db, err = open(dir, log)
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return db, nil
}

func open(dir string, log *slog.Logger) (*pebble.DB, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	return pebble.Open(dir, options(log))
}

func options(log *slog.Logger) *pebble.Options {
	opts := &pebble.Options{
		Logger:    logger{log},
		CacheSize: 16 << 20,
		// Two of these are in memory at most: one that is written and one that is flushed.
		MemTableSize:                8 << 20,
		MemTableStopWritesThreshold: 2,
		MaxOpenFiles:                256,
		FormatMajorVersion:          pebble.FormatNewest,
	}
	// Most look-ups miss, because repeats are rare and most conversations are new: a filter of 10 bits a key answers 99 of
	// 100 without a block.
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return opts
}

// logger passes what the store logs to slog.
type logger struct{ log *slog.Logger }

// Infof implements pebble.Logger: flushes and compactions, which are debug for us.
func (l logger) Infof(format string, args ...any) {
	l.log.Debug("store", "detail", fmt.Sprintf(format, args...))
}

// Errorf implements pebble.Logger.
func (l logger) Errorf(format string, args ...any) {
	l.log.Error("store", "detail", fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. The store calls it where it cannot go on, and must not be answered.
func (l logger) Fatalf(format string, args ...any) {
	l.log.Error("store is broken", "detail", fmt.Sprintf(format, args...))
	os.Exit(1)
}
