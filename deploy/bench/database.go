package bench

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/schema/embedded"
	"github.com/throughline/throughline/schema/store"
)

// database is the ClickHouse of a run, in a process of its own.
type database struct {
	server *embedded.ClickHouse
	store  store.Config
	admin  store.Conn
}

// startDatabase starts ClickHouse. It goes when the run is closed.
func (b *bench) startDatabase(ctx context.Context) (d database, err error) {
	b.say("starting ClickHouse")
	d.server, err = embedded.StartClickHouse(ctx, embedded.ClickHouseOptions{
		DataDir: filepath.Join(b.dir, "clickhouse"), Progress: b.progress, Logger: b.log,
	})
	if err != nil {
		return d, err
	}
	b.opened.Add(d.server.Close)
	d.store = store.Config{Addr: d.server.Addr, Database: "default", User: d.server.User, Password: d.server.Password}
	if d.admin, err = store.Open(ctx, d.store, store.ReadWrite); err != nil {
		return d, err
	}
	b.opened.Add(d.admin.Close)
	return d, nil
}

// tables makes a database with empty tables. Tables of their own know no tokens of the round before.
func (d database) tables(ctx context.Context, name string) (store.Config, error) {
	to := d.store
	to.Database = name
	_, err := assembly.Migrate(ctx, to, nil)
	return to, err
}

func (d database) drop(ctx context.Context, name string) error {
	if err := d.admin.Exec(ctx, "DROP DATABASE "+name+" SYNC"); err != nil {
		return fmt.Errorf("drop tables: %w", err)
	}
	return nil
}
