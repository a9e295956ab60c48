package bench

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
)

// mixed spreads n over all 64-bit numbers (the finalizer of SplitMix64), so that ids come in no order, as random ones do.
func mixed(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// manyID is the id of the n-th object: as long and as disordered as a UUID.
func manyID(n int) string {
	a, b := mixed(uint64(n)), mixed(^uint64(n))
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&0xffffffffffff)
}

// manyExternalID is its id in the caller's system.
func manyExternalID(n int) string { return strconv.Itoa(1_000_000_000 + n) }

// manyObject is the n-th object. The same n gives the same object.
func manyObject(n int) *object.Object {
	words := wordsOf()
	m := mixed(uint64(n))
	word := func(shift int) string { return words[m>>shift%uint64(len(words))] }
	return &object.Object{
		Type: object.Customer, ID: manyID(n), ExternalID: manyExternalID(n), Name: "Customer " + word(0) + " " + word(8),
		Attributes: fmt.Appendf(nil, `{"plan":"%s","locale":"en-%s","signedUpAt":"20%02d-%02d-%02dT08:00:00Z"}`,
			word(16), word(24)[:2], 10+m>>32%16, 1+m>>40%12, 1+m>>48%28),
		Relations: []object.Lookup{{Type: object.Account, ID: "account-" + strconv.Itoa(n/10)}},
	}
}

// benchMaster is the master key of every server under test.
func benchMaster() (*seal.Master, error) { return seal.NewMaster(make([]byte, seal.KeyBytes)) }

func recordMaker(kafka stream.Config) (registry.Records, error) {
	master, err := benchMaster()
	return registry.Records{Kafka: kafka, Master: master, Now: time.Now}, err
}

const (
	// chunk is how many objects are built and acknowledged together.
	chunk = 500
	// producers is how many goroutines do so: enough that some build while others wait.
	producers = 6
)

// patient is a producer that is given a busy machine: it waits for a minute where a service would refuse.
func patient(kafka stream.Config, log *slog.Logger) (*stream.Producer, error) {
	return stream.NewProducer(kafka, stream.ProducerConfig{RecordTimeout: time.Minute, StallAfter: time.Minute}, stream.Deps{Log: log})
}

// produceObjects appends objects 0 to n, each after its data key as the edge does. It returns how long that took and how
// many bytes the records have.
func produceObjects(ctx context.Context, kafka stream.Config, n int, log *slog.Logger, said func(done int)) (time.Duration, int64, error) {
	maker, err := recordMaker(kafka)
	if err != nil {
		return 0, 0, err
	}
	producer, err := patient(kafka, log)
	if err != nil {
		return 0, 0, err
	}
	var next, done, bytes atomic.Int64
	group, groupCtx := errgroup.WithContext(ctx)
	start := time.Now()
	for range producers {
		group.Go(func() error {
			for {
				from := int(next.Add(chunk)) - chunk
				if from >= n {
					return nil
				}
				to := min(from+chunk, n)
				size, err := produceChunk(groupCtx, producer, maker, from, to)
				if err != nil {
					return err
				}
				bytes.Add(size)
				// A line for each tenth.
				if now := int(done.Add(int64(to - from))); now*10/n != (now-(to-from))*10/n {
					said(now)
				}
			}
		})
	}
	err = group.Wait()
	took := time.Since(start)
	if closeErr := producer.Close(ctx); err == nil {
		err = closeErr
	}
	return took, bytes.Load(), err
}

func produceChunk(ctx context.Context, producer *stream.Producer, maker registry.Records, from, to int) (int64, error) {
	keys, objects := make([]*stream.Record, 0, to-from), make([]*stream.Record, 0, to-from)
	for i := from; i < to; i++ {
		o := manyObject(i)
		id, key, record, err := maker.NewKey(benchWorkspace, o.Ref())
		if err != nil {
			return 0, err
		}
		value, err := maker.Seal(benchWorkspace, o, id, key)
		if err != nil {
			return 0, err
		}
		keys, objects = append(keys, record), append(objects, maker.Object(benchWorkspace, o.Ref(), value))
	}
	var bytes int64
	for _, records := range [][]*stream.Record{keys, objects} {
		if _, err := producer.Produce(ctx, records...); err != nil {
			return 0, err
		}
		for _, r := range records {
			bytes += int64(stream.RecordSize(r))
		}
	}
	return bytes, nil
}

// whileWriting runs work while objects that are there already are written again, so many a second; 0 writes nothing.
func whileWriting(ctx context.Context, kafka stream.Config, objects, rate int, log *slog.Logger, work func(context.Context) error) error {
	if rate == 0 {
		return work(ctx)
	}
	maker, err := recordMaker(kafka)
	if err != nil {
		return err
	}
	producer, err := patient(kafka, log)
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	writing, stop := context.WithCancel(groupCtx)
	defer stop()
	group.Go(func() error { return writeSteadily(writing, producer, maker, objects, rate) })
	group.Go(func() error {
		defer stop()
		return work(groupCtx)
	})
	err = group.Wait()
	if closeErr := producer.Close(ctx); err == nil {
		err = closeErr
	}
	return err
}

// writeSteadily writes at a rate until the context ends.
func writeSteadily(ctx context.Context, producer *stream.Producer, maker registry.Records, objects, rate int) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	start := time.Now()
	for sent := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		due := int(time.Since(start).Seconds() * float64(rate))
		var records []*stream.Record
		for ; sent < due; sent++ {
			o := manyObject(int(mixed(uint64(sent)) % uint64(objects)))
			id, key, _, err := maker.NewKey(benchWorkspace, o.Ref())
			if err != nil {
				return err
			}
			value, err := maker.Seal(benchWorkspace, o, id, key)
			if err != nil {
				return err
			}
			records = append(records, maker.Object(benchWorkspace, o.Ref(), value))
		}
		// A write under way when the measurement ends is waited for.
		if _, err := producer.Produce(context.WithoutCancel(ctx), records...); err != nil {
			return err
		}
	}
}
