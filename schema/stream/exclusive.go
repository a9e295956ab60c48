package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/topic"
)

// exclusiveTimeout is how long a transaction of Exclusive may take; so long may one that was killed hold up the readers of
// its partitions, unless the next call ends it first.
const exclusiveTimeout = 10 * time.Second

// Exclusive appends what decide returns in one transaction, under a name that one process at a time has: whoever comes
// later fences whoever came before, whose transaction is then aborted. So decide may read the log, committed records only,
// to see whether its work is done already, and no other process can do it between its reading and its writing. An error
// after decide has returned leaves open whether the records are there; to call Exclusive again finds out.
//
// Each record names its partition. On the embedded broker nobody is fenced: there two at a time may do the same work.
func Exclusive(ctx context.Context, cfg Config, deps Deps, name string, decide func(context.Context) ([]*Record, error)) error {
	client, err := Open(cfg.with(name), deps.Log, deps.Reg,
		kgo.TransactionalID(transactionalID(cfg, name, "0")),
		kgo.TransactionTimeout(exclusiveTimeout),
		kgo.RecordDeliveryTimeout(exclusiveTimeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(topic.MaxRecordBytes),
		kgo.UnknownTopicRetries(5),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	// Asking for the producer id ends what a predecessor has begun, so that what decide reads is final.
	if _, _, err := client.ProducerID(ctx); err != nil {
		return fmt.Errorf("fence predecessor: %w", err)
	}
	recs, err := decide(ctx)
	if err != nil || len(recs) == 0 {
		return err
	}
	if err := client.BeginTransaction(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	failed := client.ProduceSync(ctx, recs...).FirstErr()
	// An end that is cut off leaves a transaction whose outcome nobody knows.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), exclusiveTimeout)
	defer cancel()
	if err := client.EndTransaction(end, kgo.TransactionEndTry(failed == nil)); err != nil {
		return fmt.Errorf("end transaction: %w", err)
	}
	if failed != nil {
		return fmt.Errorf("append in a transaction: %w", failed)
	}
	return nil
}

// ReadTopic gives each every committed record that a topic has when it is called, partition by partition. An error of each
// ends it and is returned as it is.
func ReadTopic(ctx context.Context, cfg Config, deps Deps, name topic.Name, each func(*Record) error) error {
	client, err := Open(cfg.with("read"), deps.Log, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	_, metas, err := describe(ctx, client, cfg.Topics(name))
	if err != nil {
		return err
	}
	tps := allPartitions(metas)
	starts, err := listOffsets(ctx, client, atLogStart, tps)
	if err != nil {
		return err
	}
	ends, err := listOffsets(ctx, client, atLogEnd, tps)
	if err != nil {
		return err
	}
	for _, tp := range tps {
		if err := readRange(ctx, cfg, deps, tp, starts[tp], ends[tp], each); err != nil {
			return err
		}
	}
	return nil
}
