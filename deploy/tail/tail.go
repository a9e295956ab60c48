package tail

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/throughline/throughline/deploy/client"
)

// patience is how long one look is tried again before it is said that the server does not answer.
const patience = 10 * time.Second

// Run prints the events that the configuration chooses, until the context ends, or once if it is not to follow.
func Run(ctx context.Context, cfg Config, deps Deps) error {
	return runWith(ctx, cfg, deps, standardPace())
}

func runWith(ctx context.Context, cfg Config, deps Deps, p pace) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	key, err := cfg.secret()
	if err != nil {
		return err
	}
	api, err := client.New(client.Config{URL: cfg.URL, Key: key, Patience: patience})
	if err != nil {
		return err
	}
	defer api.Close()
	f := &follower{api: api, cfg: cfg, pace: p, out: deps.Stdout, query: cfg.query(), seen: make(map[identity]time.Time)}
	if err := f.begin(ctx); err != nil || !cfg.Follow {
		return ended(ctx, err)
	}
	return ended(ctx, f.follow(ctx, deps))
}

// follow looks for news until the context ends or the server refuses for good.
func (f *follower) follow(ctx context.Context, deps Deps) error {
	away := false
	next := time.Now().Add(f.pace.sweep)
	for {
		if err := client.Wait(ctx, f.pace.poll); err != nil {
			return err
		}
		began := time.Now()
		sweep := !began.Before(next)
		err := f.news(ctx, sweep)
		if err != nil && !passing(err) {
			return err
		}
		if (err != nil) != away && ctx.Err() == nil {
			away = err != nil
			said := "events can be read again"
			if away {
				said = fmt.Sprintf("%v; trying on", err)
			}
			_, _ = fmt.Fprintln(deps.Stderr, "throughline:", said) // there is nowhere else to say it
		}
		if sweep && err == nil {
			now := time.Now()
			next = now.Add(f.pace.untilSweep(now.Sub(began)))
		}
	}
}

// passing says whether a look may succeed a while later: the server is away, or says so itself.
func passing(err error) bool {
	if status, ok := errors.AsType[*client.StatusError](err); ok {
		return status.Temporary()
	}
	return errors.Is(err, client.ErrUnreachable)
}

// ended is no error where the person has ended it.
func ended(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}
