package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/throughline/throughline/deploy/connect"
	"github.com/throughline/throughline/deploy/demo"
	"github.com/throughline/throughline/deploy/dev"
	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/workspace"
)

// demoCommand posts a day of calls and shows what that gives.
type demoCommand struct {
	URL     string `name:"url" env:"THROUGHLINE_URL" placeholder:"URL" help:"Base address of a running Throughline. Absent: starts one with a data folder that is gone afterwards."`
	Key     string `name:"key" env:"THROUGHLINE_API_KEY" secret:"" help:"API key, with --url."`
	KeyFile string `name:"key-file" env:"THROUGHLINE_API_KEY_FILE" placeholder:"FILE" help:"File that holds the API key."`
	Day     string `name:"day" default:"1999-02-01" help:"Day of the trace, from 1999-02-01 to 1999-02-14."`
	Workers int    `name:"workers" default:"4" help:"Batches under way at once, 1 to 16."`
}

// Help is shown below the summary.
func (demoCommand) Help() string {
	return `The input is a public trace of a bank's call centre, February 1999, which is part of this program: callers
become customers, agents become users, each call a conversation, as with throughline replay. Running it again does not
change the day. For the wallboard, which shows what happens now, the calls up to its busiest moment are posted once more as
if that was now; they end with the demo.`
}

// Validate says what is wrong with the flags.
func (c demoCommand) Validate() error { return c.config().Validate() }

func (c demoCommand) config() demo.Config {
	return demo.Config{URL: c.URL, Key: c.Key, Day: c.Day, Workers: c.Workers}
}

// Run implements the command.
func (c demoCommand) Run(ctx context.Context, e env) error {
	cfg := c.config()
	if cfg.URL == "" {
		return c.alone(ctx, e, cfg)
	}
	key, err := connect.Secret("THROUGHLINE_API_KEY", c.Key, c.KeyFile)
	if err != nil {
		return err
	}
	cfg.Key = key
	return demo.Run(ctx, cfg, e.stdout)
}

// alone runs the demo on a Throughline of its own.
func (c demoCommand) alone(ctx context.Context, e env, cfg demo.Config) (err error) {
	dir, err := os.MkdirTemp("", "throughline-demo-")
	if err != nil {
		return fmt.Errorf("make temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	cfg.Key = workspace.NewSecret()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := make(chan dev.Guide, 1)
	// The demo's output is the point: of the server's log only what went wrong is shown.
	log := slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	service, err := dev.New(dev.Config{
		Listen: "127.0.0.1:0", Data: filepath.Join(dir, "data"), Broker: "embedded", APIKey: cfg.Key,
		Kafka: connect.Kafka{Prefix: "throughline"}, ClickHouse: connect.ClickHouse{Database: "throughline"},
		Tuning: dev.DefaultTuning(),
	}, dev.Deps{
		Progress: e.stdout,
		Log:      log,
		Ready:    func(g dev.Guide) error { ready <- g; return nil },
	})
	if err != nil {
		return err
	}
	show := func(ctx context.Context) error {
		select {
		case g := <-ready:
			cfg.URL = g.URL
		case <-ctx.Done():
			return nil
		}
		if err := demo.Run(ctx, cfg, e.stdout); err != nil {
			return err
		}
		cancel() // done: this ends the server too
		return nil
	}
	return run.Group{Log: log}.Run(ctx, run.Service{Name: "server", Run: service.Run}, run.Service{Name: "demo", Run: show})
}
