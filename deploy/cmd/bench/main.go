// Command bench measures parts of Throughline beside what limits them. `make bench` runs it.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/alecthomas/kong"

	"github.com/throughline/throughline/deploy/bench"
	"github.com/throughline/throughline/schema/embedded"
	"github.com/throughline/throughline/schema/run"
)

// commands is the command line.
type commands struct {
	Ingest        ingestCommand        `cmd:"" default:"withargs" help:"Measure the edge beside a bare handler and beside the client library."`
	Registry      registryCommand      `cmd:"" help:"Measure a registry of many objects."`
	LinkReload    linkReloadCommand    `cmd:"" help:"Measure how a linker comes back with a large window."`
	Projector     projectorCommand     `cmd:"" help:"Measure the projector beside the client library that inserts the same rows."`
	System        systemCommand        `cmd:"" help:"Measure each hop of an event alone, all together, and how soon an event can be read."`
	Pages         pagesCommand         `cmd:"" help:"Measure pages of the query API over tables of some sizes."`
	Conversations conversationsCommand `cmd:"" help:"Measure transitions of conversations beside bare transactions."`
	Webhooks      webhooksCommand      `cmd:"" help:"Measure the dispatcher beside a bare client, and what sick endpoints cost the others."`
	All           allCommand           `cmd:"" help:"Measure everything, each part beside its limit."`
	Serve         serveCommand         `cmd:"" hidden:"" help:"Be one of the servers that are measured."`
}

// ingestCommand measures.
type ingestCommand struct {
	bench.Config `embed:""`
}

// Run implements the command.
func (c ingestCommand) Run(ctx context.Context, stdout io.Writer) error {
	return bench.Run(ctx, c.Config, stdout, os.Stderr, warnings())
}

// registryCommand measures a registry.
type registryCommand struct {
	bench.RegistryConfig `embed:""`
}

// Run implements the command.
func (c registryCommand) Run(ctx context.Context, stdout io.Writer) error {
	return bench.Registry(ctx, c.RegistryConfig, stdout, os.Stderr, warnings())
}

// linkReloadCommand measures starts of a linker.
type linkReloadCommand struct {
	bench.LinkReloadConfig `embed:""`
}

// Run implements the command.
func (c linkReloadCommand) Run(ctx context.Context, stdout io.Writer) error {
	return bench.LinkReload(ctx, c.LinkReloadConfig, stdout, os.Stderr, warnings())
}

// projectorCommand measures the projector.
type projectorCommand struct {
	bench.ProjectorConfig `embed:""`
}

// Run implements the command.
func (c projectorCommand) Run(ctx context.Context, stdout io.Writer) error {
	return bench.Projector(ctx, c.ProjectorConfig, stdout, os.Stderr, warnings())
}

// systemCommand measures the whole.
type systemCommand struct {
	bench.SystemConfig `embed:""`
}

// Run implements the command.
func (c systemCommand) Run(ctx context.Context, stdout io.Writer) error {
	return bench.System(ctx, c.SystemConfig, stdout, os.Stderr, warnings())
}

// pagesCommand measures pages.
type pagesCommand struct {
	bench.PagesConfig `embed:""`
}

// Run implements the command.
func (c pagesCommand) Run(ctx context.Context, stdout io.Writer) error {
	return bench.Pages(ctx, c.PagesConfig, stdout, os.Stderr, warnings())
}

// conversationsCommand measures transitions.
type conversationsCommand struct {
	bench.ConversationsConfig `embed:""`
}

// Run implements the command.
func (c conversationsCommand) Run(ctx context.Context, stdout io.Writer) error {
	return bench.Conversations(ctx, c.ConversationsConfig, stdout, os.Stderr, warnings())
}

// allCommand measures everything.
type allCommand struct {
	bench.AllConfig `embed:""`
}

// Run implements the command.
func (c allCommand) Run(ctx context.Context, stdout io.Writer) error {
	return bench.All(ctx, c.AllConfig, stdout, os.Stderr, warnings())
}

// webhooksCommand measures the dispatcher.
type webhooksCommand struct {
	bench.WebhooksConfig `embed:""`
}

// Run implements the command.
func (c webhooksCommand) Run(ctx context.Context, stdout io.Writer) error {
	return bench.Webhooks(ctx, c.WebhooksConfig, stdout, os.Stderr, warnings())
}

// warnings logs what a person who waits should know.
func warnings() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// serveCommand is a server under test, started by ingestCommand.
type serveCommand struct {
	Spec string `arg:""`
}

// Run implements the command.
func (c serveCommand) Run(ctx context.Context, stdout io.Writer) error {
	return bench.Serve(ctx, c.Spec, os.Stdin, stdout)
}

func main() {
	// Where this process was started as a broker of its parent, this never returns.
	embedded.MaybeRunEngine()
	var cli commands
	parsed := kong.Parse(&cli, kong.Name("bench"), kong.Description("Measures Throughline on this machine."))
	os.Exit(run.Main(os.Stderr, func(ctx context.Context) error {
		parsed.BindTo(ctx, (*context.Context)(nil))
		parsed.BindTo(os.Stdout, (*io.Writer)(nil))
		return parsed.Run()
	}))
}
