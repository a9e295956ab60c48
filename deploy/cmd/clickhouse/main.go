// Command clickhouse is the server of the image that is built where the official one cannot be pulled: ClickHouse's
// engine in the foreground, on the ports, with the folders and the configuration of that image. SIGTERM and SIGINT end
// it. It exits with 1 where the engine did not start, or ended by itself.
package main

import (
	"context"
	"os"

	"github.com/throughline/throughline/schema/embedded"
	"github.com/throughline/throughline/schema/run"
)

func main() {
	embedded.MaybeRunEngine()
	os.Exit(run.Main(os.Stderr, func(ctx context.Context) error {
		return embedded.ServeClickHouse(ctx, embedded.ServeOptions{
			Library: "/usr/lib/libchdb.so",
			Config:  "/etc/clickhouse-server/config.xml",
			DataDir: "/var/lib/clickhouse",
		})
	}))
}
