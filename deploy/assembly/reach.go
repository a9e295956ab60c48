package assembly

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/tlsdial"
)

// reachRetry is how often a start looks again for a server that is not there yet.
const reachRetry = 500 * time.Millisecond

// hangUpPatience is how long a server may take connections and hang up before that counts as its answer. A proxy in
// front of a container does so while the server in it starts, which takes some seconds.
const hangUpPatience = 15 * time.Second

// Reach waits until Kafka answers and lets this process in: services start in any order. What waiting does not heal,
// such as a wrong password, is an error at once.
func Reach(ctx context.Context, kafka stream.Config, log *slog.Logger) error {
	return await(ctx, log, "kafka", problem.KindOf, func() error {
		_, err := stream.Ask(ctx, kafka, log)
		return err
	})
}

// openStore opens ClickHouse, waiting for a server that is not up yet.
func openStore(ctx context.Context, cfg store.Config, log *slog.Logger) (conn store.Conn, err error) {
	err = await(ctx, log, "clickhouse", store.Classify, func() (err error) {
		conn, err = store.Open(ctx, cfg, store.ReadWrite)
		return err
	})
	return conn, err
}

// await calls attempt until it succeeds, fails in a way that waiting does not heal, or the context ends.
func await(ctx context.Context, log *slog.Logger, server string, classify func(error) problem.Kind, attempt func() error) error {
	tick := time.NewTicker(reachRetry)
	defer tick.Stop()
	start := time.Now()
	for waiting := false; ; waiting = true {
		err := attempt()
		if err == nil {
			return nil
		}
		tired := errors.Is(err, tlsdial.ErrHungUp) && time.Since(start) > hangUpPatience
		if ctx.Err() != nil || classify(err) != problem.Retry || tired {
			return fmt.Errorf("reach %s: %w", server, err)
		}
		if !waiting {
			log.WarnContext(ctx, "waiting for a server", slog.String("server", server), slog.String("error", err.Error()))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("reach %s: %w", server, errors.Join(context.Cause(ctx), err))
		}
	}
}
