package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// transactOptions are those of every session that reads in a group and writes in transactions.
func transactOptions(group, id string, txn, session, rebalance time.Duration, maxRecordBytes int) []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumerGroup(group),
		kgo.TransactionalID(id),
		// So long may a dead process freeze its output partitions.
		kgo.TransactionTimeout(txn),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// Markers are polled, so that the committed offset passes them and reaches the end of an idle partition.
		kgo.KeepControlRecords(),
		// A lost position is an operator's decision: never start over, never skip.
		kgo.ConsumeStartOffset(kgo.NewOffset().AtCommitted()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		// Whoever makes an output names its partition.
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(int32(maxRecordBytes)),
		// A batch is flushed by the end of its transaction; waiting for company only adds to its latency.
		kgo.ProducerLinger(0),
		// A record that waits longer than the transaction may live is as good as failed.
		kgo.RecordDeliveryTimeout(txn),
		kgo.UnknownTopicRetries(5),
		// A partition that is resumed while a fetch of others waits has to wait with it: at most this long.
		kgo.FetchMaxWait(250 * time.Millisecond),
		kgo.SessionTimeout(session),
		kgo.HeartbeatInterval(session / 4),
		kgo.RebalanceTimeout(rebalance),
	}
}

func (p *Processor) openSession() (*kgo.GroupTransactSession, error) {
	cfg := p.cfg.with(p.pc.Role)
	opts, err := commonOptions(cfg, p.deps.Log, p.deps.Reg)
	if err != nil {
		return nil, err
	}
	id := transactionalID(p.cfg, p.pc.Role, p.pc.Instance)
	opts = append(opts, traceOptions(cfg, p.deps, p.group)...)
	opts = append(opts, transactOptions(p.group, id, p.pc.TxnTimeout, p.pc.SessionTimeout, p.pc.RebalanceTimeout, p.pc.MaxRecordBytes)...)
	session, err := kgo.NewGroupTransactSession(append(opts,
		kgo.ClientID(memberID(p.cfg, p.pc.Role, p.pc.Instance)), // over that of the other clients: see removePredecessor
		kgo.ConsumeTopics(p.input),
		kgo.OnPartitionsAssigned(p.onAssigned),
		kgo.OnPartitionsRevoked(p.onRevoked),
		kgo.OnPartitionsLost(p.onRevoked),
		kgo.AdjustFetchOffsetsFn(p.onOffsets),
		kgo.FetchMaxBytes(16<<20),
		kgo.FetchMaxPartitionBytes(p.pc.MaxPartitionBytes),
	)...)
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	return session, nil
}

// session polls, processes and commits until ctx ends or the session cannot be used any more.
func (p *Processor) session(ctx context.Context) error {
	removePredecessor(ctx, p.cfg, p.pc.Role, p.pc.Instance, p.deps.Log)
	session, err := p.openSession()
	if err != nil {
		return err
	}
	defer closeClient(ctx, session.Client())
	p.metrics.sessions.Inc()
	// The library would ask for its producer id with the first record. That is too late: what a predecessor with our
	// transactional id left open is ended by asking, and until then it holds back the loading of the outputs.
	if _, _, err := session.Client().ProducerID(ctx); err != nil {
		return fmt.Errorf("fence predecessor: %w", err)
	}
	p.mu.Lock()
	p.open = true
	p.mu.Unlock()
	failures := 0
	for !ended(ctx) {
		if err := p.settle(ctx, session); err != nil {
			return err
		}
		err := p.loadReady(ctx, session.Client())
		if err == nil {
			err = p.batch(ctx, session)
		}
		var retry retryError
		switch {
		case err == nil:
			failures = 0
			continue
		case ended(ctx):
			return nil
		case errors.As(err, &retry):
			err = retry.err
		case errors.Is(err, kerr.UnknownTopicOrPartition), kerr.IsRetriable(err), errors.Is(err, context.DeadlineExceeded):
		default:
			return err
		}
		// The session is sound and has rewound: the same records come again.
		failures++
		wait := backoff(failures)
		p.deps.Log.WarnContext(ctx, "batch failed, trying again", "role", p.pc.Role, "error", err,
			"failures", failures, "wait", wait)
		_ = pause(ctx, wait) // it ends early only with ctx, which ends the loop
	}
	return nil
}

// retryError marks a failure after which the session was rewound and stays in use.
type retryError struct{ err error }

func (e retryError) Error() string { return e.err.Error() }
func (e retryError) Unwrap() error { return e.err }

// settle takes note of a revoke between two batches. Ending a transaction that never began resets the session's own
// note of it, which would otherwise abort the next batch and hide further revokes.
func (p *Processor) settle(ctx context.Context, session *kgo.GroupTransactSession) error {
	p.mu.Lock()
	revoked := p.revoked
	p.revoked = false
	p.mu.Unlock()
	if !revoked {
		return nil
	}
	return p.rewind(ctx, session)
}

// rewind sets every partition back to its committed offset and has its state loaded again.
func (p *Processor) rewind(ctx context.Context, session *kgo.GroupTransactSession) error {
	p.handler.Discard()
	ctx, cancel := p.endContext(ctx)
	defer cancel()
	_, err := session.End(ctx, kgo.TryAbort)
	p.reloadAll(session.Client())
	if err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	return nil
}

// endContext outlives the service's: an end that is cut off leaves a transaction whose outcome nobody knows.
func (p *Processor) endContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 2*p.pc.TxnTimeout)
}

// batch polls once and processes what it got in one transaction.
func (p *Processor) batch(ctx context.Context, session *kgo.GroupTransactSession) error {
	fetches := p.poll(ctx, session)
	if err := p.pollError(ctx, session.Client(), fetches); err != nil {
		return err
	}
	polled := map[int32][]*Record{}
	fetches.EachPartition(func(fp kgo.FetchTopicPartition) {
		if len(fp.Records) > 0 {
			polled[fp.Partition] = append(polled[fp.Partition], fp.Records...)
		}
	})
	if len(polled) == 0 {
		return nil
	}
	start := time.Now()
	ctx, span := p.batchSpan(ctx, polled)
	outputs, err := p.process(ctx, polled)
	if err != nil {
		EndBatch(span, err)
		return p.giveUp(ctx, session, err)
	}
	err = p.commit(ctx, session, polled, outputs)
	EndBatch(span, err)
	p.metrics.seconds.Observe(time.Since(start).Seconds())
	return err
}

// giveUp rewinds after a batch that could not be processed.
func (p *Processor) giveUp(ctx context.Context, session *kgo.GroupTransactSession, cause error) error {
	if err := p.rewind(ctx, session); err != nil {
		return errors.Join(cause, err)
	}
	switch {
	case errors.Is(cause, ErrStop), errors.Is(cause, ErrTooLarge):
		return cause
	case errors.Is(cause, ErrRebalanced):
		// Not a failure: the records are somebody else's now.
		return nil
	default:
		return retryError{cause}
	}
}

func (p *Processor) poll(ctx context.Context, session *kgo.GroupTransactSession) kgo.Fetches {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.mu.Lock()
	p.wake = cancel
	urgent := p.revoked || p.missing != nil
	for _, part := range p.parts {
		urgent = urgent || part.state == partReady
	}
	if urgent {
		cancel()
	}
	p.mu.Unlock()
	return session.PollRecords(ctx, p.pc.MaxBatchRecords)
}

func (p *Processor) pollError(ctx context.Context, client *kgo.Client, fetches kgo.Fetches) error {
	p.mu.Lock()
	missing := p.missing
	p.mu.Unlock()
	if missing != nil {
		return missing
	}
	for _, fe := range fetches.Errors() {
		var session *kgo.ErrGroupSession
		switch {
		case errors.Is(fe.Err, context.Canceled), errors.Is(fe.Err, context.DeadlineExceeded), errors.As(fe.Err, &session):
			// A wake-up, the end, or news that the library rejoins by itself.
		case errors.Is(fe.Err, kerr.OffsetOutOfRange):
			return offsetLost(ctx, client, p.group, TopicPartition{fe.Topic, fe.Partition}, p.nextOf(fe.Partition))
		default:
			return fmt.Errorf("poll %s/%d: %w", fe.Topic, fe.Partition, fe.Err)
		}
	}
	return nil
}

func (p *Processor) nextOf(n int32) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if part := p.parts[n]; part != nil {
		return part.next
	}
	return -1
}
