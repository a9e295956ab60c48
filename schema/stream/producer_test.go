package stream_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline/throughline/schema/stream"
)

// produceKey is the number of the produce request.
const produceKey = 0

// fake starts a kfake whose answers a test can change.
func fake(t *testing.T) (*kfake.Cluster, stream.Config) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cfg := config(t, cluster.ListenAddrs())
	ensureTopics(t, cfg, specs(3))
	return cluster, cfg
}

func record(cfg stream.Config, i int) *stream.Record {
	return &stream.Record{Topic: cfg.Topic(inputs), Key: fmt.Appendf(nil, "k%d", i), Value: []byte("v")}
}

func TestProducerSaysWhereEachRecordIs(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(3))
			p := newProducer(t, cfg, stream.ProducerConfig{})
			var records []*stream.Record
			for i := range 30 {
				records = append(records, record(cfg, i))
			}
			offsets, err := p.Produce(t.Context(), records...)
			if err != nil {
				t.Fatal(err)
			}
			next := map[int32]int64{}
			for i, o := range offsets {
				want := stream.Offset{
					TopicPartition: stream.TopicPartition{Topic: cfg.Topic(inputs), Partition: stream.PartitionOf(records[i].Key, 3)},
				}
				want.Offset = next[want.Partition]
				next[want.Partition]++
				if diff := cmp.Diff(want, o); diff != "" {
					t.Errorf("record %d (-want +got):\n%s", i, diff)
				}
			}
			if diff := cmp.Diff(endOffsets(t, cfg, inputs), next); diff != "" {
				t.Errorf("the ends of the log (-log +produced):\n%s", diff)
			}
		})
	}
}

func TestProducerRefusesALargeRecordAndAppendsItsNeighbours(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(1))
			p := newProducer(t, cfg, stream.ProducerConfig{})
			large := record(cfg, 1)
			large.Value = make([]byte, 2<<20)
			results := p.ProduceEach(t.Context(), []*stream.Record{record(cfg, 0), large, record(cfg, 2)})
			if results[0].Err != nil || results[2].Err != nil {
				t.Errorf("neighbours: %v, %v", results[0].Err, results[2].Err)
			}
			if !errors.Is(results[1].Err, stream.ErrTooLarge) || results[1].Unknown() {
				t.Errorf("large record: %v (unknown %t), want ErrTooLarge for certain", results[1].Err, results[1].Unknown())
			}
		})
	}
}

func TestProducerSendsNothingForACallerThatIsGone(t *testing.T) {
	t.Parallel()
	_, cfg := fake(t)
	p := newProducer(t, cfg, stream.ProducerConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	results := p.ProduceEach(ctx, []*stream.Record{record(cfg, 0)})
	if !errors.Is(results[0].Err, context.Canceled) || results[0].Unknown() {
		t.Errorf("result: %v (unknown %t), want a cancellation for certain", results[0].Err, results[0].Unknown())
	}
	if diff := cmp.Diff(map[int32]int64{0: 0, 1: 0, 2: 0}, endOffsets(t, cfg, inputs)); diff != "" {
		t.Errorf("ends (-want +got):\n%s", diff)
	}
}

// holdProduce lets no produce request be answered until release is called.
func holdProduce(cluster *kfake.Cluster) (arrived <-chan struct{}, release func()) {
	held, open := make(chan struct{}, 100), make(chan struct{})
	cluster.ControlKey(produceKey, func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		held <- struct{}{}
		cluster.SleepControl(func() { <-open })
		return nil, nil, false
	})
	return held, func() { close(open) }
}

func TestProducerKeepsARecordOnItsWayWhenTheCallerLeaves(t *testing.T) {
	t.Parallel()
	cluster, cfg := fake(t)
	arrived, release := holdProduce(cluster)
	p := newProducer(t, cfg, stream.ProducerConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	results := p.ProduceEach(ctx, []*stream.Record{record(cfg, 0)})
	if !errors.Is(results[0].Err, context.Canceled) || !results[0].Unknown() {
		t.Errorf("result: %v (unknown %t), want an unknown outcome", results[0].Err, results[0].Unknown())
	}
	release()
	eventually(t, 10*time.Second, func() (string, bool) {
		ends := endOffsets(t, cfg, inputs)
		return fmt.Sprint(ends), ends[0]+ends[1]+ends[2] == 1
	})
}

func TestProducerRefusesAtOnceWhenItsBufferIsFull(t *testing.T) {
	t.Parallel()
	cluster, cfg := fake(t)
	arrived, release := holdProduce(cluster)
	p := newProducer(t, cfg, stream.ProducerConfig{MaxBufferedBytes: 10_000})
	big := func() *stream.Record {
		r := record(cfg, 0)
		r.Value = make([]byte, 6_000)
		return r
	}
	first := make(chan stream.Result, 1)
	go func() { first <- p.ProduceEach(t.Context(), []*stream.Record{big()})[0] }()
	<-arrived
	start := time.Now()
	results := p.ProduceEach(t.Context(), []*stream.Record{big()})
	if !errors.Is(results[0].Err, stream.ErrOverloaded) || results[0].Unknown() {
		t.Errorf("result: %v (unknown %t), want ErrOverloaded for certain", results[0].Err, results[0].Unknown())
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("the refusal took %s", took)
	}
	release()
	if r := <-first; r.Err != nil {
		t.Errorf("the record that was in the buffer: %v", r.Err)
	}
}

func TestProducerSaysUnavailableWhenNobodyAcknowledges(t *testing.T) {
	t.Parallel()
	cluster, cfg := fake(t)
	cluster.ControlKey(produceKey, func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		produce, ok := req.(*kmsg.ProduceRequest)
		if !ok {
			return nil, nil, false
		}
		resp, _ := produce.ResponseKind().(*kmsg.ProduceResponse)
		for _, t := range produce.Topics {
			answer := kmsg.NewProduceResponseTopic()
			answer.Topic, answer.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				partition := kmsg.NewProduceResponseTopicPartition()
				partition.Partition, partition.ErrorCode = p.Partition, kerr.NotEnoughReplicas.Code
				answer.Partitions = append(answer.Partitions, partition)
			}
			resp.Topics = append(resp.Topics, answer)
		}
		return resp, nil, true
	})
	p := newProducer(t, cfg, stream.ProducerConfig{RecordTimeout: time.Second})
	_, err := p.Produce(t.Context(), record(cfg, 0))
	if !errors.Is(err, stream.ErrUnavailable) {
		t.Errorf("produce: %v, want ErrUnavailable", err)
	}
}

func TestProducerClosedRefuses(t *testing.T) {
	t.Parallel()
	_, cfg := fake(t)
	p := newProducer(t, cfg, stream.ProducerConfig{})
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Produce(t.Context(), record(cfg, 0)); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("produce after close: %v, want ErrClosed", err)
	}
}

func TestPartitionOfAgreesWithTheClientsDefault(t *testing.T) {
	t.Parallel()
	_, cfg := fake(t)
	cl := client(t, cfg, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	for i := range 50 {
		r := record(cfg, i)
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if want := stream.PartitionOf(r.Key, 3); r.Partition != want {
			t.Errorf("key %s went to %d, PartitionOf says %d", r.Key, r.Partition, want)
		}
	}
	// Values that Kafka's own client computes for murmur2 modulo 12.
	got := []int32{stream.PartitionOf([]byte("21"), 12), stream.PartitionOf([]byte("foobar"), 12)}
	if diff := cmp.Diff([]int32{int32((-973932308 & 0x7fffffff) % 12), int32((-790332482 & 0x7fffffff) % 12)}, got); diff != "" {
		t.Errorf("partitions (-kafka +got):\n%s", diff)
	}
}
