package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/deploy/connect"
	"github.com/throughline/throughline/projector"
	"github.com/throughline/throughline/schema/store"
)

// reconcileCommand compares the tables with the log.
type reconcileCommand struct {
	settings `embed:""`

	Kafka      connect.Kafka      `embed:""`
	ClickHouse connect.ClickHouse `embed:""`
	Master     master             `embed:""`
	Tables     []string           `name:"table" help:"Table to compare; may be repeated. Absent: all."`
	Last       int64              `name:"last" help:"Offsets of every partition to compare, counted back from what is committed. 0: the whole log."`
	JSON       bool               `name:"json" help:"Print the report as JSON."`
	Quiet      bool               `name:"quiet" short:"q" help:"Do not report progress."`
}

// Help is shown below the summary.
func (reconcileCommand) Help() string {
	return `Reads the log up to what each table's group has committed, and compares, offset by offset, the rows that every record gives
with those that are there. It writes nothing, and may run beside everything else. Rows of records that the log does
not have any more, and rows that a table does not keep for so long, are left out.

Exit codes: 0 nothing differs, 4 rows are missing, too many or doubled, 1 it could not be found out, 2 not asked properly.`
}

// Validate says what is wrong with the flags.
func (c reconcileCommand) Validate() error {
	var err error
	if c.Last < 0 {
		err = errors.New("--last must not be negative")
	}
	_, key := c.Master.open()
	return errors.Join(c.Kafka.Required(), c.ClickHouse.Required(), key, err)
}

// Run implements the command. The report goes to stdout, progress to stderr.
func (c reconcileCommand) Run(ctx context.Context, e env) (err error) {
	deps, closer, err := tools(ctx, e, "throughline-reconcile", c.Kafka, c.ClickHouse, c.Master)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	show := &meter{to: e.stderr, quiet: c.Quiet}
	report, err := projector.Reconcile(ctx, deps, projector.Scope{Tables: c.Tables, Last: c.Last}, func(p projector.Progress) {
		show.say("%s: %s at %d of %d", p.Table, p.TopicPartition, p.Next-p.From, p.To-p.From)
	})
	if err != nil {
		return err
	}
	if err := writeReport(e.stdout, report, c.JSON); err != nil {
		return err
	}
	if !report.Clean() {
		e.exit(exitDiffers)
	}
	return nil
}

// tools opens what a command works with that projects or compares.
func tools(ctx context.Context, e env, client string, k connect.Kafka, c connect.ClickHouse, m master) (projector.Deps, *assembly.Closer, error) {
	var opened assembly.Closer
	key, err := m.open()
	if err != nil {
		return projector.Deps{}, nil, err
	}
	kafka, err := k.Config(client)
	if err != nil {
		return projector.Deps{}, nil, err
	}
	clickhouse, err := c.Config()
	if err != nil {
		return projector.Deps{}, nil, err
	}
	if err := reach(ctx, e, kafka); err != nil {
		return projector.Deps{}, nil, err
	}
	conn, err := store.Open(ctx, clickhouse, store.ReadWrite)
	if err != nil {
		return projector.Deps{}, nil, err
	}
	opened.Add(conn.Close)
	return projector.Deps{Kafka: kafka, Store: conn, Master: key, Log: e.log}, &opened, nil
}

// writeReport writes a report for a person, or as JSON.
func writeReport(w io.Writer, report projector.Report, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(report)
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(out, "TABLE\tRECORDS\tROWS\tMISSING\tEXTRA\tDOUBLED\tBEFORE THE LOG") // Flush says what went wrong
	for _, t := range report.Tables {
		_, _ = fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\t%d\t%d\n", t.Table, t.Records, t.Rows, t.Missing, t.Extra, t.Doubled, t.BeforeLog)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	var text strings.Builder
	for _, t := range report.Tables {
		for _, p := range t.Partitions {
			for _, r := range p.Ranges {
				fmt.Fprintf(&text, "%s: %d rows %s at %s/%d [%d, %d)\n", t.Table, r.Rows, r.Kind, p.Topic, p.Partition, r.From, r.To)
			}
			if p.More > 0 {
				fmt.Fprintf(&text, "%s: and %d more ranges of %s/%d\n", t.Table, p.More, p.Topic, p.Partition)
			}
		}
	}
	if report.Clean() {
		text.WriteString("nothing differs\n")
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// meter reports progress to a person, not more often than one can read.
type meter struct {
	to    io.Writer
	quiet bool
	last  time.Time
}

// meterEvery is how often progress is reported.
const meterEvery = time.Second

func (m *meter) say(format string, args ...any) {
	if now := time.Now(); !m.quiet && now.Sub(m.last) >= meterEvery {
		m.last = now
		_, _ = fmt.Fprintf(m.to, format+"\n", args...) // nobody may be reading
	}
}
