package main

import (
	"context"

	"github.com/throughline/throughline/deploy/listen"
)

// listenCommand receives webhooks.
type listenCommand struct {
	listen.Config `embed:""`
}

// Help is shown below the summary.
func (listenCommand) Help() string {
	return `Registers an endpoint of the key's workspace that lives as long as the command, and prints each delivery once its
signature is verified: time, type, what it is about, webhook-id, how often that has come. A delivery whose signature is
wrong or older than five minutes is answered 401 and not printed.

Throughline has to reach the address: throughline dev reaches this machine; elsewhere name a tunnel with --public-url, or
have the operator allow the address (THROUGHLINE_WEBHOOK_ALLOW).

--fail, --fail-rate, --delay and --drop make it misbehave, to see retries: throughline listen --fail-rate 0.3 --delay 2s

The endpoint is removed at the end, also with Ctrl-C; where it could not be, the command says so and exits with 1. After a
kill -9 it stays: DELETE /v1/webhook-endpoints/listen-… removes it.

Exit codes: 0 ended by Ctrl-C or --count, 1 failed, 2 not asked properly.`
}

// Run implements the command.
func (c *listenCommand) Run(ctx context.Context, e env) error {
	return listen.Run(ctx, c.Config, listen.Deps{Stdout: e.stdout, Stderr: e.stderr, Log: e.log})
}
