package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// sampleSize is how many of the edge's records are produced over and over.
const sampleSize = 5000

// produced is what a run of direct has done.
type produced struct {
	Records int           `json:"records"`
	Took    time.Duration `json:"took"`
}

// direct produces the records that the edge wrote, by the client library alone.
type direct struct {
	client *kgo.Client
	spec   spec
	sample []kgo.Record
}

func serveDirect(ctx context.Context, s spec, log *slog.Logger, stdout io.Writer) error {
	// Everything but the acknowledgement is the library's default, its linger of 10 ms too: it is made for this.
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Brokers...), kgo.RequiredAcks(kgo.AllISRAcks()))
	if err != nil {
		return err
	}
	defer client.Close()
	d := &direct{client: client, spec: s}
	control := http.NewServeMux()
	control.HandleFunc("POST /load", d.answerLoad)
	control.HandleFunc("POST /produce", d.answerProduce)
	services, err := listen(ctx, log, nil, control, stdout)
	if err != nil {
		return err
	}
	return ended(run.Group{Log: log}.Run(ctx, services...))
}

// answerLoad reads the sample from what the edge has written so far.
func (d *direct) answerLoad(w http.ResponseWriter, r *http.Request) {
	sample, err := readSample(r.Context(), d.spec, topic.Submissions, directTopic, sampleSize)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	d.sample = sample
	writeJSON(w, produced{Records: len(sample)})
}

// readSample reads some records of a topic, to be written to another one.
func readSample(ctx context.Context, s spec, from, to topic.Name, size int) ([]kgo.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	kafka := stream.Config{Prefix: s.Prefix}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Brokers...), kgo.ConsumeTopics(kafka.Topic(from)),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var sample []kgo.Record
	for len(sample) < size {
		fetches := client.PollRecords(ctx, size-len(sample))
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read records of %s: have %d: %w", from, len(sample), err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			sample = append(sample, kgo.Record{Topic: kafka.Topic(to), Key: r.Key, Value: r.Value, Headers: r.Headers})
		})
	}
	return sample, nil
}

func (d *direct) answerProduce(w http.ResponseWriter, r *http.Request) {
	length, err := time.ParseDuration(r.URL.Query().Get("time"))
	if err == nil && len(d.sample) == 0 {
		err = errors.New("no records were loaded")
	}
	var done produced
	if err == nil {
		done, err = d.produce(r.Context(), length)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, done)
}

// produce sends for a time, waits for what is under way, and says how long both took.
func (d *direct) produce(ctx context.Context, length time.Duration) (produced, error) {
	var (
		acknowledged atomic.Int64
		once         sync.Once
		failed       error
	)
	start := time.Now()
	for i := 0; time.Since(start) < length; i++ {
		record := d.sample[i%len(d.sample)]
		d.client.Produce(ctx, &record, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failed = err })
				return
			}
			acknowledged.Add(1)
		})
	}
	if err := d.client.Flush(ctx); err != nil {
		return produced{}, fmt.Errorf("flush: %w", err)
	}
	return produced{Records: int(acknowledged.Load()), Took: time.Since(start)}, failed
}
