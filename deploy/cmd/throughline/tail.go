package main

import (
	"context"

	"github.com/throughline/throughline/deploy/tail"
)

// tailCommand prints events.
type tailCommand struct {
	tail.Config `embed:""`
}

// Help is shown below the summary.
func (tailCommand) Help() string {
	return `Prints the last events of the key's workspace, and each further one once it is linked and stored, by when it
was received: time, object, name, how many other objects it is linked to, id. Filters that are repeated mean any of
their values.

Every event is printed once, in the order of receipt, but for what is stored later than others: that is printed some
seconds after it was stored, or twice as long as the server takes to list the events of --late. An event that is stored
more than --late after it was received is not printed. It asks the event log twice a second; a workspace with thousands
of events a second is better read from the log itself.`
}

// Run implements the command.
func (c *tailCommand) Run(ctx context.Context, e env) error {
	return tail.Run(ctx, c.Config, tail.Deps{Stdout: e.stdout, Stderr: e.stderr})
}
