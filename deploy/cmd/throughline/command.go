package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"

	"github.com/alecthomas/kong"

	"github.com/throughline/throughline/schema/run"
)

// Exit codes; the package's documentation and README name them.
const (
	exitOK    = 0
	exitUsage = 2
	// exitRefused is that of a command that did all it could, but the server refused some of what it was given.
	exitRefused = 3
	// exitDiffers is that of a command that has compared tables with the log and found differences.
	exitDiffers = 4
)

const description = `Throughline keeps every customer's timeline: events go in over HTTP, are durable in Kafka before they
are acknowledged, and are read from ClickHouse.

Every flag has an environment variable, named in its help. Secrets may also be given as the path of a file. Exit codes:
0 done, 1 failed, 2 not asked properly; send and replay have 3 for some refused, reconcile and rebuild
4 for differences.`

// commands is the command line. The order is that of the help.
type commands struct {
	Log run.LogConfig `embed:""`

	Dev        devCommand         `cmd:"" group:"one" help:"Run everything on this machine: Kafka, ClickHouse and all services."`
	Demo       demoCommand        `cmd:"" group:"one" help:"Post one day of real calls; show a customer's timeline, the day's report and the wallboard."`
	Send       sendCommand        `cmd:"" group:"use" help:"Send files of events or objects, one a line."`
	Replay     replayCommand      `cmd:"" group:"use" help:"Post traces of a call centre as conversations."`
	Tail       tailCommand        `cmd:"" group:"use" help:"Print events as they are linked."`
	Listen     listenCommand      `cmd:"" group:"use" help:"Receive webhooks: register an endpoint, verify and print what it is told."`
	Ingest     ingestCommand      `cmd:"" group:"many" help:"Run the write side: the HTTP edge, the registry of objects and the linker."`
	Projector  projectorCommand   `cmd:"" group:"many" help:"Run the projector, which writes ClickHouse's tables from the log."`
	Query      queryCommand       `cmd:"" group:"many" help:"Run the read side: timelines, the event log, event names."`
	Dispatcher dispatcherCommand  `cmd:"" group:"many" help:"Run the dispatcher, which delivers webhooks."`
	Proxy      proxyCommand       `cmd:"" group:"many" help:"Put the services behind one address."`
	Topics     topicsCommand      `cmd:"" group:"setup" help:"Create topics, verify those that are there, commit the first offsets."`
	Migrate    migrateCommand     `cmd:"" group:"setup" help:"Create ClickHouse's database and bring its tables up to date."`
	Reconcile  reconcileCommand   `cmd:"" group:"setup" help:"Compare ClickHouse's tables with the log, row by row."`
	Rebuild    rebuildCommand     `cmd:"" group:"setup" help:"Make ClickHouse's tables again from the log, and switch to them."`
	Keys       keysCommand        `cmd:"" group:"setup" help:"Make, list and delete workspaces and API keys."`
	Letters    deadLettersCommand `cmd:"" name:"dead-letters" group:"setup" help:"List, show and retry records that a consumer could not process."`
	Health     healthCommand      `cmd:"" group:"setup" help:"Ask a service whether it is ready; for health checks of containers."`
	Version    versionCommand     `cmd:"" group:"setup" help:"Print the version."`
}

// env is what every command gets from the process.
type env struct {
	stdout, stderr io.Writer
	log            *slog.Logger
	// exit sets the exit code of a command that returns no error.
	exit func(code int)
}

// execute runs a command line and returns the exit code.
func execute(args []string, stdout, stderr io.Writer) int {
	var cli commands
	exited, code := false, exitOK
	parser, err := newParser(&cli,
		kong.Writers(stdout, stderr),
		// --help calls this and then goes on parsing; what it finds then is of no interest.
		kong.Exit(func(c int) { exited, code = true, c }))
	if err != nil {
		complain(stderr, err)
		return run.ExitFailure
	}
	ctx, err := parser.Parse(args)
	if exited {
		return code
	}
	if asked := contextOf(ctx, err); asked != nil && wantsConfig(asked) {
		if failed := printConfig(stdout, asked); failed != nil {
			complain(stderr, failed)
			return run.ExitFailure
		}
		if err == nil {
			return exitOK
		}
	}
	if err == nil {
		err = refuseSecrets(ctx)
	}
	if err != nil {
		complain(stderr, err)
		hint(stderr, err)
		return exitUsage
	}
	log, err := run.NewLogger(stderr, cli.Log)
	if err != nil {
		complain(stderr, err)
		return exitUsage
	}
	failed := run.Main(stderr, func(signals context.Context) error {
		ctx.BindTo(signals, (*context.Context)(nil))
		return ctx.Run(env{stdout: stdout, stderr: stderr, log: log, exit: func(c int) { code = c }})
	})
	if failed != run.ExitOK {
		return failed
	}
	return code
}

// contextOf is what a command line was understood as, also where it was refused.
func contextOf(ctx *kong.Context, err error) *kong.Context {
	if parse, ok := errors.AsType[*kong.ParseError](err); ok {
		return parse.Context
	}
	return ctx
}

// newParser makes the parser of the command line.
func newParser(cli *commands, more ...kong.Option) (*kong.Kong, error) {
	return kong.New(cli, append([]kong.Option{
		kong.Name("throughline"),
		kong.Description(description),
		sizes(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
		kong.ExplicitGroups([]kong.Group{
			{Key: "tuning", Title: "What the services may do (the same as where they run by themselves):"},
			{Key: "one", Title: "On one machine:"},
			{Key: "use", Title: "Against a running Throughline:"},
			{Key: "many", Title: "Services, against your own Kafka and ClickHouse:"},
			{Key: "setup", Title: "Setting up:"},
		}),
	}, more...)...)
}

func complain(w io.Writer, err error) {
	_, _ = fmt.Fprintln(w, "throughline:", err) // there is nowhere else to say it
}

// hint names the help of the command that was not understood.
func hint(w io.Writer, err error) {
	command := "throughline"
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context.Command() != "" {
		command += " " + parse.Context.Command()
	}
	_, _ = fmt.Fprintf(w, "See `%s --help`.\n", command) // there is nowhere else to say it
}

// versionCommand prints which build this is.
type versionCommand struct{}

// Run implements the command.
func (versionCommand) Run(e env) error {
	version, revision := run.Build()
	_, err := fmt.Fprintf(e.stdout, "throughline %s (revision %s, %s, %s/%s)\n", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
