package stream_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

func alterTopic(t *testing.T, cfg stream.Config, name topic.Name, key, value string) {
	t.Helper()
	resps, err := kadm.NewClient(client(t, cfg)).AlterTopicConfigs(t.Context(),
		[]kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, cfg.Topic(name))
	for _, r := range resps {
		err = errors.Join(err, r.Err)
	}
	if err != nil {
		t.Fatalf("alter topic: %v", err)
	}
}

func TestProcessorAbortsWhenOneOutputFailsAndLosesNothing(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(1))
			commitInitial(t, cfg, "copy", inputs)
			// The broker refuses one output of the batch; its neighbours are acknowledged before and after it.
			alterTopic(t, cfg, outputs, "max.message.bytes", "2000")
			var noise strings.Builder
			for noise.Len() < 6000 {
				noise.WriteString(rand.Text()) // does not compress below 2,000 bytes
			}
			big := noise.String()
			cl := client(t, cfg)
			for _, v := range []string{"a", big, "b"} {
				// In transactions of their own for the producer, so that each is a batch that the broker judges alone.
				if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: cfg.Topic(inputs), Key: []byte(v[:1]), Value: []byte(v)}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			c := newCopier(cfg)
			startProcessor(t, cfg, processorConfig(), c)
			eventually(t, 20*time.Second, func() (string, bool) {
				_, batches, discards, _ := c.seen()
				return fmt.Sprintf("%d batches, %d discards", batches, discards), discards >= 2
			})
			if at := committedOffsets(t, cfg, "copy")[0]; at > 1 {
				t.Errorf("offset %d was committed although an output at 1 failed", at)
			}
			alterTopic(t, cfg, outputs, "max.message.bytes", "1048576")
			awaitEnd(t, cfg, 20*time.Second)
			if diff := cmp.Diff(map[int32][]string{0: {"a", big, "b"}}, committedValues(t, cfg, outputs)); diff != "" {
				t.Errorf("outputs (-want +got):\n%.500s", diff)
			}
		})
	}
}

func TestProcessorSkipsExactlyWhatATornTransactionHadAnswered(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(1))
			commitInitial(t, cfg, "copy", inputs)
			put(t, cfg, inputs, 0, 0, 10)
			// Outputs of the inputs 2, 3 and 7 are in the log, and their offset was not committed.
			cl := client(t, cfg)
			for _, o := range []int64{2, 3, 7} {
				r := &kgo.Record{Topic: cfg.Topic(outputs), Value: fmt.Appendf(nil, "torn%d", o)}
				stream.SetOrigin(r, &kgo.Record{Topic: cfg.Topic(inputs), Partition: 0, Offset: o})
				if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			c := newCopier(cfg)
			startProcessor(t, cfg, processorConfig(), c)
			awaitEnd(t, cfg, 20*time.Second)
			want := []string{"torn2", "torn3", "torn7", "v0", "v1", "v4", "v5", "v6", "v8", "v9"}
			if diff := cmp.Diff(want, committedValues(t, cfg, outputs)[0]); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
			if repeats, _, _, _ := c.seen(); len(repeats) > 0 {
				t.Errorf("inputs processed twice: %v", repeats)
			}
		})
	}
}

func TestProcessorWaitsForAnOpenTransactionBeforeItTrustsTheOutputs(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(1))
			commitInitial(t, cfg, "copy", inputs)
			put(t, cfg, inputs, 0, 0, 4)
			// The former owner has written the output of input 1, and its transaction is still open when the load begins.
			former := client(t, cfg, kgo.TransactionalID(cfg.Prefix+"-former"))
			if err := former.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			r := &kgo.Record{Topic: cfg.Topic(outputs), Value: []byte("former")}
			stream.SetOrigin(r, &kgo.Record{Topic: cfg.Topic(inputs), Partition: 0, Offset: 1})
			if err := former.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
			c := newCopier(cfg)
			p, _ := startProcessor(t, cfg, processorConfig(), c)
			eventually(t, 20*time.Second, func() (string, bool) {
				err := p.Ready()
				return fmt.Sprint(err), err != nil && strings.Contains(err.Error(), "is loading partition 0")
			})
			if err := former.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
				t.Fatal(err)
			}
			awaitEnd(t, cfg, 20*time.Second)
			if diff := cmp.Diff([]string{"former", "v0", "v2", "v3"}, committedValues(t, cfg, outputs)[0]); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProcessorFencesTheTransactionOfItsPredecessor(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			// Kafka alone keeps the transactional id; with the nonce nothing is fenced.
			cfg.Embedded = false
			ensureTopics(t, cfg, specs(1))
			commitInitial(t, cfg, "copy", inputs)
			put(t, cfg, inputs, 0, 0, 3)
			pc := processorConfig()
			pc.TxnTimeout = time.Minute
			id := cfg.Group(pc.Role) + "." + pc.Instance
			predecessor := client(t, cfg, kgo.TransactionalID(id), kgo.TransactionTimeout(time.Minute))
			if err := predecessor.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			r := &kgo.Record{Topic: cfg.Topic(outputs), Value: []byte("hung")}
			if err := predecessor.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
			// Far below the minute after which the broker would end the hung transaction by itself.
			startProcessor(t, cfg, pc, newCopier(cfg))
			awaitEnd(t, cfg, 20*time.Second)
			if diff := cmp.Diff([]string{"v0", "v1", "v2"}, committedValues(t, cfg, outputs)[0]); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
		})
	}
}

// leaveMember leaves a member with all of inputs in the group of a role, as one does that is killed. The group misses it after
// minutes only.
func leaveMember(t *testing.T, cfg stream.Config, role, name string) {
	t.Helper()
	left := cfg
	left.ClientID = name
	// Where a member has an instance id of the group's, its client says nothing when it is closed.
	member := client(t, left, kgo.ConsumerGroup(cfg.Group(role)), kgo.ConsumeTopics(cfg.Topic(inputs)), kgo.DisableAutoCommit(),
		kgo.InstanceID("left"), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(5*time.Minute), kgo.RebalanceTimeout(5*time.Minute))
	if err := member.PollFetches(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	member.Close()
}

// TestProcessorDoesNotWaitForAMemberThatItsPredecessorLeft has a member of the same instance in the group that went without a
// word.
func TestProcessorDoesNotWaitForAMemberThatItsPredecessorLeft(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(1))
			commitInitial(t, cfg, "copy", inputs)
			put(t, cfg, inputs, 0, 0, 3)
			pc := processorConfig()
			leaveMember(t, cfg, pc.Role, cfg.ClientID+"-"+pc.Instance+"-"+pc.Role+"@"+pc.Instance)
			startProcessor(t, cfg, pc, newCopier(cfg))
			awaitEnd(t, cfg, 2*time.Minute)
		})
	}
}

func TestProcessorsShareTheWorkThroughRebalancesWithoutLossOrRepeat(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			const partitions, rounds, each = 4, 12, 100
			ensureTopics(t, cfg, specs(partitions))
			commitInitial(t, cfg, "copy", inputs)
			members := []*copier{newCopier(cfg), newCopier(cfg), newCopier(cfg)}
			for i, c := range members {
				// Long enough batches for rebalances to fall into them.
				c.delay = func(ctx context.Context) {
					select {
					case <-ctx.Done():
					case <-time.After(time.Duration(5+5*i) * time.Millisecond):
					}
				}
			}
			pc := processorConfig()
			pc.MaxBatchRecords = 50
			startProcessor(t, cfg, pc, members[0])
			var stops []func() error
			want := map[int32][]string{}
			for round := range rounds {
				for p := range int32(partitions) {
					from := (round*partitions + int(p)) * each
					put(t, cfg, inputs, p, from, each)
					want[p] = append(want[p], valueRange(from, each)...)
				}
				switch round {
				case 2, 5:
					joining := pc
					joining.Instance = fmt.Sprintf("m%d", round)
					_, stop := startProcessor(t, cfg, joining, members[1+len(stops)])
					stops = append(stops, stop)
				case 8:
					if err := stops[0](); err != nil {
						t.Errorf("stop: %v", err)
					}
				}
			}
			awaitEnd(t, cfg, 40*time.Second)
			if diff := cmp.Diff(want, committedValues(t, cfg, outputs)); diff != "" {
				t.Errorf("outputs (-want +got):\n%.2000s", diff)
			}
			for i, c := range members {
				repeats, batches, _, _ := c.seen()
				if len(repeats) > 0 {
					t.Errorf("member %d processed inputs twice: %v", i, repeats)
				}
				t.Logf("member %d: %d batches", i, batches)
			}
		})
	}
}

// handlerFunc is a Handler without state.
type handlerFunc func(p int32, in []*stream.Record) []*stream.Record

func (handlerFunc) Load(context.Context, int32, *stream.OutputReader) error { return nil }
func (f handlerFunc) Process(_ context.Context, p int32, in []*stream.Record) ([]*stream.Record, error) {
	return f(p, in), nil
}
func (handlerFunc) Commit(context.Context, []stream.Done) error { return nil }
func (handlerFunc) Discard()                                    {}
func (handlerFunc) Unload(int32)                                {}

func TestProcessorHoldsItsHandlerToTheContract(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(1))
			commitInitial(t, cfg, "copy", inputs)
			put(t, cfg, inputs, 0, 0, 1)
			output := func(name topic.Name, partition int32, origin bool, size int) handlerFunc {
				return func(_ int32, in []*stream.Record) []*stream.Record {
					r := &stream.Record{Topic: cfg.Topic(name), Partition: partition, Value: make([]byte, size)}
					if origin {
						stream.SetOrigin(r, in[0])
					}
					return []*stream.Record{r}
				}
			}
			for name, c := range map[string]struct {
				handler handlerFunc
				want    error
			}{
				"an output without origin":            {output(outputs, 0, false, 1), stream.ErrStop},
				"an output to a topic not named":      {output(inputs, 0, true, 1), stream.ErrStop},
				"an output to a missing partition":    {output(outputs, 1, true, 1), stream.ErrStop},
				"an output that no broker would take": {output(outputs, 0, true, 2<<20), stream.ErrTooLarge},
			} {
				p, err := stream.NewProcessor(cfg, processorConfig(), c.handler, deps(t))
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				if err := p.Run(ctx); !errors.Is(err, c.want) {
					t.Errorf("%s: %v, want %v", name, err, c.want)
				}
				cancel()
			}
		})
	}
}

func TestProcessorReplacesAnOversizedOutput(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(1))
			commitInitial(t, cfg, "copy", inputs)
			put(t, cfg, inputs, 0, 0, 2)
			pc := processorConfig()
			pc.Oversized = func(out *stream.Record) *stream.Record {
				return &stream.Record{Topic: cfg.Topic(others), Value: []byte("cut"), Headers: slices.Clone(out.Headers)}
			}
			startProcessor(t, cfg, pc, handlerFunc(func(_ int32, in []*stream.Record) []*stream.Record {
				var out []*stream.Record
				for _, r := range in {
					o := &stream.Record{Topic: cfg.Topic(outputs), Value: r.Value}
					if r.Offset == 1 {
						o.Value = make([]byte, 2<<20)
					}
					stream.SetOrigin(o, r)
					out = append(out, o)
				}
				return out
			}))
			awaitEnd(t, cfg, 20*time.Second)
			if diff := cmp.Diff(map[int32][]string{0: {"v0"}}, committedValues(t, cfg, outputs)); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[int32][]string{0: {"cut"}}, committedValues(t, cfg, others)); diff != "" {
				t.Errorf("dead letters (-want +got):\n%s", diff)
			}
		})
	}
}
