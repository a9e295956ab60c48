package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// Service is the linker.
type Service struct {
	cfg       Config
	deps      Deps
	metrics   *metrics
	handler   *handler
	processor *stream.Processor
}

// New checks the configuration and builds the linker. It does no I/O.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure link: %w", err)
	}
	if deps.Objects == nil {
		return nil, errors.New("configure link: a registry is needed")
	}
	s := &Service{cfg: cfg, deps: deps, metrics: newMetrics(deps.Reg)}
	s.handler = newHandler(deps, newWindow(nil, cfg.WindowEntries, s.metrics), s.metrics)
	processor, err := stream.NewProcessor(deps.Kafka, stream.ProcessorConfig{
		Role:     Group,
		Instance: cfg.Instance,
		Input:    topic.Submissions,
		// Submissions is an output too: one that stands in another partition than its primary object is forwarded.
		Outputs:         []topic.Name{topic.Events, topic.Rejections, topic.Submissions, topic.DeadLetters},
		MaxBatchRecords: cfg.MaxBatch,
	}, s.handler, stream.Deps{Log: deps.Log, Reg: deps.Reg, Traces: deps.Traces})
	if err != nil {
		return nil, fmt.Errorf("configure link: %w", err)
	}
	s.processor = processor
	return s, nil
}

// Ready says why submissions are not linked yet; it is nil once they are. It fits run.Readiness.
func (s *Service) Ready(context.Context) error {
	if err := s.processor.Ready(); err != nil {
		return fmt.Errorf("link: %w", err)
	}
	return nil
}

// Run links submissions until the context ends, and then returns nil. The group's first offsets must be committed
// (stream.CommitInitialOffsets). Call it once.
func (s *Service) Run(ctx context.Context) error {
	db, err := s.openStore(ctx)
	if err != nil {
		return fmt.Errorf("run link: %w", err)
	}
	s.handler.window.db = db
	err = s.processor.Run(ctx)
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("run link: %w", err)
	}
	return nil
}

// openStore opens the window's store. The log is the truth: a store that is broken is thrown away.
func (s *Service) openStore(ctx context.Context) (*pebble.DB, error) {
	dir := filepath.Join(s.cfg.Dir, "pebble")
	db, err := s.openPebble(dir)
	if errors.Is(err, pebble.ErrCorruption) {
		s.deps.Log.WarnContext(ctx, "link store is corrupt and is read from the log again", "error", err)
		if err := os.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("remove corrupt store: %w", err)
		}
		db, err = s.openPebble(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return db, nil
}

func (s *Service) openPebble(dir string) (*pebble.DB, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	return pebble.Open(dir, storeOptions(s.deps.Log))
}

func storeOptions(log *slog.Logger) *pebble.Options {
	opts := &pebble.Options{
		Logger:    storeLogger{log.With("store", "link")},
		CacheSize: 16 << 20,
		// Two of these are in memory at most: one that is written and one that is flushed.
		MemTableSize:                8 << 20,
		MemTableStopWritesThreshold: 2,
		MaxOpenFiles:                256,
		FormatMajorVersion:          pebble.FormatNewest,
	}
	// Nearly every look-up misses, because repeats are rare: a filter of 10 bits a key answers 99 of 100 without a block.
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return opts
}

// storeLogger passes what the store logs to slog.
type storeLogger struct{ log *slog.Logger }

// Infof implements pebble.Logger: flushes and compactions, which are debug for us.
func (l storeLogger) Infof(format string, args ...any) {
	l.log.Debug("store", "detail", fmt.Sprintf(format, args...))
}

// Errorf implements pebble.Logger.
func (l storeLogger) Errorf(format string, args ...any) {
	l.log.Error("store", "detail", fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. The store calls it where it cannot go on, and must not be answered.
func (l storeLogger) Fatalf(format string, args ...any) {
	l.log.Error("store is broken", "detail", fmt.Sprintf(format, args...))
	os.Exit(1)
}
