package schematest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/schema/embedded"
)

// Environment of a running ClickHouse. The reader defaults to the user.
const (
	addrEnv         = "CLICKHOUSE_ADDR"
	userEnv         = "CLICKHOUSE_USER"
	passwordEnv     = "CLICKHOUSE_PASSWORD"
	readUserEnv     = "CLICKHOUSE_READ_USER"
	readPasswordEnv = "CLICKHOUSE_READ_PASSWORD"
)

// dropBound is how long a database may take to go. A test's context is over by
// then, so the clean-up has one of its own.
const dropBound = 30 * time.Second

// DB is where a test finds its database.
type DB struct {
	Addr                   string
	User, Password         string
	ReadUser, ReadPassword string
	// Database is this test's own; it is dropped when the test ends.
	Database string
}

// ClickHouse returns a new database on the server that this test binary shares.
func ClickHouse(tb testing.TB) DB {
	tb.Helper()
	db, ok := namedClickHouse()
	if !ok {
		started, err := shared.clickHouse.get(func() (DB, error) { return startClickHouse(background(tb)) })
		if err != nil {
			missing(tb, "clickhouse", err)
		}
		db = started
	}
	db.Database = name(tb)
	if err := db.exec(tb.Context(), "CREATE DATABASE "+db.Database); err != nil {
		tb.Fatalf("create database of test: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(background(tb), dropBound)
		defer cancel()
		if err := db.exec(ctx, "DROP DATABASE "+db.Database+" SYNC"); err != nil {
			tb.Errorf("drop database of test: %v", err)
		}
	})
	return db
}

func startClickHouse(ctx context.Context) (DB, error) {
	kind, err := kind(ctx)
	if err != nil {
		return DB{}, err
	}
	if kind == kindDocker {
		return startClickHouseContainer(ctx)
	}
	dir, err := shared.folder("clickhouse")
	if err != nil {
		return DB{}, err
	}
	server, err := embedded.StartClickHouse(ctx, embedded.ClickHouseOptions{DataDir: dir, Progress: os.Stderr})
	if err != nil {
		return DB{}, err
	}
	shared.keep(server)
	return DB{
		Addr: server.Addr,
		User: server.User, Password: server.Password,
		ReadUser: server.ReadUser, ReadPassword: server.ReadPassword,
	}, nil
}

func namedClickHouse() (DB, bool) {
	addr := os.Getenv(addrEnv)
	if addr == "" {
		return DB{}, false
	}
	db := DB{Addr: addr, User: cmp.Or(os.Getenv(userEnv), "default"), Password: os.Getenv(passwordEnv)}
	db.ReadUser, db.ReadPassword = os.Getenv(readUserEnv), os.Getenv(readPasswordEnv)
	if db.ReadUser == "" {
		db.ReadUser, db.ReadPassword = db.User, db.Password
	}
	return db, true
}

// exec runs one statement outside the test's database, which need not exist.
func (db DB) exec(ctx context.Context, statement string) error {
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{db.Addr},
		Auth: clickhouse.Auth{Username: db.User, Password: db.Password},
	})
	if err != nil {
		return fmt.Errorf("open client: %w", err)
	}
	return errors.Join(conn.Exec(ctx, statement), conn.Close())
}
