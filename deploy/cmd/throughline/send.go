package main

import (
	"context"
	"os"

	"github.com/throughline/throughline/deploy/send"
)

// sendCommand streams files.
type sendCommand struct {
	send.Config `embed:""`
}

// Help is shown below the summary.
func (sendCommand) Help() string {
	return `A line is one event, as POST /v1/events takes it, or with --objects one object, as POST /v1/objects/batch does.
Files may be of any size.

What is not answered is sent again, as long as --give-up-after says. How far a file was sent is noted in
FILE.throughline-progress, so that after Ctrl-C, a kill or an error the same command goes on where it stopped; the note
stays when all was sent, and a file that was sent is not sent twice unless --restart says so.

An event without an id gets one, made of the file's name, the line's number and its text. An id is known for 24 hours:
within them nothing is doubled by what is sent again. Events of standard input get ids of this run alone.

The events of one object arrive in the order of the file; those of several may overtake each other, unless --parallel is
1. Objects are sent strictly in order.

Refused lines are in FILE.refused.ndjson: line, status, title, detail, errors, item. To send them once they are mended:
jq -c .item FILE.refused.ndjson > mended.ndjson

Exit codes: 0 all accepted, 3 some refused, 1 could not finish, 2 not asked properly.`
}

// Run implements the command.
func (c *sendCommand) Run(ctx context.Context, e env) error {
	totals, err := send.Run(ctx, c.Config, send.Deps{Stdin: os.Stdin, Stdout: e.stdout, Stderr: e.stderr})
	if err == nil && totals.Refused > 0 {
		e.exit(exitRefused)
	}
	return err
}
