package link

import (
	"context"
	"errors"
	"fmt"

	"github.com/throughline/throughline/ingest/local"
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
	if err := errors.Join(cfg.complete(), cfg.Validate()); err != nil {
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
	db, err := local.Open(ctx, s.cfg.Dir, "link", s.deps.Log)
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
