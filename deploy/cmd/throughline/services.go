package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/deploy/connect"
	"github.com/throughline/throughline/deploy/otlp"
	"github.com/throughline/throughline/ingest"
	"github.com/throughline/throughline/ingest/link"
	"github.com/throughline/throughline/projector"
	"github.com/throughline/throughline/query"
	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/store"
)

// process is what the commands that run services have in common.
type process struct {
	settings `embed:""`

	Check bool          `name:"check" help:"Look whether everything is there that this service needs, say what was found, and change nothing."`
	Kafka connect.Kafka `embed:""`
	Admin string        `name:"admin-listen" env:"THROUGHLINE_ADMIN_LISTEN" default:"${admin}" help:"Where to serve /livez, /readyz and /metrics."`
}

// views is where a process keeps its local copies of topics.
type views struct {
	Views string `name:"views" env:"THROUGHLINE_VIEWS" default:".throughline/${part}" help:"Folder of local copies of topics; of this process alone, and may be removed while it is stopped."`
}

// serve runs what assemble adds to a process, with its handler on listen if there is one. Traces know it by its name.
func (c process) serve(ctx context.Context, e env, name, listen string, assemble func(*assembly.Process) (http.Handler, error)) (err error) {
	traces, stop, err := otlp.Open(ctx, name, e.log, os.Getenv)
	if err != nil {
		return err
	}
	defer stop()
	kafka, err := c.Kafka.Config("throughline")
	if err != nil {
		return err
	}
	registry := run.NewRegistry()
	p := &assembly.Process{
		Kafka: kafka, Log: e.log, Reg: registry, Traces: traces, Ready: run.NewReadiness(),
	}
	// Taken before anything is opened, so that a wrong address shows at once.
	admin, err := run.Listen(ctx, c.Admin)
	if err != nil {
		return err
	}
	front := []run.Service{run.Server{Name: "admin", Listener: admin, Handler: run.Admin(registry, p.Ready), Log: e.log}.Service()}
	defer func() { err = errors.Join(err, p.Close()) }()
	if err := assembly.Reach(ctx, kafka, e.log); err != nil {
		return errors.Join(err, admin.Close())
	}
	handler, err := assemble(p)
	if err != nil {
		return errors.Join(err, admin.Close())
	}
	if handler != nil {
		front = append(front, run.Server{Name: "http", Addr: listen, Handler: handler, Log: e.log}.Service())
	}
	return assembly.Serve(ctx, e.log, assembly.Stop{Front: run.DefaultStopTimeout, Back: stopServices}, front, p.Services())
}

// look checks what every service needs, and what look adds.
func (c process) look(ctx context.Context, e env, master *seal.Master, more func(*assembly.Check)) error {
	kafka, err := c.Kafka.Config("throughline-check")
	if err != nil {
		return err
	}
	check := assembly.Check{Out: e.stdout, Log: e.log}
	check.Kafka(ctx, kafka, master)
	if more != nil {
		more(&check)
	}
	return check.Err()
}

// stopServices is how long services have to stop in once no request is left.
const stopServices = 8 * time.Second

// master is the key that wraps the keys of personal data; every process of an installation has the same one.
type master struct {
	Key     string `name:"master-key" env:"THROUGHLINE_MASTER_KEY" hidden:"" secret:"env" help:"Key that wraps the keys of personal data: 64 hexadecimal digits, or base64 of 32 bytes; the same in every process."`
	KeyFile string `name:"master-key-file" env:"THROUGHLINE_MASTER_KEY_FILE" placeholder:"FILE" help:"File that holds the master key, which wraps the keys of personal data and is the same in every process; or THROUGHLINE_MASTER_KEY is the key itself."`
}

func (m master) open() (*seal.Master, error) {
	text, err := connect.Secret("THROUGHLINE_MASTER_KEY", m.Key, m.KeyFile)
	if err != nil {
		return nil, err
	}
	if text == "" {
		return nil, errors.New("no master key: set THROUGHLINE_MASTER_KEY or THROUGHLINE_MASTER_KEY_FILE to 32 random bytes in hexadecimal (openssl rand -hex 32), the same in every process")
	}
	key, err := seal.ParseMaster(text)
	if err != nil {
		return nil, fmt.Errorf("THROUGHLINE_MASTER_KEY: %w", err)
	}
	return key, nil
}

// ingestCommand runs the write side.
type ingestCommand struct {
	process      `embed:"" set:"admin=127.0.0.1:9081"`
	views        `embed:"" set:"part=ingest"`
	Master       master        `embed:""`
	Listen       string        `name:"listen" env:"THROUGHLINE_LISTEN" default:"127.0.0.1:8081" help:"Where to serve the write side."`
	AdminKey     string        `name:"admin-key" env:"THROUGHLINE_ADMIN_KEY" hidden:"" secret:"env" help:"The operator's key, which makes workspaces and API keys over HTTP; absent: nobody does."`
	AdminKeyFile string        `name:"admin-key-file" env:"THROUGHLINE_ADMIN_KEY_FILE" placeholder:"FILE" help:"File that holds the operator's key, which makes workspaces and API keys over HTTP; or THROUGHLINE_ADMIN_KEY is the key itself; absent: nobody does."`
	Instance     string        `name:"link-instance" env:"THROUGHLINE_LINK_INSTANCE" help:"Name of this linker, unique in the installation and the same after a restart; absent: the host's name."`
	Edge         ingest.Config `embed:""`
	Link         link.Config   `embed:""`
}

// Validate says what is wrong with the flags.
func (c ingestCommand) Validate() error {
	_, err := c.Master.open()
	return errors.Join(c.Kafka.Required(), err, c.Edge.Validate(), c.Link.Validate())
}

// Run implements the command.
func (c ingestCommand) Run(ctx context.Context, e env) error {
	key, err := c.Master.open()
	if err != nil {
		return err
	}
	admin, err := connect.Secret("THROUGHLINE_ADMIN_KEY", c.AdminKey, c.AdminKeyFile)
	if err != nil {
		return err
	}
	if c.Check {
		return c.look(ctx, e, key, nil)
	}
	linker := c.Link
	if linker.Instance = c.Instance; linker.Instance == "" {
		if linker.Instance, err = os.Hostname(); err != nil {
			return fmt.Errorf("name this linker (THROUGHLINE_LINK_INSTANCE): %w", err)
		}
	}
	return c.serve(ctx, e, "ingest", c.Listen, func(p *assembly.Process) (http.Handler, error) {
		p.Views, p.Admin = c.Views, admin
		return p.Ingest(ctx, c.Edge, linker, key)
	})
}

// projectorCommand runs the projector.
type projectorCommand struct {
	process    `embed:"" set:"admin=127.0.0.1:9083"`
	Master     master             `embed:""`
	ClickHouse connect.ClickHouse `embed:""`
	Dir        string             `name:"projector-dir" env:"THROUGHLINE_PROJECTOR_DIR" default:".throughline/projector" help:"Folder of the projector's local view of data keys; of this process alone, and may be removed while it is stopped."`
	Projector  projector.Config   `embed:""`
}

func (c projectorCommand) config() projector.Config {
	cfg := c.Projector
	cfg.Dir = c.Dir
	return cfg
}

// Validate says what is wrong with the flags.
func (c projectorCommand) Validate() error {
	_, err := c.Master.open()
	return errors.Join(c.Kafka.Required(), c.ClickHouse.Required(), err, c.config().Validate())
}

// Run implements the command.
func (c projectorCommand) Run(ctx context.Context, e env) error {
	key, err := c.Master.open()
	if err != nil {
		return err
	}
	clickhouse, err := c.ClickHouse.Config()
	if err != nil {
		return err
	}
	if c.Check {
		return c.look(ctx, e, key, func(check *assembly.Check) { check.ClickHouse(ctx, clickhouse, store.ReadWrite) })
	}
	return c.serve(ctx, e, "projector", "", func(p *assembly.Process) (http.Handler, error) {
		return nil, p.Projector(ctx, c.config(), clickhouse, key)
	})
}

// queryCommand runs the read side.
type queryCommand struct {
	process    `embed:"" set:"admin=127.0.0.1:9082"`
	views      `embed:"" set:"part=query"`
	ClickHouse connect.ClickHouse `embed:""`
	Reader     connect.Reader     `embed:""`
	Listen     string             `name:"listen" env:"THROUGHLINE_LISTEN" default:"127.0.0.1:8082" help:"Where to serve the read side."`
	Timeout    time.Duration      `name:"query-position-timeout" env:"THROUGHLINE_QUERY_POSITION_TIMEOUT" default:"5s" help:"How long a read waits for the writes that its position names."`
	Limits     query.Limits       `embed:"" prefix:"query-"`
}

// Validate says what is wrong with the flags.
func (c queryCommand) Validate() error {
	_, err := c.ClickHouse.ReadConfig(c.Reader)
	return errors.Join(c.Kafka.Required(), c.ClickHouse.Required(), err, c.Limits.Validate())
}

// Run implements the command.
func (c queryCommand) Run(ctx context.Context, e env) error {
	clickhouse, err := c.ClickHouse.ReadConfig(c.Reader)
	if err != nil {
		return err
	}
	if c.Check {
		return c.look(ctx, e, nil, func(check *assembly.Check) { check.ClickHouse(ctx, clickhouse, store.ReadOnly) })
	}
	cfg := query.Config{PositionTimeout: c.Timeout, Limits: c.Limits}
	return c.serve(ctx, e, "query", c.Listen, func(p *assembly.Process) (http.Handler, error) {
		p.Views = c.Views
		return p.Query(ctx, cfg, clickhouse)
	})
}
