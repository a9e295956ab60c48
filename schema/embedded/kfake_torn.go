package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// kfakeRecovery bounds the look at the ends of all partitions at a start. They
// are in memory, so it takes milliseconds.
const kfakeRecovery = 30 * time.Second

// endTorn does what a broker does when it comes back: it ends the transactions
// that a kill has cut off with a marker. kfake takes them for aborted without
// one, so that a reader of committed records is given nothing for their offsets
// and, where they are the last of a partition, never learns that it has come to
// the end. A transaction of our own that is aborted leaves a marker behind them.
func (k *Kfake) endTorn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, kfakeRecovery)
	defer cancel()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(k.Brokers...),
		kgo.ClientID("throughline-recovery"),
		// New each time: kfake hides committed records of an id that comes back.
		kgo.TransactionalID("throughline.recovery."+rand.Text()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.FetchIsolationLevel(kgo.ReadUncommitted()),
		kgo.KeepControlRecords(),
	)
	if err != nil {
		return fmt.Errorf("open recovery client: %w", err)
	}
	defer client.Close()
	last, err := lastOffsets(ctx, client)
	if err != nil || len(last) == 0 {
		return err
	}
	torn, err := tornEnds(ctx, client, last)
	if err != nil || len(torn) == 0 {
		return err
	}
	k.logger.InfoContext(ctx, "embedded kafka ends transactions that a kill has cut off", "partitions", len(torn))
	if err := client.BeginTransaction(); err != nil {
		return fmt.Errorf("begin recovery transaction: %w", err)
	}
	if err := client.ProduceSync(ctx, torn...).FirstErr(); err != nil {
		return errors.Join(fmt.Errorf("write recovery transaction: %w", err), client.EndTransaction(ctx, kgo.TryAbort))
	}
	if err := client.EndTransaction(ctx, kgo.TryAbort); err != nil {
		return fmt.Errorf("abort recovery transaction: %w", err)
	}
	return nil
}

// lastOffsets are the offsets of the last records of all partitions that have any.
func lastOffsets(ctx context.Context, client *kgo.Client) (map[string]map[int32]kgo.Offset, error) {
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx)
	if err != nil {
		return nil, fmt.Errorf("list starts of partitions: %w", err)
	}
	ends, err := admin.ListEndOffsets(ctx)
	if err != nil {
		return nil, fmt.Errorf("list ends of partitions: %w", err)
	}
	if err := errors.Join(starts.Error(), ends.Error()); err != nil {
		return nil, fmt.Errorf("list ends of partitions: %w", err)
	}
	last := make(map[string]map[int32]kgo.Offset)
	ends.Each(func(end kadm.ListedOffset) {
		start, ok := starts.Lookup(end.Topic, end.Partition)
		if !ok || end.Offset <= start.Offset {
			return
		}
		if last[end.Topic] == nil {
			last[end.Topic] = make(map[int32]kgo.Offset)
		}
		last[end.Topic][end.Partition] = kgo.NewOffset().At(end.Offset - 1)
	})
	return last, nil
}

// tornEnds reads the last record of each partition and returns a record to be
// aborted for each where it is of a transaction and not its marker.
func tornEnds(ctx context.Context, client *kgo.Client, last map[string]map[int32]kgo.Offset) ([]*kgo.Record, error) {
	type place struct {
		topic     string
		partition int32
	}
	waiting := make(map[place]bool)
	for topic, partitions := range last {
		for p := range partitions {
			waiting[place{topic, p}] = true
		}
	}
	client.AddConsumePartitions(last)
	defer client.PurgeTopicsFromConsuming(slices.Collect(maps.Keys(last))...)
	var torn []*kgo.Record
	for len(waiting) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read ends of partitions: %w", err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			at := place{r.Topic, r.Partition}
			if !waiting[at] {
				continue
			}
			delete(waiting, at)
			if r.Attrs.IsTransactional() && !r.Attrs.IsControl() {
				torn = append(torn, &kgo.Record{Topic: r.Topic, Partition: r.Partition})
			}
		}
	}
	return torn, nil
}
