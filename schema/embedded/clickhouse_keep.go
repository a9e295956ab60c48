package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// A server that dies now and then is started again; one that dies over and over
// has something wrong with it that its owner must hear of.
const (
	// deathsMost deaths within deathsWithin are borne, one more is not. Deaths
	// without an answered query in between count however far apart they are.
	deathsMost   = 5
	deathsWithin = time.Minute
	// restartPause is what the first restart waits, and every further one of
	// the same minute twice as long as the one before: 3.1 s for five.
	restartPause = 100 * time.Millisecond
)

// Done closes when the server has ended for good: after Close, or when it died
// more than five times within a minute, or did not come back. A death before
// that is a warning in the log and a pause for the clients.
func (s *ClickHouse) Done() <-chan struct{} { return s.done }

// Err says how the server ended for good; it is nil before that.
func (s *ClickHouse) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Pid is the process to look at when something is wrong. It changes when the
// server died and was started again.
func (s *ClickHouse) Pid() int { return s.child.Load().cmd.Process.Pid }

// Close ends the server and waits until it is gone. It may be called again.
func (s *ClickHouse) Close() error {
	s.cancel()
	<-s.done
	return s.closeErr
}

// keep starts the server again whenever it dies. It alone replaces the child,
// and it ends the last one when the context ends. The data folder stays claimed
// all the while, so that no other process gets in between.
func (s *ClickHouse) keep(ctx context.Context) {
	defer close(s.done)
	var deaths []time.Time
	served := true
	for s.err == nil {
		child := s.child.Load()
		select {
		case <-ctx.Done():
		case <-child.done:
		}
		if ctx.Err() != nil {
			s.closeErr = child.stop(termBound)
			s.err = child.ending()
			break
		}
		now := time.Now()
		if served {
			deaths = slices.DeleteFunc(deaths, func(at time.Time) bool { return now.Sub(at) > deathsWithin })
		}
		deaths = append(deaths, now)
		if len(deaths) > deathsMost {
			s.err = fmt.Errorf("clickhouse died %d times within %s: %w",
				len(deaths), now.Sub(deaths[0]).Round(time.Second), child.err)
			break
		}
		pause := restartPause << (len(deaths) - 1)
		s.logger.WarnContext(ctx, "clickhouse died, starting it again",
			"exit", child.exit, "pid", child.cmd.Process.Pid, "deaths", len(deaths), "pause", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			served, s.err = s.restart(ctx, child)
		}
	}
	s.closeErr = errors.Join(s.closeErr, s.owner.Close())
}

// restart puts a new child in the place of a dead one, waits until it serves
// and tells whether it does. A child that dies again, or finds its port taken, is left dead for
// keep to count; an error means that trying again is of no use.
func (s *ClickHouse) restart(ctx context.Context, dead *child) (served bool, err error) {
	// A start truncates the log. What the dead one wrote is kept beside it; a
	// log that cannot be kept is no reason not to serve.
	_ = os.Rename(dead.spec.log, dead.spec.log+".previous")
	next, err := startChild(ctx, dead.spec)
	if err != nil {
		return false, fmt.Errorf("start ClickHouse again: %w", err)
	}
	s.child.Store(next)
	err = s.awaitReady(ctx, next)
	switch {
	case err == nil:
		s.logger.InfoContext(ctx, "clickhouse serves again", "addr", s.Addr, "pid", s.Pid())
		return true, nil
	case ctx.Err() != nil || next.ending() != nil:
		return false, nil //nolint:nilerr // keep looks at both, and says how the child ended
	case errors.Is(err, errPortTaken):
		return false, next.kill()
	default:
		return false, errors.Join(fmt.Errorf("start ClickHouse again: %w", err), next.kill())
	}
}
