package link_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/ingest/link"
	"github.com/throughline/throughline/ingest/logtest"
	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// world is a log, and the linkers that a test starts.
type world struct {
	*logtest.Log

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
	return &world{
		Log: logtest.New(t, brokers, embedded, link.Group, topic.Submissions), dir: t.TempDir(), cfg: link.DefaultConfig(),
	}
}

// linker is the one that the world is about.
func (w *world) linker() linker {
	return linker{Kafka: w.Kafka, Master: w.Master, Link: w.cfg, Dir: w.dir, Log: logtest.Logger(w.T.Name()), Reg: prometheus.NewRegistry()}
}

// start runs a registry and a linker until stop is called or the test ends.
func (w *world) start() (stop func()) {
	w.T.Helper()
	return w.Start(w.linker().run)
}

// linker is what a linker needs to run.
type linker struct {
	Kafka  stream.Config
	Master *seal.Master
	Link   link.Config
	Dir    string
	Log    *slog.Logger
	Reg    *prometheus.Registry
	// LoadBatch is after how many events a load writes, if it is not zero.
	LoadBatch int
}

// run is what the program does for link: a registry beside it, which ends after it.
func (l linker) run(ctx context.Context) error {
	objects, err := registry.Open(ctx, registry.Config{Dir: filepath.Join(l.Dir, "registry")}, registry.Deps{
		Kafka: l.Kafka, Master: l.Master, Log: l.Log, Reg: l.Reg,
	})
	if err != nil {
		return err
	}
	registryContext, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- objects.Run(registryContext) }()
	l.Link.Dir = filepath.Join(l.Dir, "link")
	service, err := link.New(l.Link, link.Deps{Kafka: l.Kafka, Objects: objects, Log: l.Log, Reg: l.Reg})
	if err == nil {
		if l.LoadBatch > 0 {
			service.LoadInBatchesOf(l.LoadBatch)
		}
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

// submit appends submissions as the edge does for a primary object that it has resolved.
func (w *world) submit(subs ...event.Submission) {
	w.T.Helper()
	records := make([]*stream.Record, len(subs))
	for i, s := range subs {
		value, err := s.Encode()
		if err != nil {
			w.T.Fatal(err)
		}
		records[i] = &stream.Record{
			Topic: w.Kafka.Topic(topic.Submissions), Key: topic.Key(s.Workspace, string(s.Type), s.ObjectID), Value: value,
		}
	}
	if _, err := w.Producer.Produce(w.T.Context(), records...); err != nil {
		w.T.Fatal(err)
	}
}

func (w *world) events() []*event.Event {
	w.T.Helper()
	var events []*event.Event
	for _, r := range w.Read(topic.Events) {
		e, err := event.ParseEvent(r.Value)
		if err != nil {
			w.T.Fatal(err)
		}
		if home := stream.PartitionOf(r.Key, logtest.Partitions); home != r.Partition {
			w.T.Errorf("event %s is in partition %d, its object's is %d", e.ID, r.Partition, home)
		}
		events = append(events, e)
	}
	return events
}

func (w *world) rejections() []*event.Rejection {
	w.T.Helper()
	var rejections []*event.Rejection
	for _, r := range w.Read(topic.Rejections) {
		rej, err := event.ParseRejection(r.Value)
		if err != nil {
			w.T.Fatal(err)
		}
		rejections = append(rejections, rej)
	}
	return rejections
}

// open gives the personal part of an event.
func (w *world) open(e *event.Event, keyRecord *seal.KeyRecord) event.Personal {
	w.T.Helper()
	key, err := w.Master.Unwrap(keyRecord)
	if err != nil {
		w.T.Fatal(err)
	}
	plain, err := key.Open(e.Sealed, e.AdditionalData())
	if err != nil {
		w.T.Fatal(err)
	}
	var p event.Personal
	if err := json.Unmarshal(plain, &p); err != nil {
		w.T.Fatal(err)
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
