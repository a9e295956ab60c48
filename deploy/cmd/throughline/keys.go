package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/deploy/connect"
	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/workspace"
)

// listPage is how many keys are read at a time.
const listPage = 500

// keysCommand holds what is done to workspaces and their keys, straight in Kafka: it needs no running edge, and no key.
type keysCommand struct {
	Workspace keysWorkspace `cmd:"" help:"Make a workspace, or replace its settings."`
	Create    keysCreate    `cmd:"" help:"Make an API key. It is printed once; only its hash is kept."`
	List      keysList      `cmd:"" help:"List the API keys of a workspace."`
	Delete    keysDelete    `cmd:"" help:"End an API key, within 5 s everywhere."`
}

// keysWorkspace makes a workspace.
type keysWorkspace struct {
	Kafka    connect.Kafka `embed:""`
	ID       string        `arg:"" help:"Its id: lower-case letters, digits and hyphens; never used again."`
	Name     string        `name:"name" help:"Its name, for people."`
	TimeZone string        `name:"time-zone" default:"UTC" help:"IANA name of the zone in which its days begin."`
	Suspend  bool          `name:"suspend" help:"Answer 403 to all of its keys."`
}

// Validate says what is wrong with the flags.
func (c keysWorkspace) Validate() error {
	return errors.Join(workspace.ValidateID(c.ID), c.Kafka.Required())
}

// Run implements the command.
func (c keysWorkspace) Run(ctx context.Context, e env) error {
	return withAccess(ctx, e, c.Kafka, func(a *access.Access) error {
		status := workspace.Active
		if c.Suspend {
			status = workspace.Suspended
		}
		w, _, err := a.PutWorkspace(ctx, workspace.Workspace{ID: c.ID, Name: c.Name, TimeZone: c.TimeZone, Status: status})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(e.stdout, "workspace %s is %s\n", w.ID, w.Status)
		return err
	})
}

// keysCreate makes a key.
type keysCreate struct {
	Kafka     connect.Kafka     `embed:""`
	Workspace string            `arg:"" help:"The workspace that the key is for."`
	Name      string            `name:"name" default:"cli" help:"Its name, for people."`
	Scopes    []workspace.Scope `name:"scope" help:"What it may do; may be repeated. Absent: everything but admin."`
	Expires   time.Duration     `name:"expires-in" help:"How long it is good for, such as 720h. Absent: for ever."`
}

// Validate says what is wrong with the flags.
func (c keysCreate) Validate() error {
	if c.Expires < 0 {
		return errors.New("--expires-in must not be negative")
	}
	return c.Kafka.Required()
}

// Run implements the command. The key alone goes to stdout, so that a script can keep it.
func (c keysCreate) Run(ctx context.Context, e env) error {
	return withAccess(ctx, e, c.Kafka, func(a *access.Access) error {
		n := access.NewKey{Workspace: c.Workspace, Name: c.Name, Scopes: c.Scopes}
		if len(n.Scopes) == 0 {
			n.Scopes = workspace.DevScopes()
		}
		if c.Expires > 0 {
			at := time.Now().Add(c.Expires)
			n.ExpiresAt = &at
		}
		made, err := a.CreateKey(ctx, n)
		if errors.Is(err, access.ErrNoWorkspace) {
			return fmt.Errorf("%w: make it with `throughline keys workspace %s`", err, c.Workspace)
		}
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(e.stderr, "key %s of workspace %s; it is shown this once:\n", made.Key.ID, c.Workspace) // the key itself is what matters
		_, err = fmt.Fprintln(e.stdout, made.Secret)
		return err
	})
}

// keysList lists keys.
type keysList struct {
	Kafka     connect.Kafka `embed:""`
	Workspace string        `arg:"" help:"The workspace."`
}

// Validate says what is wrong with the flags.
func (c keysList) Validate() error { return c.Kafka.Required() }

// Run implements the command.
func (c keysList) Run(ctx context.Context, e env) error {
	return withAccess(ctx, e, c.Kafka, func(a *access.Access) error {
		if _, there, err := a.Workspace(c.Workspace); err != nil || !there {
			return errors.Join(err, fmt.Errorf("workspace %s: %w", c.Workspace, access.ErrNoWorkspace))
		}
		table := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(table, "ID\tNAME\tSCOPES\tCREATED\tEXPIRES") // Flush says what went wrong
		for after, more := "", true; more; {
			page, err := a.ListKeys(c.Workspace, after, listPage)
			if err != nil {
				return err
			}
			for _, k := range page {
				after = k.ID
				_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, scopes(k), k.CreatedAt.Format(time.RFC3339), expiry(k))
			}
			more = len(page) == listPage
		}
		return table.Flush()
	})
}

// keysDelete ends a key.
type keysDelete struct {
	Kafka     connect.Kafka `embed:""`
	Workspace string        `arg:"" help:"The workspace."`
	Key       string        `arg:"" help:"The key's id, as listed."`
}

// Validate says what is wrong with the flags.
func (c keysDelete) Validate() error { return c.Kafka.Required() }

// Run implements the command.
func (c keysDelete) Run(ctx context.Context, e env) error {
	return withAccess(ctx, e, c.Kafka, func(a *access.Access) error {
		if _, err := a.DeleteKey(ctx, c.Workspace, c.Key); err != nil {
			return err
		}
		_, err := fmt.Fprintf(e.stdout, "key %s is no good any more\n", c.Key)
		return err
	})
}

// withAccess opens a view of workspaces and keys in a folder of its own, which is gone afterwards, and calls do once it
// is up to date.
func withAccess(ctx context.Context, e env, kafka connect.Kafka, do func(*access.Access) error) (err error) {
	cfg, err := kafka.Config("throughline-keys")
	if err != nil {
		return err
	}
	if err := reach(ctx, e, cfg); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "throughline-keys-")
	if err != nil {
		return fmt.Errorf("make temporary folder: %w", err)
	}
	var opened assembly.Closer
	opened.Add(func() error { return os.RemoveAll(dir) })
	defer func() { err = errors.Join(err, opened.Close()) }()

	producer, err := stream.NewProducer(cfg, stream.ProducerConfig{}, stream.Deps{Log: e.log})
	if err != nil {
		return err
	}
	opened.Add(func() error { return producer.Close(context.WithoutCancel(ctx)) })
	a, err := access.Open(ctx, access.Config{Dir: dir}, access.Deps{Kafka: cfg, Producer: producer, Log: e.log})
	if err != nil {
		return err
	}
	opened.Add(a.Close)
	return whileRunning(ctx, a.Run, func() error {
		if err := a.Barrier(ctx); err != nil {
			return err
		}
		return do(a)
	})
}

// whileRunning calls do while background runs, and returns when both have ended.
func whileRunning(ctx context.Context, background func(context.Context) error, do func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- background(ctx) }()
	err := do()
	cancel()
	return errors.Join(err, <-ended)
}

func scopes(k *workspace.APIKey) string {
	var names []string
	for _, s := range k.Scopes {
		names = append(names, string(s))
	}
	return strings.Join(names, ",")
}

func expiry(k *workspace.APIKey) string {
	if k.ExpiresAt == nil {
		return "never"
	}
	return k.ExpiresAt.Format(time.RFC3339)
}
