package assembly

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
)

// checkTimeout bounds one step of a check. A broker that is gone takes this long to be called so.
const checkTimeout = 20 * time.Second

// ErrCheck says that something is missing; what it is has been written.
var ErrCheck = errors.New("not everything is there")

// Check looks at what a service needs and writes a line for each thing. It changes nothing.
type Check struct {
	// Out receives the lines.
	Out io.Writer
	Log *slog.Logger

	failed bool
}

// Err is ErrCheck if something is missing.
func (c *Check) Err() error {
	if c.failed {
		return ErrCheck
	}
	return nil
}

// say looks at one thing and returns whether it is as it should be.
func (c *Check) say(ctx context.Context, what string, look func(context.Context) (string, error)) bool {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	verdict := "ok  "
	found, err := look(ctx)
	if err != nil {
		c.failed, verdict, found = true, "FAIL", err.Error()
	}
	_, _ = fmt.Fprintf(c.Out, "%s  %-14s %s\n", verdict, what, found) // the exit code says it as well
	return err == nil
}

// Kafka looks at the brokers, the topics and the groups' offsets, and whether the master key is the one that the
// installation's data keys are wrapped with, if there is one.
func (c *Check) Kafka(ctx context.Context, cfg stream.Config, master *seal.Master) {
	reached := c.say(ctx, "kafka", func(ctx context.Context) (string, error) {
		cluster, err := stream.Ask(ctx, cfg, c.Log)
		return fmt.Sprintf("cluster %s with %d brokers answers", cluster.ID, cluster.Brokers), err
	})
	if !reached {
		return
	}
	there := c.say(ctx, "topics", func(ctx context.Context) (string, error) {
		partitions, err := stream.InspectTopics(ctx, cfg, c.Log, topic.Submissions, topic.Layout)
		if err != nil {
			return "", fmt.Errorf("%w (`throughline topics` makes those that are missing)", err)
		}
		return fmt.Sprintf("%s.… are there, with %d partitions", cfg.Prefix, partitions), nil
	})
	if !there {
		return
	}
	c.say(ctx, "groups", func(ctx context.Context) (string, error) { return c.groups(ctx, cfg) })
	if master != nil {
		c.say(ctx, "master key", func(ctx context.Context) (string, error) { return c.master(ctx, cfg, master) })
	}
}

func (c *Check) groups(ctx context.Context, cfg stream.Config) (string, error) {
	all := groups()
	for _, g := range all {
		missing, err := stream.InspectGroup(ctx, cfg, c.Log, g.Name, g.Topics)
		if err != nil {
			return "", err
		}
		if missing > 0 {
			return "", fmt.Errorf("group %s has no offset for %d partitions: `throughline topics` commits the first ones", cfg.Group(g.Name), missing)
		}
	}
	return fmt.Sprintf("%d consumer groups know where to go on", len(all)), nil
}

func (c *Check) master(ctx context.Context, cfg stream.Config, master *seal.Master) (string, error) {
	wrapped, err := stream.FirstValue(ctx, cfg, c.Log, topic.SubjectKeys)
	if err != nil {
		return "", err
	}
	if wrapped == nil {
		return "is well formed; no data key is there yet to try it on", nil
	}
	rec, err := seal.ParseKeyRecord(wrapped.Value)
	if err != nil {
		return "", fmt.Errorf("read a data key: %w", err)
	}
	if _, err := master.Unwrap(rec); err != nil {
		return "", fmt.Errorf("is not the one of this installation: %w", err)
	}
	return "opens the installation's data keys", nil
}

// ClickHouse looks at the server, as the user of the configuration, and at its tables.
func (c *Check) ClickHouse(ctx context.Context, cfg store.Config, access store.Access) {
	var conn store.Conn
	reached := c.say(ctx, "clickhouse", func(ctx context.Context) (string, error) {
		var err error
		if conn, err = store.Open(ctx, cfg, access); err != nil {
			return "", err
		}
		version, err := conn.ServerVersion()
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s answers, version %s", cfg.Addr, version.Version), nil
	})
	if !reached {
		return
	}
	defer func() { _ = conn.Close() }() // it was for reading
	if cfg.Cluster != "" {
		c.say(ctx, "cluster", func(ctx context.Context) (string, error) {
			shards, replicas, err := store.Shards(ctx, conn, cfg.Cluster)
			return fmt.Sprintf("%s has %d shards and %d servers", cfg.Cluster, shards, replicas), err
		})
	}
	c.say(ctx, "tables", func(ctx context.Context) (string, error) {
		if err := store.Migrated(ctx, conn, table.Migrations()); err != nil {
			if errors.Is(err, store.ErrPending) {
				err = fmt.Errorf("%w (`throughline migrate` applies them)", err)
			}
			return "", err
		}
		return "of database " + cfg.Database + " are those of this version", nil
	})
}
