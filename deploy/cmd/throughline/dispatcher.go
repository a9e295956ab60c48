package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/deploy/connect"
	"github.com/throughline/throughline/dispatcher"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/store"
)

// dispatcherCommand runs the dispatcher.
type dispatcherCommand struct {
	process         `embed:"" set:"admin=127.0.0.1:9084"`
	views           `embed:"" set:"part=dispatcher"`
	Master          master             `embed:""`
	PreviousKey     string             `name:"previous-master-key" env:"THROUGHLINE_PREVIOUS_MASTER_KEY" hidden:"" secret:"env" help:"Master key that the present one has replaced: it still opens endpoints that were sealed with it."`
	PreviousKeyFile string             `name:"previous-master-key-file" env:"THROUGHLINE_PREVIOUS_MASTER_KEY_FILE" placeholder:"FILE" help:"File that holds the master key that the present one has replaced; or THROUGHLINE_PREVIOUS_MASTER_KEY is the key itself."`
	ClickHouse      connect.ClickHouse `embed:""`
	Reader          connect.Reader     `embed:""`
	Listen          string             `name:"listen" env:"THROUGHLINE_LISTEN" default:"127.0.0.1:8084" help:"Where to serve the routes of webhooks."`
	Webhooks        dispatcher.Config  `embed:""`
}

// Validate says what is wrong with the flags.
func (c dispatcherCommand) Validate() error {
	_, err := c.Master.open()
	_, previous := c.previous()
	return errors.Join(c.Kafka.Required(), c.ClickHouse.Required(), err, previous)
}

// previous reads the master key that was replaced, if there is one.
func (c dispatcherCommand) previous() ([]*seal.Master, error) {
	text, err := connect.Secret("THROUGHLINE_PREVIOUS_MASTER_KEY", c.PreviousKey, c.PreviousKeyFile)
	if err != nil || text == "" {
		return nil, err
	}
	key, err := seal.ParseMaster(text)
	if err != nil {
		return nil, fmt.Errorf("THROUGHLINE_PREVIOUS_MASTER_KEY: %w", err)
	}
	return []*seal.Master{key}, nil
}

// Run implements the command.
func (c dispatcherCommand) Run(ctx context.Context, e env) error {
	key, err := c.Master.open()
	if err != nil {
		return err
	}
	previous, err := c.previous()
	if err != nil {
		return err
	}
	clickhouse, err := c.ClickHouse.ReadConfig(c.Reader)
	if err != nil {
		return err
	}
	cfg := c.Webhooks
	if cfg.Instance == "" {
		if cfg.Instance, err = os.Hostname(); err != nil {
			return fmt.Errorf("name this dispatcher (THROUGHLINE_WEBHOOK_INSTANCE): %w", err)
		}
	}
	if c.Check {
		return c.look(ctx, e, key, func(check *assembly.Check) { check.ClickHouse(ctx, clickhouse, store.ReadOnly) })
	}
	return c.serve(ctx, e, "dispatcher", c.Listen, func(p *assembly.Process) (http.Handler, error) {
		p.Views = c.Views
		return p.Dispatcher(ctx, cfg, clickhouse, key, previous...)
	})
}
