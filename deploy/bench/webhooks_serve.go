package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/dispatcher"
	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

// Of the measurement of webhooks: the dispatcher, who receives, and a bare client that posts the same.
const (
	roleHooks    = "hooks"
	roleReceiver = "receiver"
	rolePost     = "post"
)

// serveHooks is a dispatcher in a process of its own. It makes deliveries without the tables, which nobody serves here. A
// request's bearer is taken for the name of its workspace.
func serveHooks(ctx context.Context, s spec, log *slog.Logger, stdout io.Writer) (err error) {
	master, err := benchMaster()
	if err != nil {
		return err
	}
	kafka := stream.Config{Brokers: s.Brokers, ClientID: "throughline", Prefix: s.Prefix}
	reg := run.NewRegistry()
	producer, err := stream.NewProducer(kafka, stream.ProducerConfig{}, stream.Deps{Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, producer.Close(context.WithoutCancel(ctx))) }()
	cfg := dispatcher.DefaultConfig()
	cfg.Dir, cfg.Instance, cfg.PlainHTTP = s.Dir, "bench", true
	cfg.Allow = []dispatcher.Allowed{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}
	service, err := dispatcher.New(cfg, dispatcher.Deps{
		Kafka: kafka, Producer: producer, ClickHouse: store.Config{Addr: "127.0.0.1:1", Database: "none"}, Master: master,
		Require: bearerIsWorkspace, Log: log, Reg: reg,
	})
	if err != nil {
		return err
	}
	control := http.NewServeMux()
	control.HandleFunc("GET /count", func(w http.ResponseWriter, r *http.Request) {
		n, err := measured(reg, r.URL.Query().Get("metric"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		writeJSON(w, n)
	})
	front, err := listen(ctx, log, service.Handler(), control, stdout)
	if err != nil {
		return err
	}
	back := []run.Service{{Name: "dispatcher", Run: service.Run}}
	return ended(assembly.Serve(ctx, log, assembly.Stop{Front: 5 * time.Second, Back: 30 * time.Second}, front, back))
}

func bearerIsWorkspace(scope workspace.Scope, next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		ws, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			return problem.NoKey("")
		}
		return next(w, r.WithContext(access.WithPrincipal(r.Context(), access.Principal{Workspace: ws, Scopes: []workspace.Scope{scope}})))
	}
}

// maxSamples is how many bodies a receiver keeps for the bare client.
const maxSamples = 500

// received is what a receiver says of what has come since it was told to forget.
type received struct {
	Count int           `json:"count"`
	P50   time.Duration `json:"p50"`
	P90   time.Duration `json:"p90"`
	P99   time.Duration `json:"p99"`
}

// receiver answers, fails or is silent by the path. The id of an event begins with the time at which it was sent.
type receiver struct {
	count     atomic.Int64
	mu        sync.Mutex
	latencies []time.Duration
	samples   [][]byte
}

func serveReceiver(ctx context.Context, _ spec, log *slog.Logger, stdout io.Writer) error {
	r := &receiver{}
	control := http.NewServeMux()
	control.HandleFunc("POST /forget", func(w http.ResponseWriter, _ *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.latencies = nil
		r.count.Store(0)
		writeJSON(w, received{})
	})
	control.HandleFunc("GET /count", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, r.count.Load()) })
	control.HandleFunc("GET /received", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, r.received()) })
	control.HandleFunc("GET /samples", func(w http.ResponseWriter, _ *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		writeJSON(w, r.samples)
	})
	services, err := listen(ctx, log, r, control, stdout)
	if err != nil {
		return err
	}
	return ended(run.Group{Log: log}.Run(ctx, services...))
}

func (r *receiver) received() received {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := load{latencies: slices.Sorted(slices.Values(r.latencies))}
	return received{Count: len(l.latencies), P50: l.quantile(0.5), P90: l.quantile(0.9), P99: l.quantile(0.99)}
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	switch {
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
	case strings.HasPrefix(req.URL.Path, "/silent"):
		<-req.Context().Done()
	case strings.HasPrefix(req.URL.Path, "/failing"):
		w.WriteHeader(http.StatusInternalServerError)
	default:
		w.WriteHeader(http.StatusNoContent)
		r.note(body, time.Now())
	}
}

func (r *receiver) note(body []byte, now time.Time) {
	r.count.Add(1)
	_, rest, found := bytes.Cut(body, []byte(`"event":{"id":"`))
	text, _, _ := bytes.Cut(rest, []byte("-"))
	sent, err := strconv.ParseInt(string(text), 10, 64)
	r.mu.Lock()
	defer r.mu.Unlock()
	if found && err == nil {
		r.latencies = append(r.latencies, now.Sub(time.Unix(0, sent)))
	}
	if len(r.samples) < maxSamples {
		r.samples = append(r.samples, body)
	}
}

// servePost is the limit: a client of the standard library that posts what the dispatcher posted, to the same receiver.
func servePost(ctx context.Context, _ spec, log *slog.Logger, stdout io.Writer) error {
	control := http.NewServeMux()
	control.HandleFunc("POST /post", func(w http.ResponseWriter, r *http.Request) {
		done, err := post(r.Context(), r.URL.Query().Get("url"), r.URL.Query().Get("samples"), r.URL.Query().Get("clients"), r.URL.Query().Get("time"))
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

// post posts bodies for a time, by so many goroutines.
func post(ctx context.Context, url, samples, clients, length string) (produced, error) {
	n, err := strconv.Atoi(clients)
	d, err2 := time.ParseDuration(length)
	if err := errors.Join(err, err2); err != nil {
		return produced{}, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConns: n, MaxIdleConnsPerHost: n}}
	defer client.CloseIdleConnections()
	bodies, err := fetchSamples(ctx, client, samples)
	if err != nil {
		return produced{}, err
	}
	var sent atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for worker := range n {
		group.Go(func() error {
			for i := worker; time.Since(start) < d; i++ {
				if err := postOne(ctx, client, url, bodies[i%len(bodies)]); err != nil {
					return err
				}
				sent.Add(1)
			}
			return nil
		})
	}
	err = group.Wait()
	return produced{Records: int(sent.Load()), Took: time.Since(start)}, err
}

func fetchSamples(ctx context.Context, client *http.Client, address string) ([][]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody) //nolint:gosec // a server of this very run
	if err != nil {
		return nil, fmt.Errorf("fetch bodies: %w", err)
	}
	res, err := client.Do(req) //nolint:gosec // a server of this very run
	if err != nil {
		return nil, fmt.Errorf("fetch bodies: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	var bodies [][]byte
	if err := json.NewDecoder(res.Body).Decode(&bodies); err != nil || len(bodies) == 0 {
		return nil, fmt.Errorf("fetch bodies: got %d: %w", len(bodies), err)
	}
	return bodies, nil
}

func postOne(ctx context.Context, client *http.Client, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body)) //nolint:gosec // a server of this very run
	if err != nil {
		return fmt.Errorf("post: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req) //nolint:gosec // a server of this very run
	if err != nil {
		return fmt.Errorf("post: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return fmt.Errorf("post: %w", err)
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("post: answered %s", res.Status)
	}
	return nil
}
