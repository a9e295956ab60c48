package connect

import (
	"errors"

	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/tlsdial"
)

// ClickHouse says which ClickHouse to use, as a user who may write. The tags are kong's.
type ClickHouse struct {
	Addr         string `name:"clickhouse-addr" env:"CLICKHOUSE_ADDR" placeholder:"HOST:PORT" help:"Address of ClickHouse's native protocol, several separated by commas."`
	Database     string `name:"clickhouse-database" env:"CLICKHOUSE_DATABASE" default:"throughline" help:"Database of the tables; created if it is not there."`
	Cluster      string `name:"clickhouse-cluster" env:"CLICKHOUSE_CLUSTER" help:"Name, in the servers' configuration, of the cluster that the tables are spread over, replicated and distributed; absent: one server."`
	User         string `name:"clickhouse-user" env:"CLICKHOUSE_USER" help:"User who may write; empty for the server's default user."`
	Password     string `name:"clickhouse-password" env:"CLICKHOUSE_PASSWORD" hidden:"" secret:"env" help:"Password of that user."`
	PasswordFile string `name:"clickhouse-password-file" env:"CLICKHOUSE_PASSWORD_FILE" placeholder:"FILE" help:"File that holds the password; or CLICKHOUSE_PASSWORD is the password itself."`

	TLS tlsdial.Config `embed:"" prefix:"clickhouse-" envprefix:"CLICKHOUSE_"`
}

// Reader is a user who may only read, for the query service.
type Reader struct {
	User         string `name:"clickhouse-read-user" env:"CLICKHOUSE_READ_USER" help:"User who may only read (profile readonly); empty for the user who may write."`
	Password     string `name:"clickhouse-read-password" env:"CLICKHOUSE_READ_PASSWORD" hidden:"" secret:"env" help:"Password of that user."`
	PasswordFile string `name:"clickhouse-read-password-file" env:"CLICKHOUSE_READ_PASSWORD_FILE" placeholder:"FILE" help:"File that holds the password; or CLICKHOUSE_READ_PASSWORD is the password itself."`
}

// Required says everything that is wrong, which is first of all that no server is named.
func (c ClickHouse) Required() error {
	if c.Addr == "" {
		return errors.New("no ClickHouse: set CLICKHOUSE_ADDR or --clickhouse-addr, or use `throughline dev`, which brings its own")
	}
	cfg, err := c.Config()
	if err != nil {
		return err
	}
	return cfg.Validate()
}

// Config is the configuration of the plumbing for the user who may write.
func (c ClickHouse) Config() (store.Config, error) {
	password, err := Secret("CLICKHOUSE_PASSWORD", c.Password, c.PasswordFile)
	if err != nil {
		return store.Config{}, err
	}
	return store.Config{
		Addr: c.Addr, Database: c.Database, User: c.User, Password: password, TLS: c.TLS, Cluster: c.Cluster,
	}, nil
}

// ReadConfig is the same server for the user who may only read.
func (c ClickHouse) ReadConfig(r Reader) (store.Config, error) {
	cfg, err := c.Config()
	if err != nil {
		return store.Config{}, err
	}
	password, err := Secret("CLICKHOUSE_READ_PASSWORD", r.Password, r.PasswordFile)
	if err != nil {
		return store.Config{}, err
	}
	if r.User != "" {
		cfg.User, cfg.Password = r.User, password
	}
	return cfg, nil
}
