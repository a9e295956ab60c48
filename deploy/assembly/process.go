package assembly

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline/throughline/ingest"
	"github.com/throughline/throughline/ingest/conversation"
	"github.com/throughline/throughline/ingest/link"
	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/projector"
	"github.com/throughline/throughline/query"
	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
)

// flushTimeout bounds how long the end of a process waits for what its producer still holds. By then every request is
// answered, so what is left is nobody's acknowledgement.
const flushTimeout = 2 * time.Second

// lagEvery is how often lag is measured: as often as Prometheus usually looks.
const lagEvery = 15 * time.Second

// Process is what the services of one process share, and the services themselves.
type Process struct {
	Kafka stream.Config
	// Views is the folder of local copies of topics; each has a folder of its own in it.
	Views string
	// Admin is the operator's key, or empty.
	Admin string
	// Producing bounds the process's producer; its zero value has sensible bounds.
	Producing stream.ProducerConfig
	Log       *slog.Logger
	Reg       prometheus.Registerer
	// Traces receives spans; nil means that there are none.
	Traces trace.TracerProvider
	Ready  *run.Readiness

	services []run.Service
	opened   Closer
	producer *stream.Producer
	access   *access.Access
	lag      bool
}

// Services are the services added so far, to be run behind the servers.
func (p *Process) Services() []run.Service { return p.services }

// Close closes what the services share. They must have returned.
func (p *Process) Close() error { return p.opened.Close() }

// kafka is the configuration of one part's clients, which brokers and metrics know by the part's name.
func (p *Process) kafka(part string) stream.Config {
	cfg := p.Kafka
	cfg.ClientID = "throughline-" + part
	return cfg
}

// view makes the folder of a local copy. It is of the user alone: it holds what the topics hold.
func (p *Process) view(name string) (string, error) {
	dir := filepath.Join(p.Views, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make folder of view: %w", err)
	}
	return dir, nil
}

func (p *Process) add(name string, service func(context.Context) error, ready func(context.Context) error) {
	p.services = append(p.services, run.Service{Name: name, Run: service})
	p.Ready.Add(name, ready)
}

// Producer is the process's one producer, opened by the first call.
func (p *Process) Producer(ctx context.Context) (*stream.Producer, error) {
	if p.producer != nil {
		return p.producer, nil
	}
	producer, err := stream.NewProducer(p.kafka("edge"), p.Producing, stream.Deps{Log: p.Log, Reg: p.Reg, Traces: p.Traces})
	if err != nil {
		return nil, err
	}
	p.opened.Add(func() error {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		return producer.Close(limit)
	})
	p.producer = producer
	return producer, nil
}

// Access is the process's one view of workspaces and keys, opened by the first call. It writes only where the process
// has a producer already.
func (p *Process) Access(ctx context.Context) (*access.Access, error) {
	if p.access != nil {
		return p.access, nil
	}
	dir, err := p.view("access")
	if err != nil {
		return nil, err
	}
	a, err := access.Open(ctx, access.Config{Dir: dir, AdminKey: p.Admin}, access.Deps{
		Kafka: p.kafka("access"), Producer: p.producer, Log: p.Log, Reg: p.Reg,
	})
	if err != nil {
		return nil, err
	}
	p.opened.Add(a.Close)
	p.add("access", a.Run, a.Ready)
	p.access = a
	return a, nil
}

// watchLag adds, once, the measurement of how far all groups are behind, those of other processes too: a group whose
// processes are all gone must be seen by somebody.
func (p *Process) watchLag() error {
	if p.lag {
		return nil
	}
	watch, err := stream.NewOffsetWatch(p.kafka("lag"), stream.Deps{Log: p.Log, Reg: p.Reg})
	if err != nil {
		return err
	}
	p.opened.Add(func() error { watch.Close(); return nil })
	var pairs []stream.GroupTopic
	for _, g := range groups() {
		for _, t := range g.Topics {
			pairs = append(pairs, stream.GroupTopic{Group: g.Name, Topic: t})
		}
	}
	// Nothing waits for it, so readiness does not ask it.
	p.services = append(p.services, run.Service{Name: "lag", Run: stream.NewLagMonitor(watch, pairs, lagEvery).Run})
	p.lag = true
	return nil
}

// Ingest adds the write side: the edge, whose handler it returns, link, and the processor of conversations, over one
// registry. The linker's instance is that of both processors.
func (p *Process) Ingest(ctx context.Context, edge ingest.Config, linker link.Config, master *seal.Master) (http.Handler, error) {
	producer, err := p.Producer(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := p.Access(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := p.view("registry")
	if err != nil {
		return nil, err
	}
	objects, err := registry.Open(ctx, registry.Config{Dir: dir}, registry.Deps{
		Kafka: p.kafka("registry"), Master: master, Log: p.Log, Reg: p.Reg,
	})
	if err != nil {
		return nil, err
	}
	p.opened.Add(objects.Close)
	p.add("registry", objects.Run, objects.Ready)

	service, err := ingest.New(edge, ingest.Deps{
		Kafka: p.kafka("edge"), Producer: producer, Registry: objects, Access: keys, Master: master, Log: p.Log, Reg: p.Reg,
		Traces: p.Traces,
	})
	if err != nil {
		return nil, err
	}
	p.add("ingest", service.Run, service.Ready)

	if linker.Dir, err = p.view("link"); err != nil {
		return nil, err
	}
	links, err := link.New(linker, link.Deps{Kafka: p.kafka("link"), Objects: objects, Log: p.Log, Reg: p.Reg, Traces: p.Traces})
	if err != nil {
		return nil, err
	}
	p.add("link", links.Run, links.Ready)

	decide := conversation.DefaultConfig()
	decide.Instance = linker.Instance
	if decide.Dir, err = p.view("conversations"); err != nil {
		return nil, err
	}
	conversations, err := conversation.New(decide, conversation.Deps{
		Kafka: p.kafka("conversations"), Objects: objects, Producer: producer, Master: master, Log: p.Log, Reg: p.Reg, Traces: p.Traces,
	})
	if err != nil {
		return nil, err
	}
	p.add("conversations", conversations.Run, conversations.Ready)
	return service.Handler(), p.watchLag()
}

// Projector adds the projector. It waits until ClickHouse answers. Without a folder of its own it has one of the views.
func (p *Process) Projector(ctx context.Context, cfg projector.Config, clickhouse store.Config, master *seal.Master) error {
	producer, err := p.Producer(ctx)
	if err != nil {
		return err
	}
	if cfg.Dir == "" {
		if cfg.Dir, err = p.view("projector"); err != nil {
			return err
		}
	}
	if clickhouse.Cluster != "" {
		// One insert with a quorum at a time is what a shard takes; a second one would be refused and sent again.
		cfg.Parallel = 1
	}
	conn, err := openStore(ctx, clickhouse, p.Log)
	if err != nil {
		return err
	}
	p.opened.Add(conn.Close)
	service, err := projector.New(cfg, projector.Deps{
		Kafka: p.kafka("projector"), Producer: producer, Store: conn, Master: master, Log: p.Log, Reg: p.Reg,
		Traces: p.Traces,
	})
	if err != nil {
		return err
	}
	p.add("projector", service.Run, service.Ready)
	return p.watchLag()
}

// Query adds the read side and returns its handler.
func (p *Process) Query(ctx context.Context, cfg query.Config, clickhouse store.Config) (http.Handler, error) {
	keys, err := p.Access(ctx)
	if err != nil {
		return nil, err
	}
	cfg.Listen = "" // the process serves the handler
	cfg.Kafka, cfg.ClickHouse = p.kafka("query"), clickhouse
	service, err := query.New(cfg, query.Deps{
		Log: p.Log, Reg: p.Reg, Traces: p.Traces, Require: keys.RequireAny, TimeZone: keys.TimeZone,
	})
	if err != nil {
		return nil, err
	}
	p.add("query", service.Run, service.Ready)
	return service.Handler(), nil
}
