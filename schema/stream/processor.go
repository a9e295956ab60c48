package stream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/throughline/throughline/schema/topic"
)

// ProcessorConfig says what a Processor reads and writes.
type ProcessorConfig struct {
	// Role names the consumer group and begins the transactional id.
	Role string
	// Instance tells the processes of a role apart. It is stable over restarts, so that a new start fences the
	// transaction that its predecessor left open.
	Instance string
	// Input is the topic that is read. One processor reads one topic: the group protocol does not keep the
	// partitions of two topics together.
	Input topic.Name
	// Outputs are the topics that are written.
	Outputs []topic.Name
	// MaxBatchRecords bounds a transaction; 5,000 by default. A batch is what is there when the one before is done:
	// small when idle, thousands when behind.
	MaxBatchRecords int
	// MaxPartitionBytes bounds what one fetch brings of a partition; 4 MiB by default. What a fetch brings is processed
	// partition by partition, so that one which has much holds up the others for that long.
	MaxPartitionBytes int32
	// SideBySide is how many partitions of a batch are processed at the same time; 1 by default. Where it is more, the
	// handler's Process is called from as many goroutines, each with a partition of its own.
	SideBySide int
	// TxnTimeout is after how long the broker aborts a transaction that hangs; 10 s by default. So long may a dead
	// processor freeze its output partitions.
	TxnTimeout time.Duration
	// SessionTimeout is after how long without a heartbeat a member counts as dead; 10 s by default.
	SessionTimeout time.Duration
	// RebalanceTimeout is how long the members have to join a new generation; 30 s by default.
	RebalanceTimeout time.Duration
	// MaxRecordBytes is the largest output that is taken, by RecordSize; topic.MaxRecordBytes by default.
	MaxRecordBytes int
	// Oversized turns an output that is too large into a smaller one, usually a dead letter with its body cut and
	// its source kept. Without it such an output ends Run with ErrTooLarge.
	Oversized func(out *Record) *Record
}

func (c ProcessorConfig) withDefaults() ProcessorConfig {
	if c.MaxBatchRecords == 0 {
		c.MaxBatchRecords = 5000
	}
	if c.MaxPartitionBytes == 0 {
		c.MaxPartitionBytes = 4 << 20
	}
	if c.SideBySide == 0 {
		c.SideBySide = 1
	}
	if c.TxnTimeout == 0 {
		c.TxnTimeout = 10 * time.Second
	}
	if c.SessionTimeout == 0 {
		c.SessionTimeout = 10 * time.Second
	}
	if c.RebalanceTimeout == 0 {
		c.RebalanceTimeout = 30 * time.Second
	}
	if c.MaxRecordBytes == 0 {
		c.MaxRecordBytes = topic.MaxRecordBytes
	}
	return c
}

// Validate reports everything that is wrong with a ProcessorConfig.
func (c ProcessorConfig) Validate() error {
	var errs []error
	if c.Role == "" {
		errs = append(errs, errors.New("role is missing"))
	}
	if c.Instance == "" {
		errs = append(errs, errors.New("instance is missing"))
	}
	if c.Input == "" {
		errs = append(errs, errors.New("input topic is missing"))
	}
	if len(c.Outputs) == 0 {
		errs = append(errs, errors.New("output topics are missing"))
	}
	return errors.Join(errs...)
}

// Processor turns an input topic into output topics, exactly once: outputs and input offsets are committed in one
// transaction.
type Processor struct {
	cfg     Config
	pc      ProcessorConfig
	handler Handler
	deps    Deps
	metrics *processorMetrics
	input   string
	outputs []string
	group   string
	// counts are the partition counts of the topics, known since the first load. Only the loop uses them.
	counts map[string]int

	// mu guards what the group's callbacks share with the loop. The callbacks only take notes; everything that takes
	// time happens in the loop.
	mu sync.Mutex
	// parts are the partitions that the group gave us, as far as we were told.
	parts map[int32]*part
	// unload are partitions whose state the handler can drop.
	unload []int32
	// revoked says that partitions were taken away since the last End. It is a hint: the session hides further ones.
	revoked bool
	missing *OffsetLostError
	wake    context.CancelFunc
	open    bool
	// joined says that the group has told us what is ours, be it nothing.
	joined bool
}

type processorMetrics struct {
	transactions *prometheus.CounterVec
	seconds      prometheus.Histogram
	batch        prometheus.Histogram
	outputs      prometheus.Counter
	skipped      prometheus.Counter
	loads        prometheus.Histogram
	sessions     prometheus.Counter
	partitions   prometheus.Gauge
}

func newProcessorMetrics(reg prometheus.Registerer, role string) *processorMetrics {
	if reg != nil {
		reg = prometheus.WrapRegistererWith(prometheus.Labels{"role": role}, reg)
	}
	f := promauto.With(reg)
	return &processorMetrics{
		transactions: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_stream_transactions_total",
			Help: "Transactions that ended, by outcome: committed, aborted, failed.",
		}, []string{"outcome"}),
		seconds: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "throughline_stream_transaction_seconds",
			Help:    "Time from a poll's return to the end of its transaction.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
		batch: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "throughline_stream_transaction_inputs",
			Help:    "Input records of a transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
		outputs: f.NewCounter(prometheus.CounterOpts{
			Name: "throughline_stream_outputs_total",
			Help: "Output records in committed transactions.",
		}),
		skipped: f.NewCounter(prometheus.CounterOpts{
			Name: "throughline_stream_answered_inputs_total",
			Help: "Inputs that were polled and skipped, because an output already names them as its origin.",
		}),
		loads: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "throughline_stream_load_seconds",
			Help:    "Time to load the state of an assigned partition.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 10),
		}),
		sessions: f.NewCounter(prometheus.CounterOpts{
			Name: "throughline_stream_sessions_total",
			Help: "Transactional sessions opened. More than one means that a session failed.",
		}),
		partitions: f.NewGauge(prometheus.GaugeOpts{
			Name: "throughline_stream_loaded_partitions",
			Help: "Input partitions that are assigned and loaded.",
		}),
	}
}

// NewProcessor checks its arguments; it opens nothing.
func NewProcessor(cfg Config, pc ProcessorConfig, h Handler, deps Deps) (*Processor, error) {
	if err := errors.Join(cfg.Validate(), pc.Validate()); err != nil {
		return nil, fmt.Errorf("configure processor %s: %w", pc.Role, err)
	}
	pc = pc.withDefaults()
	return &Processor{
		cfg: cfg, pc: pc, handler: h, deps: deps,
		metrics: newProcessorMetrics(deps.Reg, pc.Role),
		input:   cfg.Topic(pc.Input), outputs: cfg.Topics(pc.Outputs...), group: cfg.Group(pc.Role),
		counts: map[string]int{}, parts: map[int32]*part{},
	}, nil
}

// Run processes until ctx ends, and then returns nil. It survives the loss of brokers, of its session and of its
// transactional id by opening a new session with backoff. It returns an error that names the way out for what no
// retry can heal: an *OffsetLostError, an error that wraps ErrStop, an output that is too large.
func (p *Processor) Run(ctx context.Context) error {
	failures := 0
	for !ended(ctx) {
		opened := time.Now()
		err := p.session(ctx)
		p.reset()
		if ended(ctx) {
			break
		}
		var lost *OffsetLostError
		if errors.As(err, &lost) || errors.Is(err, ErrStop) || errors.Is(err, ErrTooLarge) {
			return fmt.Errorf("run processor %s: %w", p.pc.Role, err)
		}
		// A session that held for a minute was a healthy one: the next failure is a new one.
		if time.Since(opened) > time.Minute {
			failures = 0
		}
		failures++
		wait := backoff(failures)
		p.deps.Log.WarnContext(ctx, "processor session ended, opening another",
			"role", p.pc.Role, "error", err, "failures", failures, "wait", wait)
		_ = pause(ctx, wait) // it ends early only with ctx, which ends the loop
	}
	return nil
}

// Ready is nil while the processor is a member of its group and every partition that it was assigned is loaded.
func (p *Processor) Ready() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open {
		return fmt.Errorf("processor %s has no session", p.pc.Role)
	}
	if !p.joined {
		return fmt.Errorf("processor %s has not joined its group", p.pc.Role)
	}
	for n, part := range p.parts {
		if part.state != partLoaded {
			return fmt.Errorf("processor %s is loading partition %d", p.pc.Role, n)
		}
	}
	return nil
}

// transactionalID is stable over restarts on Kafka, so that a new start aborts what its predecessor left open. The
// embedded broker hides committed records of a transactional id that comes back after a kill, so there it is new
// each time, and the transaction timeout ends what was left open.
func transactionalID(cfg Config, role, instance string) string {
	id := cfg.Group(role) + "." + instance
	if cfg.Embedded {
		id += "." + rand.Text()
	}
	return id
}

// ended says that the service is to stop, which is no error.
func ended(ctx context.Context) bool { return ctx.Err() != nil }

// pause waits for d or for the end of ctx, whose error it returns.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
