package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/stream"
)

// How objects are looked up.
const (
	byID         = "objectId"
	byExternalID = "externalId"
)

// serverState is what a server that loads something says of itself.
type serverState struct {
	Ready bool `json:"ready"`
	// Records are those that were loaded, EndRequests were made for the ends of partitions, since the process started.
	Records     int64         `json:"records"`
	EndRequests int64         `json:"endRequests"`
	Resident    uint64        `json:"resident"`
	Peak        uint64        `json:"peak"`
	CPU         time.Duration `json:"cpu"`
}

// Reads are what readers did in one measurement.
type Reads struct {
	Count int64         `json:"count"`
	Took  time.Duration `json:"took"`
	P50   time.Duration `json:"p50"`
	P99   time.Duration `json:"p99"`
	// Behind are those among Count that gave up, because the view did not catch up within a barrier's time.
	Behind int64 `json:"behind"`
}

func (r Reads) perSecond() float64 { return float64(r.Count) / r.Took.Seconds() }

type registryServer struct {
	objects *registry.Registry
	reg     *prometheus.Registry
}

// serveRegistry is a process that has a registry and nothing else.
func serveRegistry(ctx context.Context, s spec, log *slog.Logger, stdout io.Writer) (err error) {
	master, err := benchMaster()
	if err != nil {
		return err
	}
	reg := run.NewRegistry()
	objects, err := registry.Open(ctx, registry.Config{Dir: s.Dir}, registry.Deps{
		Kafka: stream.Config{Brokers: s.Brokers, ClientID: "throughline", Prefix: s.Prefix}, Master: master, Log: log, Reg: reg,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, objects.Close()) }()
	server := &registryServer{objects: objects, reg: reg}
	control := http.NewServeMux()
	control.HandleFunc("GET /state", server.answerState)
	control.HandleFunc("POST /look", server.answerLook)
	front, err := listen(ctx, log, nil, control, stdout)
	if err != nil {
		return err
	}
	back := []run.Service{{Name: "registry", Run: objects.Run}}
	return ended(assembly.Serve(ctx, log, assembly.Stop{Front: 5 * time.Second, Back: 30 * time.Second}, front, back))
}

func (s *registryServer) answerState(w http.ResponseWriter, r *http.Request) {
	state := serverState{Ready: s.objects.Ready(r.Context()) == nil}
	var err, endsErr error
	state.Records, err = measured(s.reg, "throughline_stream_view_records_total")
	state.EndRequests, endsErr = measured(s.reg, "throughline_stream_view_end_requests_total")
	answerState(w, state, errors.Join(err, endsErr))
}

// answerState adds what the process uses.
func answerState(w http.ResponseWriter, state serverState, err error) {
	var memoryErr, timeErr error
	state.Resident, state.Peak, memoryErr = residentMemory()
	state.CPU, timeErr = processorTime()
	if err := errors.Join(err, memoryErr, timeErr); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, state)
}

// measured is the sum of a counter or gauge over its labels, or how often a histogram was told something.
func measured(reg prometheus.Gatherer, name string) (int64, error) {
	families, err := reg.Gather()
	if err != nil {
		return 0, fmt.Errorf("gather metrics: %w", err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return int64(sum), nil
}

// answerLook looks objects up at random for a time.
func (s *registryServer) answerLook(w http.ResponseWriter, r *http.Request) {
	reads, err := s.look(r.Context(), r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, reads)
}

func (s *registryServer) look(ctx context.Context, q url.Values) (Reads, error) {
	workers, err := strconv.Atoi(q.Get("workers"))
	objects, err2 := strconv.Atoi(q.Get("objects"))
	length, err3 := time.ParseDuration(q.Get("time"))
	if err := errors.Join(err, err2, err3); err != nil {
		return Reads{}, err
	}
	known := q.Get("known") == "true"
	resolve := func(l object.Lookup) (*object.Record, error) { return s.objects.ResolveLocal(benchWorkspace, l) }
	if q.Get("exact") == "true" {
		resolve = func(l object.Lookup) (*object.Record, error) { return s.objects.Resolve(ctx, benchWorkspace, l) }
	}
	var behind atomic.Int64
	one := func(random *rand.Rand) error {
		n := random.IntN(objects)
		if !known {
			n += objects
		}
		l := object.Lookup{Type: object.Customer}
		if q.Get("by") == byID {
			l.ID = manyID(n)
		} else {
			l.ExternalID = manyExternalID(n)
		}
		switch _, err := resolve(l); {
		case errors.Is(err, registry.ErrBehind):
			behind.Add(1) // a 503 at the edge; it is counted, with the time that it took
			return nil
		case known && err != nil:
			return fmt.Errorf("look up object %d: %w", n, err)
		case !known && !errors.Is(err, registry.ErrNotFound):
			return fmt.Errorf("look up object %d that is not there: %w", n, err)
		default:
			return nil
		}
	}
	reads, err := repeat(workers, length, one)
	reads.Behind = behind.Load()
	return reads, err
}

// repeat does something over and over in goroutines for a time.
func repeat(workers int, length time.Duration, one func(*rand.Rand) error) (Reads, error) {
	latencies, errs := make([][]time.Duration, workers), make([]error, workers)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range workers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), uint64(start.UnixNano()))) //nolint:gosec // which objects are read need not be hard to guess
			for before := time.Now(); before.Sub(start) < length; {
				if errs[i] = one(random); errs[i] != nil {
					return
				}
				after := time.Now()
				latencies[i] = append(latencies[i], after.Sub(before))
				before = after
			}
		})
	}
	wg.Wait()
	l := load{took: time.Since(start), latencies: slices.Concat(latencies...)}
	slices.SortFunc(l.latencies, cmp.Compare)
	return Reads{Count: int64(len(l.latencies)), Took: l.took, P50: l.quantile(0.5), P99: l.quantile(0.99)}, errors.Join(errs...)
}

// serveDrain is a process that reads topics with the client library alone.
func serveDrain(ctx context.Context, s spec, log *slog.Logger, stdout io.Writer) error {
	control := http.NewServeMux()
	control.HandleFunc("POST /drain", func(w http.ResponseWriter, r *http.Request) {
		done, err := drain(r.Context(), s)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		writeJSON(w, done)
	})
	services, err := listen(ctx, log, nil, control, stdout)
	if err != nil {
		return err
	}
	return ended(run.Group{Log: log}.Run(ctx, services...))
}

// drainTime bounds how long a bare consumer reads: long enough for its rate, and shorter than a server has to answer in.
const drainTime = 15 * time.Second

// drain reads topics, to their ends as of now or for as long as that, by the library's defaults.
func drain(ctx context.Context, s spec) (Transfer, error) {
	names := stream.Config{Prefix: s.Prefix}.Topics(s.Topics...)
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Brokers...), kgo.ConsumeTopics(names...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return Transfer{}, fmt.Errorf("open bare consumer: %w", err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, names...)
	if err != nil {
		return Transfer{}, fmt.Errorf("find the ends of the topics: %w", err)
	}
	var want int64
	ends.Each(func(o kadm.ListedOffset) { want += o.Offset })
	var done Transfer
	start := time.Now()
	for done.Records < want && time.Since(start) < drainTime {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return done, fmt.Errorf("read with a bare consumer: %w", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			done.Records++
			done.Bytes += int64(stream.RecordSize(r))
		})
	}
	done.Took = time.Since(start)
	return done, nil
}
