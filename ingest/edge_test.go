package ingest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/ingest"
	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/schematest/contract"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/workspace"
)

const adminKey = "operator-key-of-tests"

// log is one installation: a broker, a prefix of its own, a master key.
type log struct {
	kafka  stream.Config
	master *seal.Master
}

func newLog(t *testing.T, brokers []string) *log {
	t.Helper()
	master, err := seal.NewMaster(bytes.Repeat([]byte{7}, seal.KeyBytes))
	if err != nil {
		t.Fatal(err)
	}
	l := &log{
		kafka:  stream.Config{Brokers: brokers, ClientID: "test", Prefix: strings.TrimSuffix(schematest.Prefix(t), ".")},
		master: master,
	}
	if _, err := stream.EnsureTopics(t.Context(), l.kafka, stream.Deps{Log: quiet()}, topic.Layout(topic.EmbeddedPartitions), 1); err != nil {
		t.Fatal(err)
	}
	return l
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// read is every record of a topic, from its start to its end now.
func (l *log) read(t *testing.T, name topic.Name) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(l.kafka.Brokers...), kgo.ConsumeTopics(l.kafka.Topic(name)),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), l.kafka.Topic(name))
	if err != nil {
		t.Fatal(err)
	}
	var want int64
	ends.Each(func(o kadm.ListedOffset) { want += o.Offset })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var all []*kgo.Record
	for int64(len(all)) < want {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s: have %d of %d: %v", name, len(all), want, err)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

// edge is one process that serves the write side.
type edge struct {
	t        *testing.T
	log      *log
	url      string
	service  *ingest.Service
	access   *access.Access
	registry *registry.Registry
	run      func() // starts the registry's view, once
}

type options struct {
	paused bool // the registry does not follow the log until run is called
	cfg    ingest.Config
	now    func() time.Time
}

// edge starts a process.
func (l *log) edge(t *testing.T, change ...func(*options)) *edge {
	t.Helper()
	o := options{cfg: ingest.DefaultConfig()}
	for _, c := range change {
		c(&o)
	}
	reg := prometheus.NewRegistry()
	deps := stream.Deps{Log: quiet(), Reg: reg}
	producer, err := stream.NewProducer(l.kafka, stream.ProducerConfig{}, deps)
	check(t, err)
	objects, err := registry.Open(t.Context(), registry.Config{Dir: t.TempDir()}, registry.Deps{Kafka: l.kafka, Master: l.master, Log: quiet(), Reg: reg})
	check(t, err)
	keys, err := access.Open(t.Context(), access.Config{Dir: t.TempDir(), AdminKey: adminKey},
		access.Deps{Kafka: l.kafka, Producer: producer, Log: quiet(), Reg: reg, Now: o.now})
	check(t, err)
	service, err := ingest.New(o.cfg, ingest.Deps{
		Kafka: l.kafka, Producer: producer, Registry: objects, Access: keys, Master: l.master, Log: quiet(), Reg: reg, Now: o.now,
	})
	check(t, err)

	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	start := func(run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	server := httptest.NewServer(contract.Handler(t, service.Handler()))
	e := &edge{t: t, log: l, url: server.URL, service: service, access: keys, registry: objects}
	e.run = sync.OnceFunc(func() { start(objects.Run) })
	start(keys.Run)
	start(service.Run)
	if !o.paused {
		e.run()
	}
	t.Cleanup(func() {
		server.Close()
		cancel()
		wg.Wait()
		check(t, objects.Close())
		check(t, keys.Close())
		check(t, producer.Close(context.WithoutCancel(t.Context())))
	})
	e.eventually(func() bool { return keys.Ready(t.Context()) == nil })
	return e
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls until ok, which must come true soon.
func (e *edge) eventually(ok func() bool) {
	e.t.Helper()
	within(e.t, 10*time.Second, ok)
}

func within(t *testing.T, limit time.Duration, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("did not happen within %s", limit)
		}
	}
}

// key makes a workspace, if need be, and a key of it.
func (e *edge) key(ws string, scopes ...workspace.Scope) string {
	e.t.Helper()
	if _, found, err := e.access.Workspace(ws); err != nil || !found {
		_, _, err := e.access.PutWorkspace(e.t.Context(), workspace.Workspace{ID: ws, Name: ws})
		check(e.t, err)
	}
	if len(scopes) == 0 {
		scopes = workspace.DevScopes()
	}
	created, err := e.access.CreateKey(e.t.Context(), access.NewKey{Workspace: ws, Name: "test", Scopes: scopes})
	check(e.t, err)
	return created.Secret
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// problem reads the answer as problem details.
func (a answer) problem(t *testing.T) *problem.Problem {
	t.Helper()
	var p problem.Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("answer %d is no problem: %s", a.status, a.body)
	}
	if got := a.header.Get("Content-Type"); got != problem.ContentType {
		t.Errorf("Content-Type is %q", got)
	}
	return &p
}

// member reads one member of the answer.
func (a answer) member(t *testing.T, name string) any {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(a.body, &all); err != nil {
		t.Fatalf("answer %d is no object: %s", a.status, a.body)
	}
	return all[name]
}

// do makes a request; headers are pairs.
func (e *edge) do(method, path, key, body string, headers ...string) answer {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), method, e.url+path, strings.NewReader(body))
	if err != nil {
		e.t.Error(err)
		return answer{}
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		e.t.Error(err)
		return answer{}
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Error(err)
	}
	return answer{resp.StatusCode, resp.Header, content}
}

// must makes a request that has to be answered with a status. As a client does, it repeats what was refused for now: on
// a busy machine a broker that has just started may take longer than a barrier waits.
func (e *edge) must(status int, method, path, key, body string, headers ...string) answer {
	e.t.Helper()
	var a answer
	within(e.t, 30*time.Second, func() bool {
		a = e.do(method, path, key, body, headers...)
		return a.status == status || a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == ""
	})
	if a.status != status {
		e.t.Fatalf("%s %s: answered %d, want %d: %s", method, path, a.status, status, a.body)
	}
	return a
}

// erase writes the tombstone of a data key.
func (l *log) erase(t *testing.T, key []byte) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(l.kafka.Brokers...))
	check(t, err)
	defer client.Close()
	check(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: l.kafka.Topic(topic.SubjectKeys), Key: key}).FirstErr())
}
