package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

const (
	// transactTopic is where the bare processor writes, and transactGroup the name of its group.
	transactTopic = "transacted"
	transactGroup = "transact"
	// transactSample is how many records of each output it writes in turn: no more than the least run has.
	transactSample = 1000
	// transactRecords bounds one transaction, as link's and the processor of conversations' are bounded.
	transactRecords = 5000
)

// bareProcessor is the least that a processor can be: the client library's loop of consuming, producing and committing in
// transactions. For each record that it reads it writes one of each sample, or, where there are none, what it has read.
type bareProcessor struct {
	session *kgo.GroupTransactSession
	to      string
	samples [][]kgo.Record
}

func serveTransact(ctx context.Context, s spec, log *slog.Logger, stdout io.Writer) error {
	kafka := stream.Config{Brokers: s.Brokers, Prefix: s.Prefix}
	p := bareProcessor{to: kafka.Topic(transactTopic)}
	for i, from := range s.Outputs {
		sample, err := readSample(ctx, s, from, transactedTo(i), transactSample)
		if err != nil {
			return err
		}
		p.samples = append(p.samples, sample)
	}
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(s.Brokers...), kgo.TransactionalID(kafka.Group(transactGroup)), kgo.ConsumerGroup(kafka.Group(transactGroup)),
		kgo.ConsumeTopics(kafka.Topics(s.Topics...)...), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(1<<20),
	)
	if err != nil {
		return fmt.Errorf("open session: %w", err)
	}
	defer session.Close()
	p.session = session
	front, err := listen(ctx, log, nil, http.NewServeMux(), stdout)
	if err != nil {
		return err
	}
	work := run.Service{Name: "transact", Run: func(ctx context.Context) error {
		for ctx.Err() == nil {
			if err := p.round(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
		return nil
	}}
	return ended(run.Group{Log: log}.Run(ctx, append(front, work)...))
}

// round is one transaction.
func (p *bareProcessor) round(ctx context.Context) error {
	fetches := p.session.PollRecords(ctx, transactRecords)
	if err := fetches.Err0(); err != nil || fetches.NumRecords() == 0 {
		return err
	}
	if err := p.session.Begin(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	failed := make(chan error, 1)
	produce := func(r *kgo.Record) {
		p.session.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	n := 0
	fetches.EachRecord(func(r *kgo.Record) {
		for _, sample := range p.samples {
			out := sample[n%len(sample)]
			out.Partition = r.Partition
			produce(&out)
		}
		if len(p.samples) == 0 {
			produce(&kgo.Record{Topic: p.to, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers})
		}
		n++
	})
	if err := p.session.Client().Flush(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	select {
	case err := <-failed:
		return fmt.Errorf("produce: %w", err)
	default:
	}
	_, err := p.session.End(ctx, kgo.TryCommit)
	return err
}

// bareTransactions measures transactions of some records one after the other: what a transition at least takes.
func (b *bench) bareTransactions(ctx context.Context, records int, d time.Duration) (load, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.kafka.Brokers...), kgo.TransactionalID(b.kafka.Prefix+".bare"),
		kgo.DefaultProduceTopic(b.kafka.Prefix+"."+transactTopic))
	if err != nil {
		return load{}, fmt.Errorf("open producer: %w", err)
	}
	defer client.Close()
	value := make([]byte, 500)
	var l load
	for began := time.Now(); l.took < d; l.took = time.Since(began) {
		start := time.Now()
		if err := client.BeginTransaction(); err != nil {
			return l, fmt.Errorf("begin: %w", err)
		}
		batch := make([]*kgo.Record, records)
		for i := range batch {
			batch[i] = &kgo.Record{Key: []byte(manyID(i)), Value: value}
		}
		err := errors.Join(client.ProduceSync(ctx, batch...).FirstErr(), client.EndTransaction(ctx, kgo.TryCommit))
		if err != nil {
			return l, fmt.Errorf("transact: %w", err)
		}
		l.latencies = append(l.latencies, time.Since(start))
		l.requests++
	}
	slices.Sort(l.latencies)
	return l, nil
}

// transactedTo is where the bare processor writes the records of its i-th output.
func transactedTo(i int) topic.Name { return topic.Name(fmt.Sprintf("%s-%d", transactTopic, i)) }

// transactTopics are what the bare processor writes to: one topic, or one for each output.
func transactTopics(partitions, outputs int) []topic.Spec {
	all := []topic.Spec{{Name: transactTopic, Partitions: partitions}}
	for i := range outputs {
		all = append(all, topic.Spec{Name: transactedTo(i), Partitions: partitions})
	}
	return all
}
