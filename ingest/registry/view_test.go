package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

const ws = "acme"

// log is an installation's topics, and a producer that writes them as an edge does.
type log struct {
	kafka    stream.Config
	master   *seal.Master
	producer *stream.Producer
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newLog(t *testing.T, brokers []string, prefix string) *log {
	t.Helper()
	master, err := seal.NewMaster(bytes.Repeat([]byte{7}, seal.KeyBytes))
	check(t, err)
	l := &log{kafka: stream.Config{Brokers: brokers, ClientID: "test", Prefix: strings.TrimSuffix(prefix, ".")}, master: master}
	_, err = stream.EnsureTopics(t.Context(), l.kafka, stream.Deps{Log: quiet()}, topic.Layout(topic.EmbeddedPartitions), 1)
	check(t, err)
	l.producer, err = stream.NewProducer(l.kafka, stream.ProducerConfig{}, stream.Deps{Log: quiet()})
	check(t, err)
	t.Cleanup(func() { check(t, l.producer.Close(context.WithoutCancel(t.Context()))) })
	return l
}

// append writes a record and gives back its place.
func (l *log) append(t *testing.T, name topic.Name, key, value []byte, at time.Time) stream.Offset {
	t.Helper()
	offsets, err := l.producer.Produce(t.Context(), &stream.Record{Topic: l.kafka.Topic(name), Key: key, Value: value, Timestamp: at})
	check(t, err)
	return offsets[0]
}

func customer(id string) object.Ref { return object.Ref{Type: object.Customer, ID: id} }

// put writes the state of a customer, with or without an external id.
func (l *log) put(t *testing.T, id, externalID string, at time.Time) {
	t.Helper()
	rec := object.Record{Version: object.RecordVersion, Workspace: ws, Type: object.Customer, ID: id, UpdatedAt: at}
	if externalID != "" {
		rec.ExternalToken = l.token(externalID)
	}
	value, err := json.Marshal(rec)
	check(t, err)
	l.append(t, topic.Objects, topic.Key(ws, "CUSTOMER", id), value, at)
}

func (l *log) remove(t *testing.T, id string) {
	t.Helper()
	l.append(t, topic.Objects, topic.Key(ws, "CUSTOMER", id), nil, time.Now())
}

func (l *log) token(externalID string) string {
	return l.master.ExternalToken(ws, object.Customer, externalID)
}

// view is a registry that follows the log until stop, or the end of the test.
type view struct {
	*registry.Registry

	reg  *prometheus.Registry
	stop func()
}

// open opens a registry; it does not follow the log before start.
func (l *log) open(t *testing.T, dir string) (*view, func()) {
	t.Helper()
	v := &view{reg: prometheus.NewRegistry()}
	var err error
	v.Registry, err = registry.Open(t.Context(), registry.Config{Dir: dir, BarrierTimeout: time.Second},
		registry.Deps{Kafka: l.kafka, Master: l.master, Log: quiet(), Reg: v.reg})
	check(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	start := sync.OnceFunc(func() {
		wg.Go(func() {
			if err := v.Run(ctx); err != nil {
				t.Errorf("run: %v", err)
			}
		})
	})
	v.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		check(t, v.Close())
	})
	t.Cleanup(v.stop)
	return v, start
}

func (l *log) follow(t *testing.T, dir string) *view {
	t.Helper()
	v, start := l.open(t, dir)
	start()
	return v
}

// counted is the value of a counter, summed over its labels.
func (v *view) counted(t *testing.T, name string) int {
	t.Helper()
	families, err := v.reg.Gather()
	check(t, err)
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return int(sum)
}

func kafka(t *testing.T) *log {
	t.Helper()
	return newLog(t, schematest.Kafka(t), schematest.Prefix(t))
}
