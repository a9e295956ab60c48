package stream_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// copier copies every input to the output partition of the same number. It is a Handler whose state is the set of
// inputs that are answered, built from the outputs alone, so that it notices when an input comes twice.
type copier struct {
	cfg   stream.Config
	delay func(ctx context.Context)

	mu       sync.Mutex
	state    map[int32]map[int64]bool
	overlay  map[int32]map[int64]bool
	repeats  []string
	batches  int
	biggest  int
	discards int
	loads    int
	fail     func(batch int) error
}

func newCopier(cfg stream.Config) *copier {
	return &copier{cfg: cfg, state: map[int32]map[int64]bool{}, overlay: map[int32]map[int64]bool{}}
}

func (c *copier) Load(ctx context.Context, p int32, out *stream.OutputReader) error {
	state := map[int64]bool{}
	_, err := out.Read(ctx, outputs, 0, func(r *stream.Record) error {
		origin, err := stream.Origin(r)
		if err != nil {
			return err
		}
		state[origin.Offset] = true
		return nil
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loads++
	c.state[p] = state
	return err
}

func (c *copier) Process(ctx context.Context, p int32, in []*stream.Record) ([]*stream.Record, error) {
	if c.delay != nil {
		c.delay(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batches++
	c.biggest = max(c.biggest, len(in))
	if c.fail != nil {
		if err := c.fail(c.batches); err != nil {
			return nil, err
		}
	}
	var out []*stream.Record
	for _, r := range in {
		if c.state[p][r.Offset] || c.overlay[p][r.Offset] {
			c.repeats = append(c.repeats, fmt.Sprintf("%d/%d", p, r.Offset))
		}
		if c.overlay[p] == nil {
			c.overlay[p] = map[int64]bool{}
		}
		c.overlay[p][r.Offset] = true
		o := &stream.Record{Topic: c.cfg.Topic(outputs), Partition: p, Key: r.Key, Value: r.Value}
		stream.SetOrigin(o, r)
		out = append(out, o)
	}
	return out, nil
}

func (c *copier) Commit(_ context.Context, _ []stream.Done) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, offsets := range c.overlay {
		for o := range offsets {
			c.state[p][o] = true
		}
	}
	clear(c.overlay)
	return nil
}

func (c *copier) Discard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.overlay) > 0 {
		c.discards++
	}
	clear(c.overlay)
}

func (c *copier) Unload(p int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.state, p)
}

func (c *copier) seen() (repeats []string, batches, discards, loads int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.repeats), c.batches, c.discards, c.loads
}

func processorConfig() stream.ProcessorConfig {
	return stream.ProcessorConfig{
		Role: "copy", Instance: "a", Input: inputs, Outputs: []topic.Name{outputs, others},
		SessionTimeout: 6 * time.Second, TxnTimeout: 5 * time.Second,
	}
}

func startProcessor(t *testing.T, cfg stream.Config, pc stream.ProcessorConfig, h stream.Handler) (p *stream.Processor, stop func() error) {
	t.Helper()
	cfg.ClientID += "-" + pc.Instance
	p, err := stream.NewProcessor(cfg, pc, h, deps(t))
	if err != nil {
		t.Fatalf("new processor: %v", err)
	}
	return p, inBackground(t, p.Run)
}

// committedValues reads what is committed in a topic, by partition, as a reader of committed records sees it.
func committedValues(t *testing.T, cfg stream.Config, name topic.Name) map[int32][]string {
	t.Helper()
	ends := endOffsets(t, cfg, name)
	cl := client(t, cfg, kgo.ConsumeTopics(cfg.Topic(name)), kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	values := map[int32][]string{}
	missing := 0
	for _, end := range ends {
		if end > 0 {
			missing++
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for missing > 0 {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("read %s to its end: %v", name, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				values[r.Partition] = append(values[r.Partition], string(r.Value))
			}
			if r.Offset+1 == ends[r.Partition] {
				missing--
			}
		})
	}
	return values
}

func endOffsets(t *testing.T, cfg stream.Config, name topic.Name) map[int32]int64 {
	t.Helper()
	listed, err := kadm.NewClient(client(t, cfg)).ListEndOffsets(t.Context(), cfg.Topic(name))
	if err != nil {
		t.Fatalf("list end offsets: %v", err)
	}
	ends := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends
}

// committedOffsets are what a group has committed of the inputs, by partition.
func committedOffsets(t *testing.T, cfg stream.Config, group string) map[int32]int64 {
	t.Helper()
	fetched, err := kadm.NewClient(client(t, cfg)).FetchOffsets(t.Context(), cfg.Group(group))
	if err != nil {
		t.Fatalf("fetch offsets: %v", err)
	}
	at := map[int32]int64{}
	for p, o := range fetched[cfg.Topic(inputs)] {
		at[p] = o.At
	}
	return at
}

// awaitEnd waits until the group has committed the high watermark of every partition of the inputs.
func awaitEnd(t *testing.T, cfg stream.Config, within time.Duration) {
	t.Helper()
	eventually(t, within, func() (string, bool) {
		have, want := committedOffsets(t, cfg, "copy"), endOffsets(t, cfg, inputs)
		diff := cmp.Diff(want, have)
		return "committed offsets differ from the ends (-want +got):\n" + diff, diff == ""
	})
}

func valueRange(from, n int) []string {
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprintf("v%d", from+i)
	}
	return values
}

func TestProcessorAnswersEveryInputOnceAndInOrder(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(2))
			commitInitial(t, cfg, "copy", inputs)
			put(t, cfg, inputs, 0, 0, 300)
			put(t, cfg, inputs, 1, 1000, 300)
			c := newCopier(cfg)
			p, stop := startProcessor(t, cfg, processorConfig(), c)
			awaitEnd(t, cfg, 30*time.Second)
			if err := p.Ready(); err != nil {
				t.Errorf("ready: %v", err)
			}
			if err := stop(); err != nil {
				t.Errorf("run: %v", err)
			}
			want := map[int32][]string{0: valueRange(0, 300), 1: valueRange(1000, 300)}
			if diff := cmp.Diff(want, committedValues(t, cfg, outputs)); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
			if repeats, _, _, _ := c.seen(); len(repeats) > 0 {
				t.Errorf("inputs processed twice: %v", repeats)
			}
		})
	}
}

func TestProcessorCommitsPastTrailingMarkersOfAnIdlePartition(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(2))
			commitInitial(t, cfg, "copy", inputs)
			// The first partition ends in a commit marker, the second holds nothing but an aborted transaction: there the
			// only thing to commit is the marker, in a transaction without output.
			putTxn(t, cfg, inputs, 0, kgo.TryCommit, "a", "b")
			putTxn(t, cfg, inputs, 1, kgo.TryAbort, "c")
			startProcessor(t, cfg, processorConfig(), newCopier(cfg))
			awaitEnd(t, cfg, 20*time.Second)
			if diff := cmp.Diff(map[int32]int64{0: 3, 1: 2}, committedOffsets(t, cfg, "copy")); diff != "" {
				t.Errorf("committed offsets (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[int32][]string{0: {"a", "b"}}, committedValues(t, cfg, outputs)); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProcessorTriesABatchAgainThatItsHandlerRefused(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(1))
			commitInitial(t, cfg, "copy", inputs)
			put(t, cfg, inputs, 0, 0, 50)
			c := newCopier(cfg)
			c.fail = func(batch int) error {
				if batch <= 2 {
					return errors.New("the view is not there yet")
				}
				return nil
			}
			startProcessor(t, cfg, processorConfig(), c)
			awaitEnd(t, cfg, 20*time.Second)
			if diff := cmp.Diff(map[int32][]string{0: valueRange(0, 50)}, committedValues(t, cfg, outputs)); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
			if _, batches, _, loads := c.seen(); batches < 3 || loads < 3 {
				t.Errorf("%d batches and %d loads, want a load before each of at least 3 batches", batches, loads)
			}
		})
	}
}

func TestProcessorStopsWithTheOperatorsMessageWhereNoOffsetIsCommitted(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(1))
			put(t, cfg, inputs, 0, 0, 1)
			p, err := stream.NewProcessor(cfg, processorConfig(), newCopier(cfg), deps(t))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var lost *stream.OffsetLostError
			if err := p.Run(ctx); !errors.As(err, &lost) || lost.Offset != -1 {
				t.Errorf("run: %v, want an OffsetLostError without an offset", err)
			}
		})
	}
}

func TestProcessorStopsWhereTheLogBeginsBeyondItsOffset(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(1))
			commitInitial(t, cfg, "copy", inputs)
			put(t, cfg, inputs, 0, 0, 10)
			deleteBelow(t, cfg, inputs, 0, 5)
			p, err := stream.NewProcessor(cfg, processorConfig(), newCopier(cfg), deps(t))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var lost *stream.OffsetLostError
			if err := p.Run(ctx); !errors.As(err, &lost) {
				t.Fatalf("run: %v, want an OffsetLostError", err)
			}
			if lost.Offset != 0 || lost.LogStart != 5 || lost.LogEnd != 10 {
				t.Errorf("lost at %d of [%d, %d), want 0 of [5, 10)", lost.Offset, lost.LogStart, lost.LogEnd)
			}
		})
	}
}

func deleteBelow(t *testing.T, cfg stream.Config, name topic.Name, partition int32, offset int64) {
	t.Helper()
	var offsets kadm.Offsets
	offsets.AddOffset(cfg.Topic(name), partition, offset, -1)
	resp, err := kadm.NewClient(client(t, cfg)).DeleteRecords(t.Context(), offsets)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		t.Fatalf("delete records: %v", err)
	}
}
