package link_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/ingest/link"
	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/schematest/golden"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

const partitions = 3

// world is a log with the topics of events and objects, a producer, and the linkers that a test starts.
type world struct {
	t        *testing.T
	kafka    stream.Config
	master   *seal.Master
	producer *stream.Producer
	watch    *stream.OffsetWatch
	// dir holds the local stores of the linker.
	dir string
	cfg link.Config
}

// onEachBroker runs a test against kfake and against Apache Kafka.
func onEachBroker(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Run("kfake", func(t *testing.T) {
		t.Parallel()
		test(newWorld(t, schematest.Kfake(t), true))
	})
	t.Run("apache", func(t *testing.T) {
		t.Parallel()
		test(newWorld(t, schematest.ApacheKafka(t), false))
	})
}

func newWorld(t *testing.T, brokers []string, embedded bool) *world {
	t.Helper()
	w := &world{
		t: t, dir: t.TempDir(), cfg: link.DefaultConfig(),
		kafka: stream.Config{
			Brokers: brokers, ClientID: "test", Prefix: strings.TrimSuffix(schematest.Prefix(t), "."), Embedded: embedded,
		},
	}
	var err error
	if w.master, err = seal.ParseMaster(golden.MasterKey); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.EnsureTopics(t.Context(), w.kafka, w.deps(), topic.Layout(partitions), 1); err != nil {
		t.Fatal(err)
	}
	if err := stream.CommitInitialOffsets(t.Context(), w.kafka, w.deps(), link.Group, []topic.Name{topic.Submissions}); err != nil {
		t.Fatal(err)
	}
	if w.producer, err = stream.NewProducer(w.kafka, stream.ProducerConfig{}, w.deps()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.producer.Close(context.WithoutCancel(t.Context())) })
	if w.watch, err = stream.NewOffsetWatch(w.kafka, w.deps()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.watch.Close)
	return w
}

func (w *world) deps() stream.Deps { return stream.Deps{Log: logTo(w.t.Name())} }

func logTo(name string) *slog.Logger {
	to := io.Discard
	if testing.Verbose() && os.Getenv("LINK_TEST_LOG") != "" {
		to = os.Stderr
	}
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: slog.LevelDebug})).With("test", name)
}

// start runs a registry and a linker until stop is called or the test ends.
func (w *world) start() (stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	result := make(chan error, 1)
	go func() { result <- runLinker(ctx, w.kafka, w.master, w.cfg, w.dir, logTo(w.t.Name())) }()
	stopped := false
	stop = func() {
		w.t.Helper()
		cancel()
		if stopped {
			return
		}
		stopped = true
		select {
		case err := <-result:
			if err != nil {
				w.t.Errorf("linker: %v", err)
			}
		case <-time.After(30 * time.Second):
			w.t.Error("linker did not stop within 30 s")
		}
	}
	w.t.Cleanup(stop)
	return stop
}

// runLinker is what the program does for link: a registry beside it, which ends after it.
func runLinker(ctx context.Context, kafka stream.Config, master *seal.Master, cfg link.Config, dir string, log *slog.Logger) error {
	reg := prometheus.NewRegistry()
	objects, err := registry.Open(ctx, registry.Config{Dir: filepath.Join(dir, "registry")}, registry.Deps{
		Kafka: kafka, Master: master, Log: log, Reg: reg,
	})
	if err != nil {
		return err
	}
	registryContext, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- objects.Run(registryContext) }()
	cfg.Dir = filepath.Join(dir, "link")
	service, err := link.New(cfg, link.Deps{Kafka: kafka, Objects: objects, Log: log, Reg: reg})
	if err == nil {
		err = service.Run(ctx)
	}
	end()
	if registryErr := <-ended; err == nil {
		err = registryErr
	}
	if closeErr := objects.Close(); err == nil {
		err = closeErr
	}
	return err
}

// put writes an object as the edge does: its data key first.
func (w *world) put(ref object.Ref, externalID string, relations ...object.Relation) *seal.KeyRecord {
	w.t.Helper()
	keyRecord, key, err := w.master.NewKey("acme", ref, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	w.produce(topic.SubjectKeys, topic.Key("acme", string(ref.Type), ref.ID, keyRecord.ID), w.encode(keyRecord))
	rec := &object.Record{
		Version: object.RecordVersion, Workspace: "acme", Type: ref.Type, ID: ref.ID, Relations: relations, UpdatedAt: time.Now().UTC(),
		KeyID: keyRecord.ID,
	}
	if externalID != "" {
		rec.ExternalToken = w.master.ExternalToken("acme", ref.Type, externalID)
	}
	rec.Sealed = key.Seal(w.encode(object.Personal{ExternalID: externalID}), rec.AdditionalData())
	w.produce(topic.Objects, topic.Key("acme", string(ref.Type), ref.ID), w.encode(rec))
	return keyRecord
}

func (w *world) encode(v any) []byte {
	w.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) produce(name topic.Name, key, value []byte) {
	w.t.Helper()
	if _, err := w.producer.Produce(w.t.Context(), &stream.Record{Topic: w.kafka.Topic(name), Key: key, Value: value}); err != nil {
		w.t.Fatal(err)
	}
}

// submit appends submissions as the edge does for a primary object that it has resolved.
func (w *world) submit(subs ...event.Submission) {
	w.t.Helper()
	records := make([]*stream.Record, len(subs))
	for i, s := range subs {
		value, err := s.Encode()
		if err != nil {
			w.t.Fatal(err)
		}
		records[i] = &stream.Record{
			Topic: w.kafka.Topic(topic.Submissions), Key: topic.Key(s.Workspace, string(s.Type), s.ObjectID), Value: value,
		}
	}
	if _, err := w.producer.Produce(w.t.Context(), records...); err != nil {
		w.t.Fatal(err)
	}
}

// settle waits until every submission is answered, forwarded ones too.
func (w *world) settle() {
	w.t.Helper()
	// A transaction takes a loaded broker half a second, and a killed member is missed for ten.
	deadline := time.Now().Add(3 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !w.answered() {
		if time.Now().After(deadline) {
			w.t.Fatal("submissions are not answered within three minutes")
		}
		<-tick.C
	}
}

// answered says whether every submission is. A broker that is away or starting gives no answer.
func (w *world) answered() bool {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
	defer cancel()
	// The order of the two matters: what was there at the time of the second look was answered at the first.
	done, err := w.watch.Committed(ctx, link.Group, topic.Submissions)
	if err != nil {
		return false
	}
	ends, err := w.watch.EndOffsets(ctx, topic.Submissions)
	return err == nil && cmp.Equal(done, ends)
}

// read gives all committed records of a topic, partition by partition.
func (w *world) read(name topic.Name) []*stream.Record {
	w.t.Helper()
	ends, err := w.watch.EndOffsets(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	from := map[int32]kgo.Offset{}
	for p := range ends {
		from[p] = kgo.NewOffset().AtStart()
	}
	client, err := stream.Open(w.kafka, logTo(w.t.Name()), nil,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{w.kafka.Topic(name): from}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
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
			w.t.Fatalf("read %s: %v", name, err)
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
	for p := range int32(partitions) {
		all = append(all, records[p]...)
	}
	return all
}

func (w *world) events() []*event.Event {
	w.t.Helper()
	var events []*event.Event
	for _, r := range w.read(topic.Events) {
		e, err := event.ParseEvent(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		if home := stream.PartitionOf(r.Key, partitions); home != r.Partition {
			w.t.Errorf("event %s is in partition %d, its object's is %d", e.ID, r.Partition, home)
		}
		events = append(events, e)
	}
	return events
}

func (w *world) rejections() []*event.Rejection {
	w.t.Helper()
	var rejections []*event.Rejection
	for _, r := range w.read(topic.Rejections) {
		rej, err := event.ParseRejection(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		rejections = append(rejections, rej)
	}
	return rejections
}

// open gives the personal part of an event.
func (w *world) open(e *event.Event, keyRecord *seal.KeyRecord) event.Personal {
	w.t.Helper()
	key, err := w.master.Unwrap(keyRecord)
	if err != nil {
		w.t.Fatal(err)
	}
	plain, err := key.Open(e.Sealed, e.AdditionalData())
	if err != nil {
		w.t.Fatal(err)
	}
	var p event.Personal
	if err := json.Unmarshal(plain, &p); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func customer(n int) object.Ref { return object.Ref{Type: object.Customer, ID: fmt.Sprintf("c%d", n)} }

// about is a submission about an object, as the edge writes it.
func about(ref object.Ref, id string) event.Submission {
	return event.Submission{
		ID: id, Workspace: "acme", Type: ref.Type, ObjectID: ref.ID, Name: "Viewed", ReceivedAt: event.TimeOf(time.Now()), Resolved: true,
		Payload: json.RawMessage(`{"n": 1}`),
	}
}
