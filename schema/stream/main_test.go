package stream_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

func TestMain(m *testing.M) {
	// The test of kill -9 runs this binary again as the process to be killed.
	if os.Getenv(childEnv) != "" {
		os.Exit(runChild())
	}
	os.Exit(schematest.Main(m))
}

const (
	inputs  topic.Name = "inputs.v1"
	outputs topic.Name = "outputs.v1"
	others  topic.Name = "others.v1"
)

func specs(partitions int) []topic.Spec {
	return []topic.Spec{
		{Name: inputs, Partitions: partitions},
		{Name: outputs, Partitions: partitions},
		{Name: others, Partitions: partitions},
	}
}

func deps(t *testing.T) stream.Deps {
	t.Helper()
	if os.Getenv("STREAM_TEST_LOG") == "" {
		return stream.Deps{Log: slog.New(slog.DiscardHandler)}
	}
	handler := slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})
	return stream.Deps{Log: slog.New(handler).With("test", t.Name())}
}

// broker is one of the brokers that a test runs against.
type broker struct {
	name   string
	config func(t *testing.T) stream.Config
}

// brokers are kfake, one for each test, and an Apache Kafka that all share.
func brokers() []broker {
	return []broker{
		{"kfake", func(t *testing.T) stream.Config {
			t.Helper()
			cfg := config(t, schematest.Kfake(t))
			cfg.Embedded = true
			return cfg
		}},
		{"apache", func(t *testing.T) stream.Config {
			t.Helper()
			return config(t, schematest.ApacheKafka(t))
		}},
	}
}

func config(t *testing.T, brokers []string) stream.Config {
	t.Helper()
	return stream.Config{Brokers: brokers, ClientID: "test", Prefix: strings.TrimSuffix(schematest.Prefix(t), ".")}
}

func ensureTopics(t *testing.T, cfg stream.Config, specs []topic.Spec) {
	t.Helper()
	if _, err := stream.EnsureTopics(t.Context(), cfg, deps(t), specs, 1); err != nil {
		t.Fatalf("ensure topics: %v", err)
	}
}

func commitInitial(t *testing.T, cfg stream.Config, group string, topics ...topic.Name) {
	t.Helper()
	if err := stream.CommitInitialOffsets(t.Context(), cfg, deps(t), group, topics); err != nil {
		t.Fatalf("commit initial offsets: %v", err)
	}
}

// client opens a plain client, for what a test does to the log behind the package's back.
func client(t *testing.T, cfg stream.Config, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := stream.Open(cfg, deps(t).Log, nil, opts...)
	if err != nil {
		t.Fatalf("open client: %v", err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// put appends n records with the values from, from+1 … to one partition.
func put(t *testing.T, cfg stream.Config, name topic.Name, partition int32, from, n int) {
	t.Helper()
	cl := client(t, cfg, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{
			Topic: cfg.Topic(name), Partition: partition,
			Key: fmt.Appendf(nil, "k%d", from+i), Value: fmt.Appendf(nil, "v%d", from+i),
		}
	}
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatalf("put: %v", err)
	}
}

// putTxn appends records to one partition in a transaction that is committed or aborted.
func putTxn(t *testing.T, cfg stream.Config, name topic.Name, partition int32, commit kgo.TransactionEndTry, values ...string) {
	t.Helper()
	cl := client(t, cfg, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(cfg.Prefix+"-put-"+values[0]))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatalf("begin: %v", err)
	}
	for _, v := range values {
		r := &kgo.Record{Topic: cfg.Topic(name), Partition: partition, Key: []byte(v), Value: []byte(v)}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatalf("produce: %v", err)
		}
	}
	if err := cl.EndTransaction(t.Context(), commit); err != nil {
		t.Fatalf("end: %v", err)
	}
}

// eventually polls until ok, and fails the test with what it says last.
func eventually(t *testing.T, within time.Duration, ok func() (string, bool)) {
	t.Helper()
	deadline := time.Now().Add(within)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		last, done := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, last)
		}
		<-tick.C
	}
}

// inBackground runs f until the test ends or stop is called, and gives its error.
func inBackground(t *testing.T, f func(context.Context) error) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	result := make(chan error, 1)
	go func() { result <- f(ctx) }()
	done := false
	var err error
	stop = func() error {
		cancel()
		if !done {
			done = true
			select {
			case err = <-result:
			case <-time.After(30 * time.Second):
				err = errors.New("did not stop within 30 s")
			}
		}
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}
