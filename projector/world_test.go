package projector

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
)

const patience = 3 * time.Minute

func TestMain(m *testing.M) {
	// The test of kill -9 runs this binary again as the process to be killed.
	if os.Getenv(childEnv) != "" {
		os.Exit(runChild())
	}
	os.Exit(schematest.Main(m))
}

// world is a Kafka prefix and a database of one test.
type world struct {
	kafka    stream.Config
	store    store.Config
	conn     store.Conn
	producer *stream.Producer
	// client appends records of any time; the producer gives those up that are older than its timeout.
	client *kgo.Client
	master *seal.Master
	log    *slog.Logger
	dir    string
}

var testMaster = [seal.KeyBytes]byte{1, 2, 3}

func newWorld(tb testing.TB, partitions int) *world {
	tb.Helper()
	db := schematest.ClickHouse(tb)
	return newWorldAt(tb, partitions, store.Config{Addr: db.Addr, Database: db.Database, User: db.User, Password: db.Password})
}

func newWorldAt(tb testing.TB, partitions int, at store.Config) *world {
	tb.Helper()
	w := &world{
		kafka: stream.Config{Brokers: schematest.Kafka(tb), ClientID: "test", Prefix: strings.TrimSuffix(schematest.Prefix(tb), ".")},
		store: at,
		dir:   tb.TempDir(), log: testLog(tb),
	}
	ctx := tb.Context()
	must(tb, w.open(ctx))
	var err error
	w.client, err = stream.Open(w.kafka, w.log, nil)
	must(tb, err)
	tb.Cleanup(w.client.Close)
	tb.Cleanup(func() { must(tb, w.conn.Close()) })
	tb.Cleanup(func() { must(tb, w.producer.Close(context.WithoutCancel(ctx))) })
	_, err = store.Migrate(ctx, w.conn, table.Migrations(), nil)
	must(tb, err)
	deps := stream.Deps{Log: w.log}
	_, err = stream.EnsureTopics(ctx, w.kafka, deps, topic.Layout(partitions), 1)
	must(tb, err)
	for _, g := range Groups() {
		must(tb, stream.CommitInitialOffsets(ctx, w.kafka, deps, g.Name, g.Topics))
	}
	return w
}

// open opens what a service works with; the child of the kill test does it, too.
func (w *world) open(ctx context.Context) error {
	var err error
	if w.master, err = seal.NewMaster(testMaster[:]); err != nil {
		return err
	}
	if w.conn, err = store.Open(ctx, w.store, store.ReadWrite); err != nil {
		return err
	}
	w.producer, err = stream.NewProducer(w.kafka, stream.ProducerConfig{}, stream.Deps{Log: w.log})
	return err
}

func testLog(tb testing.TB) *slog.Logger {
	tb.Helper()
	to := io.Discard
	if os.Getenv("PROJECTOR_TEST_LOG") != "" {
		to = os.Stderr
	}
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: slog.LevelDebug})).With("test", tb.Name())
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func (w *world) deps(reg prometheus.Registerer) Deps {
	return Deps{Kafka: w.kafka, Producer: w.producer, Store: w.conn, Master: w.master, Log: w.log, Reg: reg}
}

func (w *world) config() Config {
	cfg := DefaultConfig()
	cfg.Dir = w.dir + "/keys"
	return cfg
}

// running is a service that runs in the test's process.
type running struct {
	*Service

	reg  *prometheus.Registry
	stop func()
	done chan error
}

// start runs the projector until the test ends or stop is called, which waits for it.
func (w *world) start(tb testing.TB, cfg Config) *running {
	tb.Helper()
	r := &running{reg: prometheus.NewRegistry(), done: make(chan error, 1)}
	var err error
	r.Service, err = New(cfg, w.deps(r.reg))
	must(tb, err)
	ctx, cancel := context.WithCancel(tb.Context())
	go func() { r.done <- r.Run(ctx) }()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-r.done; err != nil {
			tb.Errorf("projector: %v", err)
		}
	}
	tb.Cleanup(r.stop)
	return r
}

// fails runs the projector and returns the error with which it ends.
func (w *world) fails(t *testing.T, cfg Config) error {
	t.Helper()
	s, err := New(cfg, w.deps(nil))
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = s.Run(ctx)
	if ctx.Err() != nil {
		t.Fatal("the projector did not stop")
	}
	return err
}

// metric is the sum of a counter or gauge over the series whose label values include want.
func (r *running) metric(tb testing.TB, name string, want ...string) float64 {
	tb.Helper()
	families, err := r.reg.Gather()
	must(tb, err)
	sum := 0.0
	for _, f := range families {
		if f.GetName() != "throughline_projector_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			have := map[string]bool{}
			for _, l := range m.GetLabel() {
				have[l.GetValue()] = true
			}
			all := true
			for _, v := range want {
				all = all && have[v]
			}
			if all {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// caughtUp waits until the groups have committed the ends of their topics.
func (w *world) caughtUp(tb testing.TB) {
	tb.Helper()
	watch, err := stream.NewOffsetWatch(w.kafka, stream.Deps{Log: w.log})
	must(tb, err)
	defer watch.Close()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	for _, p := range projections.All() {
		for _, name := range p.Topics {
			ends, err := watch.EndOffsets(ctx, name)
			must(tb, err)
			for partition, end := range ends {
				tp := stream.TopicPartition{Topic: w.kafka.Topic(name), Partition: partition}
				if err := watch.WaitCommitted(ctx, table.Group(p.Table), tp, end); err != nil {
					tb.Fatalf("group of %s does not reach %d of %s: %v", p.Table, end, tp, err)
				}
			}
		}
	}
}

// count asks for one number.
func (w *world) count(tb testing.TB, query string) int {
	tb.Helper()
	var n uint64
	must(tb, w.conn.QueryRow(tb.Context(), query).Scan(&n))
	return int(n)
}

// exact fails unless a table has exactly n rows, each once.
func (w *world) exact(tb testing.TB, name string, n int) {
	tb.Helper()
	all := w.count(tb, "SELECT count() FROM "+name)
	unique := w.count(tb, "SELECT uniqExact(_topic, _partition, _offset, _row) FROM "+name)
	if all != n || unique != n {
		tb.Errorf("%s has %d rows, %d of them unique, want %d", name, all, unique, n)
	}
}

// subject is an object with a data key whose record is in the log.
type subject struct {
	ref   object.Ref
	keyID string
	key   *seal.DataKey
}

func (w *world) subject(tb testing.TB, id string) subject {
	tb.Helper()
	ref := object.Ref{Type: object.Customer, ID: id}
	rec, key, err := w.master.NewKey("ws", ref, time.Now())
	must(tb, err)
	value, err := text(rec)
	must(tb, err)
	_, err = w.producer.Produce(tb.Context(), &stream.Record{
		Topic: w.kafka.Topic(topic.SubjectKeys), Key: topic.Key("ws", string(ref.Type), ref.ID, rec.ID), Value: value,
	})
	must(tb, err)
	return subject{ref: ref, keyID: rec.ID, key: key}
}

// event makes the record of an event with two links.
func (w *world) event(tb testing.TB, s subject, id string, at time.Time) *stream.Record {
	tb.Helper()
	personal, err := text(event.Personal{Description: "viewed " + id, Icon: "📖", Payload: `{"n": 1.0}`})
	must(tb, err)
	e := event.Event{
		ID: id, Workspace: "ws", Type: s.ref.Type, ObjectID: s.ref.ID, Name: "viewed",
		OccurredAt: event.TimeOf(at), ReceivedAt: event.TimeOf(at), KeyID: s.keyID,
		Links: []event.Link{
			{Type: s.ref.Type, ID: s.ref.ID, Kind: event.LinkPrimary},
			{Type: object.Account, ID: "a1", Kind: event.LinkRelated, Via: []object.Ref{s.ref}},
		},
	}
	e.Sealed = s.key.Seal(personal, e.AdditionalData())
	value, err := e.Encode()
	must(tb, err)
	return &stream.Record{
		Topic: w.kafka.Topic(topic.Events), Key: topic.Key("ws", string(s.ref.Type), s.ref.ID),
		Value: value, Timestamp: at.Truncate(time.Millisecond),
	}
}

// put appends records; their places are in them afterwards.
func (w *world) put(tb testing.TB, recs ...*stream.Record) {
	tb.Helper()
	must(tb, w.client.ProduceSync(tb.Context(), recs...).FirstErr())
}

// events appends n events of a subject.
func (w *world) events(tb testing.TB, s subject, prefix string, n int, at time.Time) []*stream.Record {
	tb.Helper()
	recs := make([]*stream.Record, n)
	for i := range recs {
		recs[i] = w.event(tb, s, fmt.Sprintf("%s-%d", prefix, i), at)
	}
	w.put(tb, recs...)
	return recs
}

// run follows a view until the test ends.
func run(tb testing.TB, view *stream.View) *stream.View {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error, 1)
	go func() { done <- view.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		must(tb, <-done)
		must(tb, view.Close())
	})
	return view
}

// objects appends the states of n objects, each in two versions, sealed with the key of s only where it is s itself.
func (w *world) objects(tb testing.TB, s subject, n int) {
	tb.Helper()
	var recs []*stream.Record
	for i := range n {
		r := object.Record{
			Version: object.RecordVersion, Workspace: "ws", Type: object.Account, ID: fmt.Sprintf("%s-%d", s.ref.ID, i),
			UpdatedAt: time.Now(),
		}
		value, err := text(r)
		must(tb, err)
		rec := stream.Record{
			Topic: w.kafka.Topic(topic.Objects), Key: topic.Key("ws", string(r.Type), r.ID), Value: value,
		}
		again := rec
		recs = append(recs, &rec, &again)
	}
	w.put(tb, recs...)
}

// eventually polls until a condition holds.
func (w *world) eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	for !holds() {
		if pause(ctx, 10*time.Millisecond) != nil {
			tb.Fatalf("waited in vain: %s", what)
		}
	}
}

// intents counts the partitions of which an intent is committed.
func (w *world) intents(tb testing.TB) int {
	tb.Helper()
	n := 0
	for _, p := range projections.All() {
		committed, err := kadm.NewClient(w.client).FetchOffsets(tb.Context(), w.kafka.Group(table.Group(p.Table)))
		must(tb, err)
		committed.Each(func(o kadm.OffsetResponse) {
			if o.Metadata != "" {
				n++
			}
		})
	}
	return n
}

// bury takes the members of all groups out of them, as the broker does when a dead member's session has ended.
func (w *world) bury(tb testing.TB) {
	tb.Helper()
	for _, g := range Groups() {
		w.buryIn(tb, g.Name)
	}
}

// buryIn takes the members of one group out of it.
func (w *world) buryIn(tb testing.TB, group string) {
	tb.Helper()
	name := w.kafka.Group(group)
	described, err := kadm.NewClient(w.client).DescribeGroups(tb.Context(), name)
	must(tb, err)
	for _, m := range described[name].Members {
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Group, req.MemberID = name, m.MemberID
		member := kmsg.NewLeaveGroupRequestMember()
		member.MemberID = m.MemberID
		req.Members = append(req.Members, member)
		_, err := req.RequestWith(tb.Context(), w.client)
		must(tb, err)
	}
}

// read gives the first n records of a topic with one partition.
func (w *world) read(tb testing.TB, name topic.Name, n int) []*stream.Record {
	tb.Helper()
	client, err := stream.Open(w.kafka, w.log, nil, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		w.kafka.Topic(name): {0: kgo.NewOffset().AtStart()},
	}))
	must(tb, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	var recs []*stream.Record
	for len(recs) < n {
		fetches := client.PollFetches(ctx)
		must(tb, fetches.Err())
		recs = append(recs, fetches.Records()...)
	}
	return recs
}
