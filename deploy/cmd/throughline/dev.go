package main

import (
	"context"
	"os"

	"github.com/throughline/throughline/deploy/dev"
	"github.com/throughline/throughline/deploy/otlp"
)

// devCommand runs everything.
type devCommand struct {
	settings   `embed:""`
	dev.Config `embed:""`
}

// Help is shown below the summary.
func (devCommand) Help() string {
	return `Starts a Kafka broker and ClickHouse, unless KAFKA_BROKERS and CLICKHOUSE_ADDR name yours, and every service
on one address. The first start makes the workspace "default" and prints its API key; data stays in the data folder.
/livez, /readyz and /metrics are on the same address. Ctrl-C stops it within 10 seconds.`
}

// Run implements the command. What a person reads goes to stdout, the log to stderr.
func (c *devCommand) Run(ctx context.Context, e env) error {
	traces, stop, err := otlp.Open(ctx, "throughline", e.log, os.Getenv)
	if err != nil {
		return err
	}
	defer stop()
	service, err := dev.New(c.Config, dev.Deps{
		Traces:   traces,
		Progress: e.stdout,
		Log:      e.log,
		Ready:    func(g dev.Guide) error { return g.Write(e.stdout) },
	})
	if err != nil {
		return err
	}
	return service.Run(ctx)
}
