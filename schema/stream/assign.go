package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// partState is where a partition stands between its assignment and its first record.
type partState int

const (
	// partWaiting: assigned; its stable committed offset is not known yet.
	partWaiting partState = iota
	// partReady: the offset is known, so the former owner's transactions have ended; its state is to be loaded.
	partReady
	// partLoaded: its records may be processed.
	partLoaded
)

// part is one assignment of a partition. A new assignment is a new part, so that a load which was overtaken by a
// rebalance is recognised.
type part struct {
	state partState
	// next is the committed input offset.
	next     int64
	answered *answered
}

// onAssigned runs before the offsets of the partitions are fetched. Whatever we knew of them is void.
func (p *Processor) onAssigned(_ context.Context, client *kgo.Client, assigned map[string][]int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.joined = true
	for _, n := range assigned[p.input] {
		p.parts[n] = &part{state: partWaiting}
	}
	// Paused before the first fetch: no record is handed out until the loop has loaded the state.
	if len(assigned[p.input]) > 0 {
		client.PauseFetchPartitions(map[string][]int32{p.input: assigned[p.input]})
	}
}

// onOffsets runs when the stable committed offsets are there.
func (p *Processor) onOffsets(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, o := range offsets[p.input] {
		at := o.EpochOffset().Offset
		if at < 0 {
			p.missing = &OffsetLostError{
				Group: p.group, TopicPartition: TopicPartition{p.input, n}, Offset: -1, LogStart: -1, LogEnd: -1,
			}
			continue
		}
		// A rebalance may have cut the first fetch off; then this is the second one, and loading begins again.
		p.parts[n] = &part{state: partReady, next: at}
	}
	p.wakeLocked()
	return offsets, nil
}

// onRevoked is a hint only: the session calls it once until the next End.
func (p *Processor) onRevoked(_ context.Context, _ *kgo.Client, revoked map[string][]int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// A cooperative group also calls when it takes nothing away.
	if len(revoked[p.input]) == 0 {
		return
	}
	p.revoked = true
	for _, n := range revoked[p.input] {
		delete(p.parts, n)
		p.unload = append(p.unload, n)
	}
	p.wakeLocked()
}

func (p *Processor) wakeLocked() {
	if p.wake != nil {
		p.wake()
	}
}

// reset forgets everything about a session that is closed.
func (p *Processor) reset() {
	p.mu.Lock()
	for n := range p.parts {
		p.unload = append(p.unload, n)
	}
	clear(p.parts)
	p.revoked, p.open, p.joined, p.missing, p.wake = false, false, false, nil, nil
	p.mu.Unlock()
	p.handler.Discard()
	p.unloadRevoked()
	p.metrics.partitions.Set(0)
}

func (p *Processor) unloadRevoked() {
	p.mu.Lock()
	gone := p.unload
	p.unload = nil
	p.mu.Unlock()
	for _, n := range gone {
		p.handler.Unload(n)
	}
}

// reloadAll has every loaded partition loaded again before its next record: after an abort nothing that is in memory
// is taken for granted. Reloading is cheap, because a handler reads only what its checkpoint lacks.
func (p *Processor) reloadAll(client *kgo.Client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var again []int32
	for n, part := range p.parts {
		if part.state == partLoaded {
			part.state = partReady
			again = append(again, n)
		}
	}
	if len(again) > 0 {
		client.PauseFetchPartitions(map[string][]int32{p.input: again})
	}
}

// loadReady loads the partitions that wait for it, in the loop and not in a callback, because it takes as long as
// the former owner's last transaction takes to end.
func (p *Processor) loadReady(ctx context.Context, client *kgo.Client) error {
	p.unloadRevoked()
	p.mu.Lock()
	ready := map[int32]*part{}
	for n, part := range p.parts {
		if part.state == partReady {
			ready[n] = part
		}
	}
	p.mu.Unlock()
	for n, part := range ready {
		if err := p.load(ctx, client, n, part); err != nil {
			return fmt.Errorf("load partition %d of %s: %w", n, p.input, err)
		}
	}
	return nil
}

func (p *Processor) load(ctx context.Context, client *kgo.Client, n int32, loading *part) error {
	start := time.Now()
	out, err := openOutputs(ctx, client, p, n, loading.next)
	if err != nil {
		return err
	}
	for name, meta := range out.metas {
		p.counts[name] = meta.partitions
	}
	if err := p.handler.Load(ctx, n, out); err != nil {
		return err
	}
	p.metrics.loads.Observe(time.Since(start).Seconds())
	p.mu.Lock()
	defer p.mu.Unlock()
	// Assigned anew, or revoked, while it was loading: what was read may be too little.
	if p.parts[n] != loading {
		return nil
	}
	loading.state, loading.answered = partLoaded, out.answered
	p.metrics.partitions.Set(float64(p.countLoadedLocked()))
	client.ResumeFetchPartitions(map[string][]int32{p.input: {n}})
	p.deps.Log.DebugContext(ctx, "partition loaded", "role", p.pc.Role, "partition", n, "next", loading.next,
		"answered_beyond", out.answered.count, "duration", time.Since(start))
	return nil
}

func (p *Processor) countLoadedLocked() int {
	loaded := 0
	for _, part := range p.parts {
		if part.state == partLoaded {
			loaded++
		}
	}
	return loaded
}
