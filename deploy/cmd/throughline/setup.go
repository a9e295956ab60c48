package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/deploy/connect"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
)

// topicsCommand prepares Kafka.
type topicsCommand struct {
	settings `embed:""`

	Kafka       connect.Kafka `embed:""`
	Partitions  int           `name:"partitions" env:"THROUGHLINE_PARTITIONS" default:"12" help:"Partitions of a partitioned topic. Chosen once: the place of every object depends on it."`
	Replication int           `name:"replication" env:"THROUGHLINE_REPLICATION" default:"3" help:"Replicas of a partition; with 3 or more, two must acknowledge every write."`
}

// Validate says what is wrong with the flags.
func (c topicsCommand) Validate() error {
	if c.Partitions < 1 || c.Partitions > 1000 || c.Replication < 1 || c.Replication > 9 {
		return errors.New("partitions must be from 1 to 1000, replication from 1 to 9")
	}
	return c.Kafka.Required()
}

// Run implements the command.
func (c topicsCommand) Run(ctx context.Context, e env) error {
	cfg, err := c.Kafka.Config("throughline-topics")
	if err != nil {
		return err
	}
	if err := reach(ctx, e, cfg); err != nil {
		return err
	}
	created, err := assembly.Topics(ctx, cfg, stream.Deps{Log: e.log}, c.Partitions, c.Replication)
	for _, name := range created {
		_, _ = fmt.Fprintln(e.stdout, "created", name) // the topic is there whether or not anybody reads so
	}
	if err == nil && len(created) == 0 {
		_, _ = fmt.Fprintln(e.stdout, "every topic is there")
	}
	return err
}

// reachTimeout is how long a command that is not a service waits for Kafka: somebody sits in front of it.
const reachTimeout = 30 * time.Second

// reach waits for Kafka for a while.
func reach(ctx context.Context, e env, cfg stream.Config) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	return assembly.Reach(ctx, cfg, e.log)
}

// migrateCommand prepares ClickHouse.
type migrateCommand struct {
	settings `embed:""`

	ClickHouse connect.ClickHouse `embed:""`
}

// Validate says what is wrong with the flags.
func (c migrateCommand) Validate() error { return c.ClickHouse.Required() }

// Run implements the command.
func (c migrateCommand) Run(ctx context.Context, e env) error {
	cfg, err := c.ClickHouse.Config()
	if err != nil {
		return err
	}
	applied, err := assembly.Migrate(ctx, cfg, func(m store.Migration) {
		_, _ = fmt.Fprintln(e.stdout, "applying", m.Name) // it is applied whether or not anybody reads so
	})
	if err == nil && len(applied) == 0 {
		_, _ = fmt.Fprintln(e.stdout, "every table is up to date")
	}
	return err
}
