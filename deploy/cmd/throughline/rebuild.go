package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/throughline/throughline/deploy/connect"
	"github.com/throughline/throughline/projector"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
)

// rebuildCommand makes tables again.
type rebuildCommand struct {
	Run  rebuildRun  `cmd:"" default:"withargs" help:"Make tables again from the log, compare them with it, and switch to them."`
	Drop rebuildDrop `cmd:"" help:"Drop the tables that were in use before."`
}

// rebuildRun makes tables again.
type rebuildRun struct {
	settings `embed:""`

	Kafka      connect.Kafka      `embed:""`
	ClickHouse connect.ClickHouse `embed:""`
	Master     master             `embed:""`
	Tables     []string           `name:"table" help:"Table to make again; may be repeated. Absent, or all: all of them, one after the other."`
	DropOld    bool               `name:"drop-old" help:"Drop the former tables at the end."`
	JSON       bool               `name:"json" help:"Print what was done as JSON."`
	Quiet      bool               `name:"quiet" short:"q" help:"Do not report progress."`
	Projector  projector.Config   `embed:""`
}

// Help is shown below the summary.
func (rebuildRun) Help() string {
	return `Reads the log from its start into a new table beside the one in use, compares it with the log, row by row, and only then lets
it take the other's name, in one step. Reads and projections go on; for the switch nobody projects into that table for
some seconds. What was cut off is gone on with by running the same again. Needs free space for the table once more.

Where ClickHouse was emptied, "throughline migrate" first, then this brings every table back.

Exit codes: 0 done, 4 the new table differs from the log and the one in use stays, 1 failed, 2 not asked properly.`
}

// Validate says what is wrong with the flags.
func (c rebuildRun) Validate() error {
	_, err := c.Master.open()
	if c.ClickHouse.Cluster != "" {
		err = errors.Join(err, errors.New("tables of a cluster cannot be made again in place: an exchange of tables is not one step there"))
	}
	return errors.Join(c.Kafka.Required(), c.ClickHouse.Required(), err, c.Projector.Validate())
}

// Run implements the command. What was done goes to stdout, progress to stderr.
func (c rebuildRun) Run(ctx context.Context, e env) (err error) {
	deps, opened, err := tools(ctx, e, "throughline-rebuild", c.Kafka, c.ClickHouse, c.Master)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	if deps.Producer, err = stream.NewProducer(deps.Kafka, stream.ProducerConfig{}, stream.Deps{Log: e.log}); err != nil {
		return err
	}
	opened.Add(func() error { return deps.Producer.Close(context.WithoutCancel(ctx)) })
	tables := c.Tables
	if len(tables) == 1 && tables[0] == "all" {
		tables = nil
	}
	show := &meter{to: e.stderr, quiet: c.Quiet}
	rebuilt, err := projector.Rebuild(ctx, c.Projector, deps, tables, func(r projector.Rebuilding) {
		show.say("%s generation %d: %s, %d of %d offsets, %d rows, %.0f rows/s, %s left",
			r.Table, r.Generation, r.Step, r.Done, r.Total, r.Rows, r.RowsPerSecond, r.Left)
	})
	if failed := writeRebuilt(e.stdout, rebuilt, c.JSON); failed != nil {
		err = errors.Join(err, failed)
	}
	if errors.Is(err, projector.ErrDiffers) {
		complain(e.stderr, err)
		e.exit(exitDiffers)
		return nil
	}
	if err != nil || !c.DropOld {
		return err
	}
	return dropOld(ctx, e.stdout, deps.Store, tables, false, c.JSON)
}

// writeRebuilt says what was done.
func writeRebuilt(w io.Writer, rebuilt []projector.Rebuilt, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{"tables": rebuilt})
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(out, "TABLE\tGENERATION\tROWS\tSECONDS\tROWS/S\tCARRIED\tFORMER TABLE") // Flush says what went wrong
	for _, r := range rebuilt {
		speed := 0.0
		if r.Seconds > 0 {
			speed = float64(r.Rows) / r.Seconds
		}
		_, _ = fmt.Fprintf(out, "%s\t%d\t%d\t%.1f\t%.0f\t%d\t%s\n", r.Table, r.Generation, r.Rows, r.Seconds, speed, r.Carried, r.Former)
	}
	return out.Flush()
}

// rebuildDrop drops former tables.
type rebuildDrop struct {
	settings `embed:""`

	ClickHouse connect.ClickHouse `embed:""`
	Tables     []string           `name:"table" help:"Table whose former ones are dropped; may be repeated. Absent: all."`
	Unfinished bool               `name:"unfinished" help:"Drop those, too, that are not complete, so that the next rebuild begins anew. No rebuild may run."`
}

// Validate says what is wrong with the flags.
func (c rebuildDrop) Validate() error { return c.ClickHouse.Required() }

// Run implements the command.
func (c rebuildDrop) Run(ctx context.Context, e env) (err error) {
	cfg, err := c.ClickHouse.Config()
	if err != nil {
		return err
	}
	conn, err := store.Open(ctx, cfg, store.ReadWrite)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return dropOld(ctx, e.stdout, conn, c.Tables, c.Unfinished, false)
}

func dropOld(ctx context.Context, w io.Writer, conn store.Conn, tables []string, unfinished, quiet bool) error {
	dropped, err := projector.DropOld(ctx, conn, tables, unfinished)
	if quiet {
		return err
	}
	for _, name := range dropped {
		_, _ = fmt.Fprintln(w, "dropped", name) // it is gone whether or not anybody reads so
	}
	if err == nil && len(dropped) == 0 {
		_, _ = fmt.Fprintln(w, "there is no former table")
	}
	return err
}
