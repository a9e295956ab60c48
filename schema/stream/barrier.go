package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/topic"
)

// Barrier returns once the view has everything that was in the partitions when it was called; without partitions,
// in all of them. It waits BarrierTimeout at most, or as long as ctx if that is shorter, and then returns
// ErrBarrierTimeout.
func (v *View) Barrier(ctx context.Context, tps ...TopicPartition) error {
	if len(tps) == 0 {
		tps = v.tps
	}
	return v.bounded(ctx, func(ctx context.Context) error { return v.catchUp(ctx, tps) })
}

// BarrierKey is Barrier for the partition of a key.
func (v *View) BarrierKey(ctx context.Context, t topic.Name, key []byte) error {
	return v.Barrier(ctx, TopicPartition{v.cfg.Topic(t), PartitionOf(key, v.Partitions(t))})
}

// WaitFor returns once the view has the record at o, which a Producer returned. It is bounded like Barrier.
func (v *View) WaitFor(ctx context.Context, o Offset) error {
	return v.bounded(ctx, func(ctx context.Context) error {
		return v.reach(ctx, map[TopicPartition]int64{o.TopicPartition: o.Offset + 1})
	})
}

func (v *View) bounded(ctx context.Context, wait func(context.Context) error) error {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, BarrierTimeout)
	defer cancel()
	err := wait(ctx)
	v.metrics.barriers.Observe(time.Since(start).Seconds())
	if errors.Is(err, context.DeadlineExceeded) {
		v.metrics.timeouts.Inc()
		return fmt.Errorf("view %s: %w", v.vc.Name, ErrBarrierTimeout)
	}
	return err
}

// catchUp asks where the partitions end, and waits until the view is there.
func (v *View) catchUp(ctx context.Context, tps []TopicPartition) error {
	ends, err := v.ends.after(ctx)
	if err != nil {
		return err
	}
	targets := make(map[TopicPartition]int64, len(tps))
	for _, tp := range tps {
		end, ok := ends[tp]
		if !ok {
			return fmt.Errorf("view %s does not read %s", v.vc.Name, tp)
		}
		targets[tp] = end
	}
	return v.reach(ctx, targets)
}

// reach waits until every position is at its target or beyond.
func (v *View) reach(ctx context.Context, targets map[TopicPartition]int64) error {
	for {
		v.mu.Lock()
		there := true
		for tp, at := range targets {
			there = there && v.positions[tp] >= at
		}
		moved, failed := v.moved, v.failed
		v.mu.Unlock()
		switch {
		case there:
			return nil
		case failed != nil:
			return failed
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// endRounds asks for high watermarks, once for all who came while the previous answer was on its way. Nobody gets an
// answer to a question that was asked before they came: it could be older than what they must see.
type endRounds struct {
	client *kgo.Client
	tps    []TopicPartition
	asked  prometheus.Counter

	mu      sync.Mutex
	next    *endRound
	running bool
}

type endRound struct {
	done chan struct{}
	ends map[TopicPartition]int64
	err  error
}

func newEndRounds(client *kgo.Client, tps []TopicPartition, asked prometheus.Counter) *endRounds {
	return &endRounds{client: client, tps: tps, asked: asked}
}

// after gives high watermarks that were read after the call.
func (e *endRounds) after(ctx context.Context) (map[TopicPartition]int64, error) {
	e.mu.Lock()
	if e.next == nil {
		e.next = &endRound{done: make(chan struct{})}
	}
	round := e.next
	if !e.running {
		e.running = true
		// A round serves many callers, so it does not end with the one that began it.
		go e.run(context.WithoutCancel(ctx))
	}
	e.mu.Unlock()
	select {
	case <-round.done:
		return round.ends, round.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *endRounds) run(ctx context.Context) {
	for {
		e.mu.Lock()
		round := e.next
		e.next = nil
		if round == nil {
			e.running = false
			e.mu.Unlock()
			return
		}
		e.mu.Unlock()
		e.ask(ctx, round)
	}
}

func (e *endRounds) ask(ctx context.Context, round *endRound) {
	// Callers wait for BarrierTimeout; an answer that takes much longer helps nobody, and blocks the next round.
	ctx, cancel := context.WithTimeout(ctx, 2*BarrierTimeout)
	defer cancel()
	e.asked.Inc()
	round.ends, round.err = listOffsets(ctx, e.client, atLogEnd, e.tps)
	close(round.done)
}
