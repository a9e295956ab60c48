// Package store is the only door to ClickHouse: how a connection is opened,
// how tables are migrated, and which of its errors can be waited out.
package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"

	"github.com/throughline/throughline/schema/tlsdial"
)

// Conn is a pool of connections to one database. It is the driver's own type:
// a wrapper would only hide batches and columns.
type Conn = driver.Conn

// Access says what a pool is for.
type Access int

const (
	// ReadWrite is for migrations and projections.
	ReadWrite Access = iota
	// ReadOnly is for queries. The user of the configuration must be one that
	// cannot write: the server enforces it, not this package.
	ReadOnly
)

// Config says where ClickHouse is. Flags and environment variables are named by
// the services that embed it.
type Config struct {
	// Addr is host:port of the native protocol, several separated by commas.
	Addr string
	// Database must exist; CreateDatabase makes it.
	Database string
	// User and Password are empty for the user default without a password.
	User, Password string
	// TLS secures the connections; by default they are not.
	TLS tlsdial.Config
	// Cluster is the name, in the servers' configuration, of the cluster that
	// the tables are spread over; empty for one server.
	Cluster string
}

// databaseName is what a database may be called without quoting.
var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// clusterName is what a cluster may be called between quotes.
var clusterName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// Validate says everything that is wrong with the configuration.
func (c Config) Validate() error {
	var problems []error
	for _, addr := range c.addresses() {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			problems = append(problems, fmt.Errorf("clickhouse address %q is not host:port", addr))
		}
	}
	if len(c.addresses()) == 0 {
		problems = append(problems, errors.New("clickhouse address is missing"))
	}
	if !databaseName.MatchString(c.Database) {
		problems = append(problems, fmt.Errorf("clickhouse database %q is not a plain name", c.Database))
	}
	if c.Cluster != "" && !clusterName.MatchString(c.Cluster) {
		problems = append(problems, fmt.Errorf("clickhouse cluster %q is not a plain name", c.Cluster))
	}
	if err := c.TLS.Validate(); err != nil {
		problems = append(problems, fmt.Errorf("clickhouse TLS: %w", err))
	}
	return errors.Join(problems...)
}

func (c Config) addresses() []string {
	var list []string
	for addr := range strings.SplitSeq(c.Addr, ",") {
		if addr = strings.TrimSpace(addr); addr != "" {
			list = append(list, addr)
		}
	}
	return list
}

// Open opens a pool and proves with one round trip that the server answers, is
// new enough, and lets this user in. The caller closes it.
func Open(ctx context.Context, c Config, access Access) (Conn, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	conn, err := clickhouse.Open(c.options(access))
	if err != nil {
		return nil, fmt.Errorf("open clickhouse %s: %w", c.Addr, err)
	}
	if err := prove(ctx, conn); err != nil {
		return nil, errors.Join(fmt.Errorf("open clickhouse %s: %w", c.Addr, refusal(err)), conn.Close())
	}
	return conn, nil
}

// CreateDatabase creates the database of the configuration if it is not there,
// through the database default, which every server has.
func CreateDatabase(ctx context.Context, c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	name := c.Database
	c.Database = "default"
	conn, err := Open(ctx, c, ReadWrite)
	if err != nil {
		return err
	}
	// Atomic is named because an engine's own default may be another, and a
	// dropped table must not take its name with it.
	err = conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+name+onCluster(c.Cluster)+" ENGINE = Atomic")
	if err != nil {
		err = fmt.Errorf("create database %s: %w", name, err)
	}
	return errors.Join(err, conn.Close())
}

// options are the driver's options, each with its reason.
func (c Config) options(access Access) *clickhouse.Options {
	o := &clickhouse.Options{
		// Native, not HTTP: blocks travel as columns, and an exception in the
		// middle of an answer arrives as one.
		Protocol: clickhouse.Native,
		Addr:     c.addresses(),
		Auth:     clickhouse.Auth{Database: c.Database, Username: c.User, Password: c.Password},
		// The dialer reads the files of TLS for each connection, so that
		// certificates can be replaced while the process runs.
		DialContext: func(ctx context.Context, addr string) (net.Conn, error) { return c.TLS.DialContext(ctx, "tcp", addr) },
		// system.processes and the server's log then say whose query it is.
		ClientInfo: clickhouse.ClientInfo{Products: []struct{ Name, Version string }{{Name: "throughline", Version: "1"}}},
		// Rows compress about five to one; LZ4 costs less than the copying it
		// saves, also on loopback.
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
		// A server that does not accept within this is down: the driver's 30 s
		// would hold a request longer than its client waits. It also bounds the
		// wait for a free connection of the pool.
		DialTimeout: 5 * time.Second,
		// Bounds an operation whose context has no deadline; a context's own
		// deadline goes before it.
		ReadTimeout: time.Minute,
		// A connection is closed now and then, so that the pool follows a name
		// that has come to mean another server.
		ConnMaxLifetime: 10 * time.Minute,
	}
	switch access {
	case ReadOnly:
		// A page takes some 10 ms, so 16 connections carry 1,600 pages a second;
		// more at once only queue for the server's cores.
		o.MaxOpenConns, o.MaxIdleConns = 16, 16
		// Replicas hold the same rows: spread the pages over them.
		o.ConnOpenStrategy = clickhouse.ConnOpenRoundRobin
		o.Settings = clusterReads()
	default:
		// One insert a table at a time, three tables, and verification beside it.
		o.MaxOpenConns, o.MaxIdleConns = 8, 4
		// One replica as long as it lives: its deduplication window is its own
		// on a table that is not replicated.
		o.ConnOpenStrategy = clickhouse.ConnOpenInOrder
		o.Settings = clickhouse.Settings{
			// Asynchronous inserts are on by default since 26.3. They regroup
			// rows into blocks of the server's choice, and then a retry is not
			// the same block and is not dropped as one.
			"async_insert": 0,
			// The default, said aloud: tokens mean nothing without it.
			"insert_deduplicate": 1,
		}
		maps.Copy(o.Settings, clusterReads())
		maps.Copy(o.Settings, clusterWrites())
	}
	return o
}

// prove asks for the server's version, which needs a working login.
func prove(ctx context.Context, conn Conn) error {
	if err := conn.Ping(ctx); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	v, err := conn.ServerVersion()
	if err != nil {
		return fmt.Errorf("ask for version: %w", err)
	}
	return supported(v.Version)
}

// supported refuses servers older than 26.2: the tables have text indexes,
// which became final with it.
func supported(v proto.Version) error {
	oldest := proto.Version{Major: 26, Minor: 2}
	if v.Major < oldest.Major || (v.Major == oldest.Major && v.Minor < oldest.Minor) {
		return fmt.Errorf("clickhouse is version %d.%d, but %d.%d or newer is needed", v.Major, v.Minor, oldest.Major, oldest.Minor)
	}
	return nil
}
