package main

import (
	"context"
	"os"

	"github.com/throughline/throughline/deploy/replay"
)

// replayCommand posts a trace as conversations.
type replayCommand struct {
	replay.Config `embed:""`
}

// Help is shown below the summary.
func (replayCommand) Help() string {
	return `A trace of a call centre has one call a line, tab-separated: vru+line, call_id, customer_id, priority, type, date
(YYMMDD), vru_entry, vru_exit, vru_time, q_start, q_exit, q_time, outcome, ser_start, ser_exit, ser_time, server. Files may
be gzipped.

A call becomes a conversation, <date>-<vru+line>-<call_id>: opened when it came in, by the CUSTOMER customer_id unless that
is 0, for the team type, by phone; queued at q_start unless that is 0:00:00; responded at ser_start by the USER server,
where there was one; closed at ser_exit, or q_exit, or vru_exit. A step that is earlier than the one before it takes that
one's time.

Steps of a conversation are sent in their order, each once the one before it is decided. Each has a command id, so that
what is sent again, by the same command once more or because an answer was lost, changes nothing for 24 hours. What is
refused for a while is sent again, as long as --give-up-after says.

With --now ids have the date that the call is moved to. Without --speed all of that day is posted; reports show a step once
its time has come.

Exit codes: 0 all accepted, 3 some refused, 1 could not finish, 2 not asked properly.`
}

// Run implements the command.
func (c *replayCommand) Run(ctx context.Context, e env) error {
	totals, err := replay.Run(ctx, c.Config, replay.Deps{Stdin: os.Stdin, Progress: e.stderr})
	if err == nil && totals.Refused > 0 {
		e.exit(exitRefused)
	}
	return err
}
