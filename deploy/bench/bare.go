package bench

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/gorilla/mux"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/run"
)

// bareTopic and directTopic are where the limits write.
const (
	bareTopic   = "bare"
	directTopic = "direct"
)

// serveBare is the least that a durable POST can be: the body is read, produced as it is, and answered when all in-sync
// replicas have it.
func serveBare(ctx context.Context, s spec, log *slog.Logger, stdout io.Writer) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(s.Brokers...),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(s.Linger),
		kgo.MaxBufferedRecords(1<<20),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	name := s.Prefix + "." + bareTopic
	var count atomic.Int64
	router := mux.NewRouter()
	router.HandleFunc("/v1/events", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		// Keys spread the records over the partitions as the objects of events do.
		key := strconv.AppendInt(nil, count.Add(1), 10)
		// ProduceSync would cut the linger short.
		acknowledged := make(chan error, 1)
		client.Produce(r.Context(), &kgo.Record{Topic: name, Key: key, Value: body}, func(_ *kgo.Record, err error) { acknowledged <- err })
		if err := <-acknowledged; err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"message":"Event Linked"}`) // a client that has gone cannot be told
	}).Methods(http.MethodPost)
	services, err := listen(ctx, log, router, http.NewServeMux(), stdout)
	if err != nil {
		return err
	}
	return ended(run.Group{Log: log}.Run(ctx, services...))
}

// ended is nil for a server that was asked to stop.
func ended(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
