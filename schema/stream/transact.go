package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// process asks the handler for the outputs of what was polled, partition by partition.
func (p *Processor) process(ctx context.Context, polled map[int32][]*Record) ([]*Record, error) {
	if h, ok := p.handler.(Preparer); ok {
		if err := h.Prepare(ctx); err != nil {
			return nil, fmt.Errorf("prepare: %w", err)
		}
	}
	partitions := slices.Sorted(maps.Keys(polled))
	asked, made, inputs := make([][]*Record, len(partitions)), make([][]*Record, len(partitions)), 0
	for i, n := range partitions {
		in, err := p.unanswered(n, polled[n])
		if err != nil {
			return nil, err
		}
		asked[i], inputs = in, inputs+len(in)
	}
	// Not one with a context: what a handler leaves to Finish would be cut off when the last partition is done.
	var group errgroup.Group
	group.SetLimit(p.pc.SideBySide)
	for i, n := range partitions {
		group.Go(func() (err error) {
			made[i], err = p.processPartition(ctx, n, asked[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	p.metrics.batch.Observe(float64(inputs))
	return slices.Concat(made...), nil
}

// processPartition asks the handler for the outputs of one partition.
func (p *Processor) processPartition(ctx context.Context, n int32, in []*Record) ([]*Record, error) {
	if len(in) == 0 {
		return nil, nil
	}
	out, err := p.handler.Process(ctx, n, in)
	if err != nil {
		return nil, fmt.Errorf("process partition %d: %w", n, err)
	}
	p.inherit(ctx, in, out)
	for i, r := range out {
		if out[i], err = p.checkOutput(r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// unanswered leaves out markers, and inputs whose outputs are in the log already.
func (p *Processor) unanswered(n int32, polled []*Record) ([]*Record, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	part := p.parts[n]
	if part == nil || part.state != partLoaded {
		// Taken away since the poll, or given back: either way the transaction could not commit.
		return nil, fmt.Errorf("partition %d is not loaded: %w", n, ErrRebalanced)
	}
	in := make([]*Record, 0, len(polled))
	for _, r := range polled {
		switch {
		case IsControl(r):
		case part.answered.has(r.Offset):
			p.metrics.skipped.Inc()
		default:
			in = append(in, r)
		}
	}
	return in, nil
}

// checkOutput holds a handler to its contract, because a mistake here would be an endless loop or a lost answer.
func (p *Processor) checkOutput(r *Record) (*Record, error) {
	if !slices.Contains(p.outputs, r.Topic) {
		return nil, fmt.Errorf("%w: output to %q, which is not one of its topics", ErrStop, r.Topic)
	}
	if _, err := Origin(r); err != nil {
		return nil, fmt.Errorf("%w: output to %s: %w", ErrStop, r.Topic, err)
	}
	if n, ok := p.counts[r.Topic]; ok && (r.Partition < 0 || int(r.Partition) >= n) {
		return nil, fmt.Errorf("%w: output to %s/%d, which has %d partitions", ErrStop, r.Topic, r.Partition, n)
	}
	if RecordSize(r) <= p.pc.MaxRecordBytes {
		return r, nil
	}
	if p.pc.Oversized == nil {
		return nil, fmt.Errorf("output to %s has %d bytes: %w", r.Topic, RecordSize(r), ErrTooLarge)
	}
	smaller := p.pc.Oversized(r)
	if RecordSize(smaller) > p.pc.MaxRecordBytes {
		return nil, fmt.Errorf("replacement of an oversized output to %s has %d bytes: %w", r.Topic, RecordSize(smaller), ErrTooLarge)
	}
	return smaller, nil
}

// commit produces the outputs and ends the transaction. Every promise is collected: the session would commit although
// a record failed, and that record would be lost.
func (p *Processor) commit(ctx context.Context, session *kgo.GroupTransactSession, polled map[int32][]*Record, outputs []*Record) error {
	if err := session.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	end, cancel := p.endContext(ctx)
	defer cancel()
	failed := produceAll(end, session, outputs)
	if h, ok := p.handler.(Finisher); ok {
		failed = errors.Join(failed, h.Finish(end))
	}
	committed, err := session.End(end, kgo.TransactionEndTry(failed == nil))
	switch {
	case err != nil:
		// Committed or not, nobody knows: a new session asks the log.
		p.metrics.transactions.WithLabelValues("failed").Inc()
		return errors.Join(fmt.Errorf("end transaction: %w", err), failed)
	case !committed:
		p.metrics.transactions.WithLabelValues("aborted").Inc()
		p.handler.Discard()
		p.reloadAll(session.Client())
		if failed != nil {
			return retryError{fmt.Errorf("produce outputs: %w", failed)}
		}
		p.deps.Log.DebugContext(ctx, "transaction aborted by a rebalance", "role", p.pc.Role)
		return nil
	}
	p.metrics.transactions.WithLabelValues("committed").Inc()
	p.metrics.outputs.Add(float64(len(outputs)))
	if err := p.handler.Commit(ctx, p.advance(polled, outputs)); err != nil {
		// The log is right, the handler's memory may not be.
		p.handler.Discard()
		p.reloadAll(session.Client())
		return retryError{fmt.Errorf("commit state: %w", err)}
	}
	return nil
}

// produceAll sends the outputs, waits for every acknowledgement and returns the first failure.
func produceAll(ctx context.Context, session *kgo.GroupTransactSession, outputs []*Record) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	wg.Add(len(outputs))
	for _, r := range outputs {
		session.Produce(ctx, r, func(r *Record, err error) {
			defer wg.Done()
			if err == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = fmt.Errorf("%s/%d: %w", r.Topic, r.Partition, err)
			}
		})
	}
	wg.Wait()
	return first
}

// advance notes how far a committed transaction has brought its partitions.
func (p *Processor) advance(polled map[int32][]*Record, outputs []*Record) []Done {
	done := map[int32]*Done{}
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, records := range polled {
		next := records[len(records)-1].Offset + 1
		done[n] = &Done{Partition: n, Input: next, Outputs: map[string]int64{}}
		if part := p.parts[n]; part != nil {
			part.next = next
		}
	}
	for _, r := range outputs {
		if d := done[r.Partition]; d != nil {
			d.Outputs[r.Topic] = max(d.Outputs[r.Topic], r.Offset+1)
		}
	}
	list := make([]Done, 0, len(done))
	for _, n := range slices.Sorted(maps.Keys(done)) {
		list = append(list, *done[n])
	}
	return list
}
