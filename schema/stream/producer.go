package stream

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/topic"
)

// ProducerConfig bounds a Producer. The zero value has sensible bounds.
type ProducerConfig struct {
	// MaxBufferedBytes bounds what waits for an acknowledgement; beyond it Produce refuses at once. 64 MiB by default.
	MaxBufferedBytes int
	// Linger is how long a record waits for company; 0 sends at once, and records that come meanwhile share the next
	// request. A caller that waits for its acknowledgement gains nothing from lingering.
	Linger time.Duration
	// RecordTimeout is how long a record may wait for its acknowledgement; 10 s by default.
	RecordTimeout time.Duration
	// StallAfter is how long a record may wait for its acknowledgement until others are refused at once, with ErrStalled,
	// instead of being sent after it; 2 s by default. A broker that works answers in milliseconds, one that takes a new
	// leader's place in well under two seconds.
	StallAfter time.Duration
	// MaxRecordBytes is the largest record that is taken, by RecordSize; topic.MaxRecordBytes by default.
	MaxRecordBytes int
}

func (c ProducerConfig) withDefaults() ProducerConfig {
	if c.MaxBufferedBytes == 0 {
		c.MaxBufferedBytes = 64 << 20
	}
	if c.RecordTimeout == 0 {
		c.RecordTimeout = 10 * time.Second
	}
	if c.StallAfter == 0 {
		c.StallAfter = 2 * time.Second
	}
	if c.MaxRecordBytes == 0 {
		c.MaxRecordBytes = topic.MaxRecordBytes
	}
	return c
}

// Producer appends records to Kafka outside of transactions: idempotent, acknowledged by all replicas, in order per
// partition. It is safe for concurrent use.
type Producer struct {
	client  *kgo.Client
	cfg     ProducerConfig
	backlog *backlog
	metrics *producerMetrics
}

type producerMetrics struct {
	records *prometheus.CounterVec
	seconds prometheus.Histogram
}

func newProducerMetrics(reg prometheus.Registerer, b *backlog) *producerMetrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "throughline_stream_producer_stalled",
		Help: "1 while the brokers do not acknowledge and records are refused unsent.",
	}, func() float64 {
		if b.stalled() != nil {
			return 1
		}
		return 0
	})
	return &producerMetrics{
		records: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_stream_produced_records_total",
			Help: "Records given to the producer, by outcome.",
		}, []string{"outcome"}),
		seconds: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "throughline_stream_produce_seconds",
			Help:    "Time until all records of one call were acknowledged or had failed.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}),
	}
}

// count counts records of one call, so that a batch does not look its counter up for each of them.
func (m *producerMetrics) count(outcome string, n int) {
	if n > 0 {
		m.records.WithLabelValues(outcome).Add(float64(n))
	}
}

// NewProducer opens a Producer. One of them serves a whole process.
func NewProducer(cfg Config, pc ProducerConfig, deps Deps) (*Producer, error) {
	pc = pc.withDefaults()
	waiting := newBacklog(pc.StallAfter)
	cfg = cfg.with("producer")
	client, err := Open(cfg, deps.Log, deps.Reg, append(traceOptions(cfg, deps, ""),
		// Acknowledged means that every in-sync replica has it. Idempotence is the library's default and needs this.
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// The same partition for a key as every other Kafka client chooses, because producers may write directly too.
		kgo.RecordPartitioner(waiting.partitioner()),
		kgo.ProducerBatchMaxBytes(int32(pc.MaxRecordBytes)),
		// The bound is in bytes; the count only has to stay out of its way.
		kgo.MaxBufferedRecords(1<<20),
		kgo.MaxBufferedBytes(pc.MaxBufferedBytes),
		kgo.ProducerLinger(pc.Linger),
		// The caller hears of a failure after this long, instead of waiting for ever with its client.
		kgo.RecordDeliveryTimeout(pc.RecordTimeout),
		// A sequence that was sent and not answered cannot be given up without risking the order; with the timeout
		// above it would be waited for without end. Giving it up means a new producer epoch, and an unknown outcome.
		kgo.AllowIdempotentProduceCancellation(),
		kgo.ProduceRequestTimeout(pc.RecordTimeout),
		// A topic is created by EnsureTopics before anything runs, so an unknown topic is a mistake: a few tries cover
		// a metadata answer from a broker that has not heard of it yet.
		kgo.UnknownTopicRetries(5),
	)...)
	if err != nil {
		return nil, err
	}
	return &Producer{client: client, cfg: pc, backlog: waiting, metrics: newProducerMetrics(deps.Reg, waiting)}, nil
}

// Result is what became of one record of ProduceEach.
type Result struct {
	// Offset is where the record is, if Err is nil.
	Offset Offset
	// Err is nil when every in-sync replica has the record; else it wraps ErrOverloaded, ErrStalled, ErrTooLarge,
	// ErrUnavailable, ErrClosed, or the error of the context.
	Err error
}

// Unknown says that the record may or may not be in the log, now or later.
func (r Result) Unknown() bool { return r.Err != nil && !isRefused(r.Err) }

// Produce appends records and waits until all of them are acknowledged. The offsets are in the order of recs. An
// error names the first record that failed; others may have been appended. See ProduceEach.
func (p *Producer) Produce(ctx context.Context, recs ...*Record) ([]Offset, error) {
	results := p.ProduceEach(ctx, recs)
	offsets := make([]Offset, len(results))
	for i, r := range results {
		if r.Err != nil {
			return nil, fmt.Errorf("produce record %d of %d to %s: %w", i+1, len(recs), recs[i].Topic, r.Err)
		}
		offsets[i] = r.Offset
	}
	return offsets, nil
}

// ProduceEach appends records and waits for the outcome of each. Records of one partition are appended in the order
// of recs.
//
// The context counts until a record is buffered. From then on it is sent whatever the caller does, because a record
// that was given up while on its way could still arrive: the call returns early with the context's error, and the
// outcome is unknown.
func (p *Producer) ProduceEach(ctx context.Context, recs []*Record) []Result {
	start := time.Now()
	results := make([]Result, len(recs))
	if err := ctx.Err(); err != nil {
		for i := range results {
			results[i].Err = refusedError{err}
		}
		p.count(results)
		return results
	}
	outcomes := make(chan outcome, len(recs))
	pending := p.send(ctx, recs, results, outcomes)
	for pending > 0 {
		select {
		case o := <-outcomes:
			results[o.index] = o.result
			pending--
		case <-ctx.Done():
			p.abandon(ctx, recs, results, outcomes)
			pending = 0
		}
	}
	p.metrics.seconds.Observe(time.Since(start).Seconds())
	p.count(results)
	return results
}

type outcome struct {
	index  int
	result Result
}

// send buffers the records and says how many outcomes will come.
func (p *Producer) send(ctx context.Context, recs []*Record, results []Result, outcomes chan<- outcome) int {
	pending := 0
	ctx = context.WithoutCancel(ctx)
	lanes := p.backlog.admit(recs, func(i int) bool {
		size := RecordSize(recs[i])
		if size > p.cfg.MaxRecordBytes {
			results[i].Err = refusedError{fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, size, p.cfg.MaxRecordBytes)}
		}
		return results[i].Err == nil
	})
	settled := make([]sync.Once, len(recs))
	for i, r := range recs {
		if lanes[i] == nil {
			if results[i].Err == nil {
				results[i].Err = errStalled()
			}
			continue
		}
		// Until an outcome comes, a result stands for a record whose fate is unknown.
		results[i].Err = ErrUnavailable
		pending++
		p.client.TryProduce(ctx, r, func(r *Record, err error) {
			settled[i].Do(func() {
				err = refusal(classifyProduce(err))
				p.backlog.settle(lanes[i], err)
				outcomes <- outcome{i, Result{Offset: Offset{TopicPartition{r.Topic, r.Partition}, r.Offset}, Err: err}}
			})
		})
	}
	return pending
}

// Stalled is nil, or wraps ErrStalled where Produce would refuse everything: a caller that has work to do before it
// produces can spare itself that.
func (p *Producer) Stalled() error { return p.backlog.stalled() }

// abandon takes what has arrived and leaves the rest as unknown, with the context's error.
func (p *Producer) abandon(ctx context.Context, recs []*Record, results []Result, outcomes <-chan outcome) {
	arrived := make([]bool, len(recs))
	for {
		select {
		case o := <-outcomes:
			results[o.index], arrived[o.index] = o.result, true
			continue
		default:
		}
		break
	}
	for i := range results {
		if !arrived[i] && results[i].Err == ErrUnavailable { //nolint:errorlint // the very value that send put there, nothing that wraps it
			results[i].Err = fmt.Errorf("%w: outcome is unknown: %w", ErrUnavailable, ctx.Err())
		}
	}
}

func (p *Producer) count(results []Result) {
	acknowledged, refused := 0, 0
	for _, r := range results {
		switch {
		case r.Err == nil:
			acknowledged++
		case isRefused(r.Err):
			refused++
		}
	}
	p.metrics.count("acknowledged", acknowledged)
	p.metrics.count("refused", refused)
	p.metrics.count("unknown", len(results)-acknowledged-refused)
}

// Ping asks a broker for an answer: a readiness check.
func (p *Producer) Ping(ctx context.Context) error {
	if err := p.client.Ping(ctx); err != nil {
		return fmt.Errorf("ping kafka: %w", err)
	}
	return nil
}

// Close waits until everything buffered has an outcome, at most as long as ctx, and closes the connections.
func (p *Producer) Close(ctx context.Context) error {
	err := p.client.Flush(ctx)
	p.client.Close()
	if err != nil {
		return fmt.Errorf("flush producer: %w", err)
	}
	return nil
}
