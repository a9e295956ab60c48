// Package dev runs all of Throughline in one process tree on an empty machine: a Kafka broker, ClickHouse and every
// service, with its data in one folder. The services are the ones that run elsewhere, and reach both servers by
// address only.
package dev

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/throughline/throughline/deploy/connect"
	"github.com/throughline/throughline/dispatcher"
	"github.com/throughline/throughline/ingest"
	"github.com/throughline/throughline/ingest/link"
	"github.com/throughline/throughline/projector"
	"github.com/throughline/throughline/query"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/workspace"
)

// Workspace is the workspace that the first start makes.
const Workspace = "default"

// Kinds of servers, as the data folder records them.
const (
	kindEmbedded = "embedded"
	kindApache   = "apache"
	kindExternal = "external"
)

// Config says where dev listens and keeps its data. The tags are kong's.
type Config struct {
	Listen string `name:"listen" env:"THROUGHLINE_LISTEN" default:"127.0.0.1:8080" help:"Where to serve HTTP; port 0 picks a free one."`
	Data   string `name:"data" env:"THROUGHLINE_DATA" default:".throughline" help:"Folder that keeps all data; made if it is not there."`
	Broker string `name:"kafka" env:"THROUGHLINE_KAFKA" default:"embedded" enum:"embedded,apache" help:"Kafka to start where no brokers are named: embedded (in this process) or apache (Apache Kafka from its jars, needs Java 17 and Maven)."`

	APIKey        string `name:"api-key" env:"THROUGHLINE_API_KEY" secret:"" help:"API key of the workspace default, of your own choice (at least 16 bytes); absent: the first start makes one and prints it once."`
	APIKeyFile    string `name:"api-key-file" env:"THROUGHLINE_API_KEY_FILE" placeholder:"FILE" help:"File that holds the API key."`
	AdminKey      string `name:"admin-key" env:"THROUGHLINE_ADMIN_KEY" hidden:"" secret:"env" help:"The operator's key, which makes workspaces and API keys over HTTP; absent: nobody does."`
	AdminKeyFile  string `name:"admin-key-file" env:"THROUGHLINE_ADMIN_KEY_FILE" placeholder:"FILE" help:"File that holds the operator's key, which makes workspaces and API keys over HTTP; or THROUGHLINE_ADMIN_KEY is the key itself; absent: nobody does."`
	MasterKey     string `name:"master-key" env:"THROUGHLINE_MASTER_KEY" hidden:"" secret:"env" help:"Key that wraps the keys of personal data: 64 hexadecimal digits, or base64 of 32 bytes; absent: made once and kept in the data folder."`
	MasterKeyFile string `name:"master-key-file" env:"THROUGHLINE_MASTER_KEY_FILE" placeholder:"FILE" help:"File that holds the master key, which wraps the keys of personal data; or THROUGHLINE_MASTER_KEY is the key itself; absent: made once and kept in the data folder."`

	Kafka      connect.Kafka      `embed:""`
	ClickHouse connect.ClickHouse `embed:""`
	Reader     connect.Reader     `embed:""`

	Tuning `embed:"" group:"tuning"`
}

// Tuning is what an operator says of the services, under the names that it has where they run by themselves.
type Tuning struct {
	Edge            ingest.Config     `embed:""`
	Link            link.Config       `embed:""`
	Projector       projector.Config  `embed:""`
	PositionTimeout time.Duration     `name:"query-position-timeout" env:"THROUGHLINE_QUERY_POSITION_TIMEOUT" default:"5s" help:"How long a read waits for the writes that its position names."`
	Limits          query.Limits      `embed:"" prefix:"query-"`
	Webhooks        dispatcher.Config `embed:""`
}

// DefaultTuning is what kong fills in where nothing is configured.
func DefaultTuning() Tuning {
	reads := query.DefaultConfig()
	return Tuning{
		Edge: ingest.DefaultConfig(), Link: link.DefaultConfig(), Projector: projector.DefaultConfig(),
		PositionTimeout: reads.PositionTimeout, Limits: reads.Limits, Webhooks: dispatcher.DefaultConfig(),
	}
}

// validate says everything that is wrong with the tuning.
func (t Tuning) validate() error {
	return errors.Join(t.Edge.Validate(), t.Link.Validate(), t.Projector.Validate(), t.Limits.Validate())
}

// secrets are the secrets of a Config, read.
type secrets struct {
	api, admin string
	master     *seal.Master // nil: the data folder's
}

// Validate says everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, fmt.Errorf("address to listen on: %w", err))
	}
	if c.Data == "" {
		errs = append(errs, errors.New("the data folder must have a name"))
	}
	if _, err := c.secrets(); err != nil {
		errs = append(errs, err)
	}
	if len(c.Kafka.Brokers) > 0 {
		errs = append(errs, c.Kafka.Required())
	}
	if c.ClickHouse.Addr != "" {
		errs = append(errs, c.ClickHouse.Required())
	}
	return errors.Join(append(errs, c.validate())...)
}

// secrets reads the secrets and says everything that is wrong with them.
func (c Config) secrets() (secrets, error) {
	var s secrets
	var errs []error
	read := func(name, value, file string) string {
		v, err := connect.Secret(name, value, file)
		if err != nil {
			errs = append(errs, err)
		}
		return v
	}
	s.api = read("THROUGHLINE_API_KEY", c.APIKey, c.APIKeyFile)
	if s.api != "" && len(s.api) < workspace.MinSecretLength {
		errs = append(errs, fmt.Errorf("THROUGHLINE_API_KEY has %d bytes; at least %d are required", len(s.api), workspace.MinSecretLength))
	}
	s.admin = read("THROUGHLINE_ADMIN_KEY", c.AdminKey, c.AdminKeyFile)
	if s.admin != "" && s.admin == s.api {
		errs = append(errs, errors.New("THROUGHLINE_ADMIN_KEY and THROUGHLINE_API_KEY must differ"))
	}
	if text := read("THROUGHLINE_MASTER_KEY", c.MasterKey, c.MasterKeyFile); text != "" {
		master, err := seal.ParseMaster(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("THROUGHLINE_MASTER_KEY: %w", err))
		}
		s.master = master
	}
	return s, errors.Join(errs...)
}

// kinds says which servers the configuration leads to.
func (c Config) kinds() (kafka, clickhouse string) {
	kafka, clickhouse = c.Broker, kindEmbedded
	if len(c.Kafka.Brokers) > 0 {
		kafka = kindExternal
	}
	if c.ClickHouse.Addr != "" {
		clickhouse = kindExternal
	}
	return kafka, clickhouse
}
