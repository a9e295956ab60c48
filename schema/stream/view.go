package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/topic"
)

// Apply writes what a record means for the view into b. The batch is indexed, unless the view is Blind: it reads its own
// writes, and what is committed. Keys must not begin with the byte 0x00, which is the View's own. A record with a nil value
// is a tombstone. Applying a record twice must be harmless. An error ends Run.
type Apply func(b *pebble.Batch, r *Record) error

// ViewConfig says what a View keeps.
type ViewConfig struct {
	// Name tells the views of a process apart in metrics and logs.
	Name string
	// Dir is where the view keeps its store. It belongs to this view alone, and may be removed at any time while
	// the view is closed.
	Dir string
	// Topics are the compacted topics that the view reads, all partitions of them.
	Topics []topic.Name
	// Apply turns records into entries of the store.
	Apply Apply
	// Blind says that Apply only writes, so that its batch is not indexed.
	Blind bool
	// ReadCommitted leaves out aborted records; needed for topics that are written in transactions.
	ReadCommitted bool
	// Version is the version of Apply: a store of another version is rebuilt.
	Version int
	// CacheBytes bounds the block cache; 16 MiB by default.
	CacheBytes int64
	// MemTableBytes is the size of a memtable, of which there are two; 4 MiB by default.
	MemTableBytes uint64
	// MaxAge is how old a checkpoint may be before a deletion may have been missed; half of topic.TombstoneRetention
	// by default.
	MaxAge time.Duration
}

// BarrierTimeout bounds a Barrier whose context has no earlier deadline.
const BarrierTimeout = 2 * time.Second

func (c ViewConfig) withDefaults() ViewConfig {
	if c.CacheBytes == 0 {
		c.CacheBytes = 16 << 20
	}
	if c.MemTableBytes == 0 {
		c.MemTableBytes = 4 << 20
	}
	if c.MaxAge == 0 {
		c.MaxAge = topic.TombstoneRetention / 2
	}
	return c
}

// View is a local copy of compacted topics in a Pebble store: bounded memory, restartable, exact on demand.
type View struct {
	cfg     Config
	vc      ViewConfig
	deps    Deps
	metrics *viewMetrics
	client  *kgo.Client
	db      *pebble.DB
	topics  map[string]topicMeta
	tps     []TopicPartition
	ends    *endRounds

	// unread is how many offsets lay before the view when it began with an empty store, and 0 where it did not.
	unread int64

	mu sync.Mutex
	// positions are the next offsets to apply. Everything below is in the store.
	positions map[TopicPartition]int64
	// moved is closed and replaced whenever a position has moved, or Run has failed.
	moved  chan struct{}
	ready  bool
	failed error
}

type viewMetrics struct {
	records  prometheus.Counter
	rebuilds *prometheus.CounterVec
	barriers prometheus.Histogram
	timeouts prometheus.Counter
	current  prometheus.Gauge
	asked    prometheus.Counter
}

func newViewMetrics(reg prometheus.Registerer, name string) *viewMetrics {
	if reg != nil {
		reg = prometheus.WrapRegistererWith(prometheus.Labels{"view": name}, reg)
	}
	f := promauto.With(reg)
	return &viewMetrics{
		records: f.NewCounter(prometheus.CounterOpts{
			Name: "throughline_stream_view_records_total",
			Help: "Records applied to the view.",
		}),
		rebuilds: f.NewCounterVec(prometheus.CounterOpts{
			Name: "throughline_stream_view_rebuilds_total",
			Help: "Times the view's store was thrown away at its opening, by reason.",
		}, []string{"reason"}),
		barriers: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "throughline_stream_view_barrier_seconds",
			Help:    "Time a caller waited until the view had caught up.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 13),
		}),
		current: f.NewGauge(prometheus.GaugeOpts{
			Name: "throughline_stream_view_current_timestamp_seconds",
			Help: "Unix time at which the view was last known to hold all that was in its topics; 0 before the first time.",
		}),
		timeouts: f.NewCounter(prometheus.CounterOpts{
			Name: "throughline_stream_view_barrier_timeouts_total",
			Help: "Callers that gave up before the view had caught up.",
		}),
		asked: f.NewCounter(prometheus.CounterOpts{
			Name: "throughline_stream_view_end_requests_total",
			Help: "Requests to the brokers for the ends of the view's partitions. Callers that wait at once share them.",
		}),
	}
}

// OpenView opens the store, and throws its content away first where its checkpoint does not fit the topics any more.
// It reads nothing yet: Run does.
func OpenView(ctx context.Context, cfg Config, vc ViewConfig, deps Deps) (*View, error) {
	v := &View{
		cfg: cfg, vc: vc.withDefaults(), deps: deps,
		positions: map[TopicPartition]int64{},
		moved:     make(chan struct{}),
	}
	v.metrics = newViewMetrics(deps.Reg, vc.Name)
	isolation := kgo.ReadUncommitted()
	if vc.ReadCommitted {
		isolation = kgo.ReadCommitted()
	}
	client, err := Open(cfg.with("view-"+vc.Name), deps.Log, deps.Reg,
		kgo.FetchIsolationLevel(isolation),
		// Markers take offsets; without them a view would never reach the high watermark of a barrier.
		kgo.KeepControlRecords(),
		// A view that cannot go on from where it is has missed something, and must be rebuilt.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		// A broker answers as soon as there is one byte; the wait only bounds how often it is asked in vain.
		kgo.FetchMaxWait(5*time.Second),
		kgo.FetchMaxBytes(8<<20),
		kgo.FetchMaxPartitionBytes(1<<20),
	)
	if err != nil {
		return nil, err
	}
	v.client = client
	if err := v.open(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("open view %s: %w", vc.Name, err)
	}
	return v, nil
}

func (v *View) open(ctx context.Context) error {
	var want identity
	var starts, ends map[TopicPartition]int64
	err := patiently(ctx, v.deps, "view "+v.vc.Name, func() (err error) {
		want, starts, ends, err = v.locate(ctx)
		return err
	})
	if err != nil {
		return err
	}
	v.ends = newEndRounds(v.client, v.tps, v.metrics.asked)
	return v.openStore(ctx, want, starts, ends)
}

// locate asks for the topics and for what they have.
func (v *View) locate(ctx context.Context) (want identity, starts, ends map[TopicPartition]int64, err error) {
	cluster, topics, err := describe(ctx, v.client, v.cfg.Topics(v.vc.Topics...))
	if err != nil {
		return identity{}, nil, nil, err
	}
	v.topics, v.tps = topics, allPartitions(topics)
	if starts, err = listOffsets(ctx, v.client, atLogStart, v.tps); err != nil {
		return identity{}, nil, nil, err
	}
	if ends, err = listOffsets(ctx, v.client, atLogEnd, v.tps); err != nil {
		return identity{}, nil, nil, err
	}
	return identity{Version: v.vc.Version, Cluster: cluster, Topics: idsOf(topics)}, starts, ends, nil
}

// DB is the store, for reading: take a snapshot or an iterator from it.
func (v *View) DB() *pebble.DB { return v.db }

// Get reads one entry; ok is false where there is none. The value is the caller's.
func (v *View) Get(key []byte) (value []byte, ok bool, err error) {
	found, closer, err := v.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read view %s: %w", v.vc.Name, err)
	}
	value = slices.Clone(found)
	if err := closer.Close(); err != nil {
		return nil, false, fmt.Errorf("read view %s: %w", v.vc.Name, err)
	}
	return value, true, nil
}

// Has says whether there is an entry, without copying it.
func (v *View) Has(key []byte) (bool, error) {
	_, closer, err := v.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err == nil {
		err = closer.Close()
	}
	if err != nil {
		return false, fmt.Errorf("read view %s: %w", v.vc.Name, err)
	}
	return true, nil
}

// Partitions is the number of partitions of a topic of the view.
func (v *View) Partitions(t topic.Name) int { return v.topics[v.cfg.Topic(t)].partitions }

// Ready is nil once the view has been up to date since it was opened, and nothing has failed.
func (v *View) Ready() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.failed != nil:
		return v.failed
	case !v.ready:
		return fmt.Errorf("view %s is catching up", v.vc.Name)
	default:
		return nil
	}
}

// Unread is how many offsets lay before the view where it began with an empty store: at most as many records will be
// applied before it is up to date. It is 0 where the view has gone on from a checkpoint.
func (v *View) Unread() int64 { return v.unread }

// Position is the next offset of a partition that the view will apply.
func (v *View) Position(tp TopicPartition) int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.positions[tp]
}

// Positions are the next offsets of all partitions.
func (v *View) Positions() map[TopicPartition]int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.positions)
}

// Close closes the store. Run must have returned.
func (v *View) Close() error {
	v.client.Close()
	if err := v.db.Close(); err != nil {
		return fmt.Errorf("close view %s: %w", v.vc.Name, err)
	}
	return nil
}
