package main

import (
	"context"

	"github.com/throughline/throughline/deploy/proxy"
	"github.com/throughline/throughline/schema/run"
)

// proxyCommand puts the services behind one address.
type proxyCommand struct {
	Listen string       `name:"listen" env:"THROUGHLINE_LISTEN" default:"127.0.0.1:8080" help:"Where to serve the whole API."`
	Admin  string       `name:"admin-listen" env:"THROUGHLINE_ADMIN_LISTEN" default:"127.0.0.1:9080" help:"Where to serve /livez, /readyz and /metrics."`
	Proxy  proxy.Config `embed:""`
}

// Help is shown below the summary.
func (proxyCommand) Help() string {
	return `Each request goes to the service that owns its path. There is no TLS: put what ends it in front. Any proxy that
routes by path can take this one's place.`
}

// Run implements the command.
func (c proxyCommand) Run(ctx context.Context, e env) error {
	ready := run.NewReadiness()
	handler, err := proxy.New(c.Proxy, proxy.Deps{Log: e.log, Ready: ready})
	if err != nil {
		return err
	}
	return run.Group{Log: e.log}.Run(ctx,
		run.Server{Name: "admin", Addr: c.Admin, Handler: run.Admin(run.NewRegistry(), ready), Log: e.log}.Service(),
		run.Server{Name: "http", Addr: c.Listen, Handler: handler, Log: e.log}.Service(),
	)
}
