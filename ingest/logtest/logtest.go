// Package logtest is the log as tests of the write side use it: its topics, what writes them as an edge does, and what reads
// them to their ends. It serves tests alone.
package logtest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/schematest/golden"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// Partitions is the number of partitions of each partitioned topic.
const Partitions = 3

// Log is one installation's log, with one consumer group.
type Log struct {
	T        *testing.T
	Kafka    stream.Config
	Master   *seal.Master
	Producer *stream.Producer
	Watch    *stream.OffsetWatch

	group string
	input topic.Name
}

// New makes the topics of an installation, and the first offsets of the group that reads input.
func New(t *testing.T, brokers []string, embedded bool, group string, input topic.Name) *Log {
	t.Helper()
	l := &Log{
		T: t, group: group, input: input,
		Kafka: stream.Config{Brokers: brokers, ClientID: "test", Prefix: strings.TrimSuffix(schematest.Prefix(t), "."), Embedded: embedded},
	}
	var err error
	if l.Master, err = seal.ParseMaster(golden.MasterKey); err != nil {
		t.Fatal(err)
	}
	deps := stream.Deps{Log: Logger(t.Name())}
	if _, err := stream.EnsureTopics(t.Context(), l.Kafka, deps, topic.Layout(Partitions), 1); err != nil {
		t.Fatal(err)
	}
	if err := stream.CommitInitialOffsets(t.Context(), l.Kafka, deps, group, []topic.Name{input}); err != nil {
		t.Fatal(err)
	}
	if l.Producer, err = stream.NewProducer(l.Kafka, stream.ProducerConfig{}, deps); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Producer.Close(context.WithoutCancel(t.Context())) })
	if l.Watch, err = stream.NewOffsetWatch(l.Kafka, deps); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Watch.Close)
	return l
}

// Logger says nothing, unless INGEST_TEST_LOG is set and the tests are verbose.
func Logger(name string) *slog.Logger {
	to := io.Discard
	if testing.Verbose() && os.Getenv("INGEST_TEST_LOG") != "" {
		to = os.Stderr
	}
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: slog.LevelDebug})).With("test", name)
}

// Start runs something until stop is called or the test ends. It must return nil then.
func (l *Log) Start(run func(context.Context) error) (stop func()) {
	l.T.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(l.T.Context()))
	result := make(chan error, 1)
	go func() { result <- run(ctx) }()
	stopped := false
	stop = func() {
		l.T.Helper()
		cancel()
		if stopped {
			return
		}
		stopped = true
		select {
		case err := <-result:
			if err != nil {
				l.T.Errorf("run: %v", err)
			}
		case <-time.After(30 * time.Second):
			l.T.Error("it did not stop within 30 s")
		}
	}
	l.T.Cleanup(stop)
	return stop
}

// Put writes an object as the edge does: its data key first.
func (l *Log) Put(ref object.Ref, externalID string, relations ...object.Relation) *seal.KeyRecord {
	l.T.Helper()
	keyRecord, key, err := l.Master.NewKey("acme", ref, time.Now())
	if err != nil {
		l.T.Fatal(err)
	}
	l.Produce(topic.SubjectKeys, topic.Key("acme", string(ref.Type), ref.ID, keyRecord.ID), l.Encode(keyRecord))
	rec := &object.Record{
		Version: object.RecordVersion, Workspace: "acme", Type: ref.Type, ID: ref.ID, Relations: relations, UpdatedAt: time.Now().UTC(),
		KeyID: keyRecord.ID,
	}
	if externalID != "" {
		rec.ExternalToken = l.Master.ExternalToken("acme", ref.Type, externalID)
	}
	rec.Sealed = key.Seal(l.Encode(object.Personal{ExternalID: externalID}), rec.AdditionalData())
	l.Produce(topic.Objects, topic.Key("acme", string(ref.Type), ref.ID), l.Encode(rec))
	return keyRecord
}

// Encode is the JSON text of a value.
func (l *Log) Encode(v any) []byte {
	l.T.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		l.T.Fatal(err)
	}
	return b
}

// Produce appends a record.
func (l *Log) Produce(name topic.Name, key, value []byte) {
	l.T.Helper()
	if _, err := l.Producer.Produce(l.T.Context(), &stream.Record{Topic: l.Kafka.Topic(name), Key: key, Value: value}); err != nil {
		l.T.Fatal(err)
	}
}

// Settle waits until every input is answered, those too that were forwarded.
func (l *Log) Settle() {
	l.T.Helper()
	// A transaction takes a loaded broker half a second, and a killed member is missed for ten.
	deadline := time.Now().Add(3 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !l.Answered() {
		if time.Now().After(deadline) {
			l.T.Fatal("inputs are not answered within three minutes")
		}
		<-tick.C
	}
}

// Answered says whether every input is. A broker that is away or starting gives no answer.
func (l *Log) Answered() bool {
	l.T.Helper()
	ctx, cancel := context.WithTimeout(l.T.Context(), time.Second)
	defer cancel()
	// The order of the two matters: what was there at the time of the second look was answered at the first.
	done, err := l.Watch.Committed(ctx, l.group, l.input)
	if err != nil {
		return false
	}
	ends, err := l.Watch.EndOffsets(ctx, l.input)
	return err == nil && cmp.Equal(done, ends)
}

// Read gives all committed records of a topic, partition by partition.
func (l *Log) Read(name topic.Name) []*stream.Record {
	l.T.Helper()
	ends, err := l.Watch.EndOffsets(l.T.Context(), name)
	if err != nil {
		l.T.Fatal(err)
	}
	from := map[int32]kgo.Offset{}
	for p := range ends {
		from[p] = kgo.NewOffset().AtStart()
	}
	client, err := stream.Open(l.Kafka, Logger(l.T.Name()), nil,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.Kafka.Topic(name): from}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		l.T.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(l.T.Context(), 30*time.Second)
	defer cancel()
	records := make(map[int32][]*stream.Record)
	for p, end := range ends {
		if end == 0 {
			delete(ends, p)
		}
	}
	for len(ends) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			l.T.Fatalf("read %s: %v", name, err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if !stream.IsControl(r) {
				records[r.Partition] = append(records[r.Partition], r)
			}
			if end, ok := ends[r.Partition]; ok && r.Offset+1 >= end {
				delete(ends, r.Partition)
			}
		}
	}
	var all []*stream.Record
	for p := range int32(Partitions) {
		all = append(all, records[p]...)
	}
	return all
}
