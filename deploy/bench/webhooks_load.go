package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// site is a workspace with one customer and one endpoint, so that an event of it is one delivery.
type site struct {
	workspace string
	customer  object.Ref
	keyID     string
	key       *seal.DataKey
}

// newSite makes a workspace's customer and its data key.
func newSite(ctx context.Context, producer *stream.Producer, maker registry.Records, workspace string) (*site, error) {
	s := &site{workspace: workspace, customer: object.Ref{Type: object.Customer, ID: "c1"}}
	var record *stream.Record
	var err error
	if s.keyID, s.key, record, err = maker.NewKey(workspace, s.customer); err != nil {
		return nil, err
	}
	_, err = producer.Produce(ctx, record)
	return s, err
}

// event is the nth event, sent at a time, as link writes it.
func (s *site) event(maker registry.Records, n int, at time.Time) (*stream.Record, error) {
	e, personal := linkedEvent(n, s.customer)
	e.ID, e.Workspace, e.KeyID = fmt.Sprintf("%d-%d", at.UnixNano(), n), s.workspace, s.keyID
	plain, err := json.Marshal(personal)
	if err != nil {
		return nil, fmt.Errorf("encode sealed part: %w", err)
	}
	e.Sealed = s.key.Seal(plain, e.AdditionalData())
	value, err := e.Encode()
	if err != nil {
		return nil, err
	}
	envelope := topic.Envelope{ID: e.ID, Type: topic.TypeEvent, Workspace: s.workspace, Time: e.ReceivedAt.Time}
	return &stream.Record{
		Topic: maker.Kafka.Topic(topic.Events), Key: topic.Key(s.workspace, string(s.customer.Type), s.customer.ID), Value: value,
		Headers: stream.Headers(envelope.Headers()),
	}, nil
}

// paceEvery is how often a paced load sends, and producesAtOnce how many of its sends may be under way.
const (
	paceEvery      = 10 * time.Millisecond
	producesAtOnce = 64
)

// pace sends events of sites in turn, so many a second for a time, whether or not they are delivered. It returns how many.
func (w *webhooksBench) pace(ctx context.Context, sites []*site, rate float64, d time.Duration) (int, error) {
	tick := time.NewTicker(paceEvery)
	defer tick.Stop()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(producesAtOnce)
	sent := 0
	for start := time.Now(); time.Since(start) < d; {
		select {
		case <-tick.C:
		case <-groupCtx.Done():
			return sent, group.Wait()
		}
		now := time.Now()
		due := int(rate * now.Sub(start).Seconds())
		if due <= sent {
			continue
		}
		records, err := w.events(sites, sent, due, now)
		if err != nil {
			return sent, err
		}
		sent = due
		group.Go(func() error {
			_, err := w.producer.Produce(groupCtx, records...)
			return err
		})
	}
	return sent, group.Wait()
}

// events are those from one number to another, each of the next site.
func (w *webhooksBench) events(sites []*site, from, to int, at time.Time) ([]*stream.Record, error) {
	records := make([]*stream.Record, 0, to-from)
	for i := from; i < to; i++ {
		r, err := sites[i%len(sites)].event(w.maker, i, at)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// windowEach is how many deliveries a site may have under way in the measurement of the most: fewer than a lane holds, so
// that none is put off.
const windowEach = 24

// most sends as fast as deliveries arrive, with a bound on those under way, and returns how many it sent and how many
// arrived a second, from the moment on at which as many had arrived as there are endpoints: before, the pipe is filling.
func (w *webhooksBench) most(ctx context.Context, d time.Duration) (sent int, rate float64, err error) {
	if err := w.forget(ctx); err != nil {
		return 0, 0, err
	}
	var began time.Time
	got, first := 0, 0
	for end := time.Now().Add(arriveWithin); time.Now().Before(end); {
		if err := w.receiver.ask(ctx, "GET", "/count", &got); err != nil {
			return 0, 0, err
		}
		switch {
		case began.IsZero() && got >= len(w.healthy):
			began, first = time.Now(), got
		case !began.IsZero() && time.Since(began) >= d:
			rate = float64(got-first) / time.Since(began).Seconds()
			return sent, rate, w.arrived(ctx, sent)
		}
		room := len(w.healthy)*windowEach - (sent - got)
		if room < len(w.healthy) {
			if err := pause(ctx, time.Millisecond); err != nil {
				return 0, 0, err
			}
			continue
		}
		records, err := w.events(w.healthy, sent, sent+room, time.Now())
		if err != nil {
			return 0, 0, err
		}
		if _, err := w.producer.Produce(ctx, records...); err != nil {
			return 0, 0, err
		}
		sent += room
	}
	return 0, 0, fmt.Errorf("%d of %d deliveries came within %s", got, sent, arriveWithin)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
