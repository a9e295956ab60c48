package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/dispatcher"
	"github.com/throughline/throughline/query"
	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
)

// Bounds of the stop, together below the 10 s after which people press Ctrl-C again: requests end first, then the
// services, then the servers, which take well under a second once nobody uses them.
const (
	frontStop = 3 * time.Second
	backStop  = 5 * time.Second
)

// readyEvery is how often a start asks whether everything is ready.
const readyEvery = 20 * time.Millisecond

// readyTell is how long a person is left without a word.
const readyTell = 5 * time.Second

// Deps is what dev takes from its surroundings.
type Deps struct {
	// Progress receives lines for a person while dev starts.
	Progress io.Writer
	Log      *slog.Logger
	// Traces may be nil: then there are none.
	Traces trace.TracerProvider
	// Ready is called once everything is up, with what a person needs to know. An error stops dev.
	Ready func(Guide) error
}

// Service is everything.
type Service struct {
	cfg     Config
	secrets secrets
	deps    Deps
}

// New checks the configuration. It does no I/O but reading secrets.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure dev: %w", err)
	}
	s, err := cfg.secrets()
	if err != nil {
		return nil, fmt.Errorf("configure dev: %w", err)
	}
	return &Service{cfg: cfg, secrets: s, deps: deps}, nil
}

// Run starts everything, calls Deps.Ready, and serves until the context ends; then it stops everything in order. The
// address and the data folder are taken before any server starts, so that a mistake shows at once.
func (s *Service) Run(ctx context.Context) (err error) {
	data, err := claimFolder(ctx, s.cfg.Data)
	if err != nil {
		return err
	}
	defer data.release()
	if err := data.belongsTo(s.cfg.kinds()); err != nil {
		return err
	}
	listener, err := listen(ctx, s.cfg.Listen)
	if err != nil {
		return err
	}
	master := s.secrets.master
	if master == nil {
		if master, err = data.master(); err != nil {
			return errors.Join(err, listener.Close())
		}
	}

	log, loud := quietLogger(ctx, s.deps.Log)
	var entrance door
	server := run.Server{Name: "dev", Listener: listener, Handler: &entrance, Log: log, DrainTimeout: frontStop - time.Second}
	all := run.Service{Name: "dev", Run: func(ctx context.Context) error {
		return s.behind(ctx, data, master, log, func(ctx context.Context, p *started) error {
			entrance.open(p.handler)
			if err := s.announce(ctx, p, data, baseURL(listener.Addr())); err != nil {
				return err
			}
			loud()
			return nil
		})
	}}
	stop := assembly.Stop{Front: frontStop, Back: backStop + frontStop}
	return assembly.Serve(ctx, log, stop, []run.Service{server.Service()}, []run.Service{all})
}

// listen takes the address, or says in words what to do about one that is taken.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := run.Listen(ctx, addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("address %s is in use by another program; stop that, or choose another address with THROUGHLINE_LISTEN=127.0.0.1:8081 (%w)",
			addr, syscall.EADDRINUSE)
	}
	return l, err
}

// behind starts the servers and the services, calls up once they are ready, and runs until the context ends.
func (s *Service) behind(ctx context.Context, data *folder, master *seal.Master, log *slog.Logger, up func(context.Context, *started) error) (err error) {
	servers, err := startServers(ctx, s.cfg, data, s.deps.Progress, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.close()) }()
	p, err := s.prepare(ctx, servers, data, master, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.process.Close()) }()

	services := p.process.Services()
	if servers.clickhouseEnd.Run != nil {
		services = append(services, servers.clickhouseEnd)
	}
	services = append(services, run.Service{Name: "start", Run: func(ctx context.Context) error {
		if waitReady(ctx, p.process.Ready, s.deps.Progress) {
			if err := up(ctx, p); err != nil {
				return err
			}
		}
		<-ctx.Done()
		return nil
	}})
	return run.Group{Log: log, StopTimeout: backStop}.Run(ctx, services...)
}

// prepare makes topics and tables and assembles the services.
func (s *Service) prepare(ctx context.Context, on *servers, data *folder, master *seal.Master, log *slog.Logger) (p *started, err error) {
	registry := run.NewRegistry()
	process := &assembly.Process{
		Kafka: on.kafka, Views: data.in("views"), Admin: s.secrets.admin, Log: log, Reg: registry, Ready: run.NewReadiness(),
		Traces: s.deps.Traces,
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, process.Close())
		}
	}()
	created, err := assembly.Topics(ctx, on.kafka, stream.Deps{Log: log}, on.partitions, 1)
	if err != nil {
		return nil, err
	}
	if len(created) > 0 {
		say(s.deps.Progress, "made %d topics", len(created))
	}
	applied, err := assembly.Migrate(ctx, on.write, nil)
	if err != nil {
		return nil, err
	}
	if len(applied) > 0 {
		say(s.deps.Progress, "made the tables (%d migrations)", len(applied))
	}
	say(s.deps.Progress, "starting the services")
	linker := s.cfg.Link
	linker.Instance = "dev" // there is one, so its name is always the same
	edge, err := process.Ingest(ctx, s.cfg.Edge, linker, master)
	if err != nil {
		return nil, err
	}
	projection := s.cfg.Projector
	projection.Dir = "" // one of the views
	if err := process.Projector(ctx, projection, on.write, master); err != nil {
		return nil, err
	}
	reads, err := process.Query(ctx, query.Config{PositionTimeout: s.cfg.PositionTimeout, Limits: s.cfg.Limits}, on.read)
	if err != nil {
		return nil, err
	}
	hooks, err := process.Dispatcher(ctx, webhooks(s.cfg.Webhooks), on.read, master)
	if err != nil {
		return nil, err
	}
	return &started{process: process, servers: on, handler: route(run.Admin(registry, process.Ready), edge, reads, hooks)}, nil
}

// webhooks lets endpoints be on this machine, over http: that is where somebody who tries them has a receiver.
func webhooks(cfg dispatcher.Config) dispatcher.Config {
	cfg.Instance = "dev" // there is one, so its name is always the same
	cfg.PlainHTTP = true
	cfg.Allow = append(slices.Clone(cfg.Allow),
		dispatcher.Allowed{Prefix: netip.MustParsePrefix("127.0.0.0/8")}, dispatcher.Allowed{Prefix: netip.MustParsePrefix("::1/128")})
	return cfg
}

// waitReady returns true once every check passes, or false when the context ends. Now and then it says what it is
// waiting for.
func waitReady(ctx context.Context, ready *run.Readiness, progress io.Writer) bool {
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for told := time.Now(); ; {
		var waiting []string
		for name, err := range ready.Check(ctx) {
			if err != nil {
				waiting = append(waiting, name)
			}
		}
		if len(waiting) == 0 {
			return true
		}
		if time.Since(told) > readyTell {
			slices.Sort(waiting)
			say(progress, "waiting for %s", strings.Join(waiting, ", "))
			told = time.Now()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}

// announce makes sure of the API key and tells what a person needs to know. The first key is forgotten only after
// it has been told.
func (s *Service) announce(ctx context.Context, p *started, data *folder, url string) error {
	guide := Guide{
		URL: url, Data: s.cfg.Data, ClickHouse: p.servers.clickhouse,
		Kafka: p.servers.kafkaName + ", " + strings.Join(p.servers.kafka.Brokers, ","),
	}
	keys, err := p.process.Access(ctx)
	if err != nil {
		return err
	}
	if guide.Key, guide.NewKey, err = ensureKey(ctx, keys, data, s.secrets.api); err != nil {
		// With the context's error, so that a stop during the start is known for one.
		return fmt.Errorf("prepare workspace %s: %w", Workspace, errors.Join(err, ctx.Err()))
	}
	if err := s.deps.Ready(guide); err != nil {
		return err
	}
	if guide.NewKey {
		return data.printedFirstKey()
	}
	return nil
}
