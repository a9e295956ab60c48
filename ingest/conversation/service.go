package conversation

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/throughline/throughline/ingest/local"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// Group is the name of the processor's consumer group, without the installation's prefix.
const Group = "conversation"

// Service is the processor.
type Service struct {
	cfg       Config
	deps      Deps
	handler   *handler
	processor *stream.Processor
}

// New checks the configuration and builds the processor. It does no I/O.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure conversations: %w", err)
	}
	if deps.Objects == nil || deps.Producer == nil || deps.Master == nil {
		return nil, errors.New("configure conversations: registry, producer and master key are needed")
	}
	s := &Service{cfg: cfg, deps: deps, handler: newHandler(deps)}
	processor, err := stream.NewProcessor(deps.Kafka, stream.ProcessorConfig{
		Role:            Group,
		Instance:        cfg.Instance,
		Input:           topic.ConversationCommands,
		Outputs:         []topic.Name{topic.Conversations, topic.ConversationState, topic.CommandReplies, topic.DeadLetters},
		MaxBatchRecords: cfg.MaxBatch,
		// Deciding takes no more than processor time, and partitions share nothing.
		SideBySide: runtime.GOMAXPROCS(0),
	}, s.handler, stream.Deps{Log: deps.Log, Reg: deps.Reg, Traces: deps.Traces})
	if err != nil {
		return nil, fmt.Errorf("configure conversations: %w", err)
	}
	s.processor = processor
	return s, nil
}

// Ready says why commands are not decided yet; it is nil once they are. It fits run.Readiness.
func (s *Service) Ready(context.Context) error {
	if err := s.processor.Ready(); err != nil {
		return fmt.Errorf("conversations: %w", err)
	}
	return nil
}

// Run decides commands until the context ends, and then returns nil. The group's first offsets must be committed
// (stream.CommitInitialOffsets). Call it once.
func (s *Service) Run(ctx context.Context) error {
	db, err := local.Open(ctx, s.cfg.Dir, "conversations", s.deps.Log)
	if err != nil {
		return fmt.Errorf("run conversations: %w", err)
	}
	s.handler.states.db = db
	err = s.processor.Run(ctx)
	if err = errors.Join(err, s.handler.states.close(), db.Close()); err != nil {
		return fmt.Errorf("run conversations: %w", err)
	}
	return nil
}
