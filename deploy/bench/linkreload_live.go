package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// reloadBench measures starts of a linker, one after the other.
type reloadBench struct {
	*bench

	cfg    LinkReloadConfig
	report *LinkReloadReport
	lags   lags
	// dir is the folder of the linker's stores.
	dir string
	// submitted counts submissions, so that none has the id of another.
	submitted int
}

// starts measures a lost store, and then what there is to be loaded where the store is there: after a stop, after kill -9
// under load, and after a kill in the middle of a load.
func (b *reloadBench) starts(ctx context.Context) (err error) {
	r := b.report
	if r.Lost, err = b.startLink(ctx, b.dir, b.cfg.Profile, b.linkAndStop); err != nil {
		return err
	}
	if r.Kept, err = b.startLink(ctx, b.dir, "", b.linkAndKill); err != nil {
		return err
	}
	if r.Killed, err = b.startLink(ctx, b.dir, "", (*child).stop); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(b.dir, "link")); err != nil {
		return fmt.Errorf("remove store: %w", err)
	}
	if err := b.killHalfway(ctx); err != nil {
		return err
	}
	r.Halfway, err = b.startLink(ctx, b.dir, "", (*child).stop)
	return err
}

// linkAndStop has a linker commit some transactions before it is stopped, as one does that was up for a while.
func (b *reloadBench) linkAndStop(c *child) error {
	ctx := context.Background()
	return errors.Join(b.whileSubmitting(ctx, func(context.Context) error { return nil }), b.lags.idle(ctx, linkReads()), c.stop())
}

// linkAndKill kills a linker that is linking.
func (b *reloadBench) linkAndKill(c *child) error {
	return b.whileSubmitting(context.Background(), func(ctx context.Context) error {
		select {
		case <-time.After(reloadLoad):
			return c.kill()
		case <-ctx.Done():
			return errors.Join(ctx.Err(), c.stop())
		}
	})
}

const (
	// reloadRate is how many submissions a second are written, and reloadLoad for how long until the linker is killed.
	reloadRate = 2000
	reloadLoad = 3 * time.Second
)

// whileSubmitting appends submissions while work runs, those of a second at the least.
func (b *reloadBench) whileSubmitting(ctx context.Context, work func(context.Context) error) (err error) {
	producer, err := patient(b.kafka, b.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, producer.Close(ctx)) }()
	group, groupCtx := errgroup.WithContext(ctx)
	done := make(chan struct{})
	group.Go(func() error {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		began := time.Now()
		for sent := 0; ; {
			due := int(time.Since(began).Seconds() * reloadRate)
			if err := b.submit(groupCtx, producer, due-sent); err != nil {
				return err
			}
			sent = due
			if sent >= reloadRate {
				select {
				case <-done:
					return nil
				default:
				}
			}
			select {
			case <-tick.C:
			case <-groupCtx.Done():
				return groupCtx.Err()
			}
		}
	})
	group.Go(func() error {
		defer close(done)
		return work(groupCtx)
	})
	return group.Wait()
}

// submit appends submissions about customers in all partitions.
func (b *reloadBench) submit(ctx context.Context, producer *stream.Producer, n int) error {
	records := make([]*stream.Record, 0, n)
	for range n {
		s := event.Submission{
			ID: manyID(-1 - b.submitted), Workspace: benchWorkspace, Type: object.Customer, ObjectID: manyID(b.submitted / 20),
			Name: "Help center viewed", ReceivedAt: event.TimeOf(time.Now()), Resolved: true,
		}
		b.submitted++
		value, err := s.Encode()
		if err != nil {
			return err
		}
		key := topic.Key(s.Workspace, string(s.Type), s.ObjectID)
		records = append(records, &stream.Record{Topic: b.kafka.Topic(topic.Submissions), Key: key, Value: value})
	}
	if len(records) == 0 {
		return nil
	}
	_, err := producer.Produce(ctx, records...)
	return err
}

// killHalfway kills a linker that has loaded half of what is lost.
func (b *reloadBench) killHalfway(ctx context.Context) error {
	b.say("killing a linker that loads")
	c, err := b.launchLink(ctx, b.dir)
	if err != nil {
		return err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(loadLimit)
	for {
		state, err := c.state(ctx)
		if err == nil && state.Ready {
			err = fmt.Errorf("the linker had loaded all before it was seen to have loaded half: more events than %d are needed", b.cfg.Events)
		}
		if err != nil {
			return errors.Join(err, c.kill())
		}
		if state.Records >= int64(b.cfg.Events/2) {
			return c.kill()
		}
		select {
		case <-tick.C:
		case <-limit:
			return errors.Join(fmt.Errorf("half was not loaded after %s", loadLimit), c.kill())
		case <-ctx.Done():
			return errors.Join(ctx.Err(), c.kill())
		}
	}
}

// launchLink starts the process of a linker.
func (b *bench) launchLink(ctx context.Context, dir string) (*child, error) {
	return start(ctx, spec{Role: roleLink, Brokers: b.kafka.Brokers, Prefix: b.kafka.Prefix, Dir: dir, Log: "info"})
}
