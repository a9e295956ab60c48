package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/throughline/throughline/schema/topic"
)

// loadLimit bounds how long a view may take to come up: a thousand records a second would be a failure anyway.
const loadLimit = 2 * time.Hour

// profileTime is how much of a load is profiled, from its start.
const profileTime = 15 * time.Second

// registryBench is one measurement of a registry.
type registryBench struct {
	*bench

	cfg    RegistryConfig
	views  string
	report *RegistryReport
	server *child
}

// Registry measures a registry of many objects in a process of its own: how fast it comes up beside a bare consumer of
// the same topics, what it holds in memory and on disk, how it comes back, and what its reads cost.
func Registry(ctx context.Context, cfg RegistryConfig, out, progress io.Writer, log *slog.Logger) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	b, err := newBench(Config{Kafka: cfg.Kafka, Brokers: cfg.Brokers}, progress, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.opened.Close()) }()
	r := &registryBench{bench: b, cfg: cfg, views: filepath.Join(b.dir, roleRegistry), report: newRegistryReport(cfg)}
	for _, step := range []func(context.Context) error{
		b.connect, r.produce, r.drain, r.load, r.lookups, r.barriers, r.restarts,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	r.report.LoadAfter = loadAverage()
	if cfg.JSON != "" {
		if err := save(cfg.JSON, r.report); err != nil {
			return err
		}
	}
	return r.report.write(out)
}

// produce puts every object and its key into the log.
func (r *registryBench) produce(ctx context.Context) error {
	r.say("producing %d objects and as many data keys", r.cfg.Objects)
	took, bytes, err := produceObjects(ctx, r.kafka, r.cfg.Objects, r.log, func(done int) {
		r.say("  %d of %d objects", done, r.cfg.Objects)
	})
	r.report.Produced = Transfer{Records: int64(2 * r.cfg.Objects), Bytes: bytes, Took: took}
	return err
}

// drain reads what the registry is going to read and throws it away: what loading it can cost at the least.
func (r *registryBench) drain(ctx context.Context) error {
	var err error
	r.report.Limit, err = r.bench.drain(ctx, topic.Objects, topic.SubjectKeys)
	return err
}

// drain reads topics with a consumer that does nothing else, in a process of its own.
func (b *bench) drain(ctx context.Context, topics ...topic.Name) (t Transfer, err error) {
	b.say("reading it with a bare consumer")
	c, err := start(ctx, spec{
		Role: roleDrain, Brokers: b.kafka.Brokers, Prefix: b.kafka.Prefix, Dir: filepath.Join(b.dir, roleDrain), Topics: topics,
	})
	if err != nil {
		return t, err
	}
	err = c.ask(ctx, http.MethodPost, "/drain", &t)
	return t, errors.Join(err, c.stop())
}

// open starts the process of the registry and waits until it is up to date.
func (r *registryBench) open(ctx context.Context) (Start, error) {
	began := time.Now()
	if err := r.launch(ctx); err != nil {
		return Start{}, err
	}
	return r.ready(ctx, began)
}

func (r *registryBench) launch(ctx context.Context) (err error) {
	r.server, err = start(ctx, spec{
		Role: roleRegistry, Brokers: r.kafka.Brokers, Prefix: r.kafka.Prefix, Dir: r.views, Log: "warn",
	})
	return err
}

// ready waits until the registry is up to date.
func (r *registryBench) ready(ctx context.Context, began time.Time) (Start, error) {
	return r.awaitReady(ctx, r.server, began, 2*r.cfg.Objects)
}

// awaitReady waits until a server is ready that loads so many records.
func (b *bench) awaitReady(ctx context.Context, c *child, began time.Time, records int) (Start, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(loadLimit)
	said := began
	for {
		state, err := c.state(ctx)
		if err != nil {
			return Start{}, err
		}
		if state.Ready {
			return Start{Took: time.Since(began), Records: state.Records, Resident: state.Resident, Peak: state.Peak, CPU: state.CPU}, nil
		}
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			b.say("  %d of %d records, %d MiB resident", state.Records, max(int64(records), state.Records), state.Resident>>20)
		}
		select {
		case <-tick.C:
		case <-limit:
			return Start{}, fmt.Errorf("server %s was not ready after %s", c.role, loadLimit)
		case <-ctx.Done():
			return Start{}, ctx.Err()
		}
	}
}

// state asks a server that loads something how far it is.
func (c *child) state(ctx context.Context) (serverState, error) {
	var s serverState
	return s, c.ask(ctx, http.MethodGet, "/state", &s)
}

func (r *registryBench) load(ctx context.Context) error {
	r.say("loading a registry")
	began := time.Now()
	if err := r.launch(ctx); err != nil {
		return err
	}
	profiled := func() error { return nil }
	if r.cfg.Profile != "" {
		if err := os.MkdirAll(r.cfg.Profile, 0o750); err != nil {
			return fmt.Errorf("make folder of profiles: %w", err)
		}
		profiled = r.server.profile(ctx, filepath.Join(r.cfg.Profile, "load.cpu.prof"), profileTime)
	}
	var err error
	if r.report.Load, err = r.ready(ctx, began); err != nil {
		return err
	}
	if r.report.Disk, err = diskUsage(r.views); err != nil {
		return err
	}
	return profiled()
}

// lookups measures reads of a log at rest.
func (r *registryBench) lookups(ctx context.Context) error {
	r.say("looking up")
	for _, kind := range []string{byID, byExternalID} {
		for _, known := range []bool{true, false} {
			row := LookupRow{By: kind, Known: known}
			var err error
			if row.Local, err = r.look(ctx, lookSpec{by: kind, known: known, workers: 2}); err != nil {
				return err
			}
			if row.Exact, err = r.look(ctx, lookSpec{by: kind, known: known, workers: r.cfg.Readers, exact: true}); err != nil {
				return err
			}
			r.report.Lookups = append(r.report.Lookups, row)
		}
	}
	return nil
}

// barriers measures exact reads while the log is written to.
func (r *registryBench) barriers(ctx context.Context) error {
	for _, readers := range []int{1, r.cfg.Readers} {
		for _, rate := range []int{0, r.cfg.Rate} {
			r.say("reading exactly: %d readers, %d objects written a second", readers, rate)
			row := BarrierRow{Readers: readers, Rate: rate}
			err := whileWriting(ctx, r.kafka, r.cfg.Objects, rate, r.log, func(ctx context.Context) error {
				before, err := r.server.state(ctx)
				if err != nil {
					return err
				}
				if row.Reads, err = r.look(ctx, lookSpec{by: byExternalID, known: true, workers: readers, exact: true}); err != nil {
					return err
				}
				after, err := r.server.state(ctx)
				row.Asked = float64(after.EndRequests-before.EndRequests) / row.Reads.Took.Seconds()
				row.Applied = float64(after.Records-before.Records) / row.Reads.Took.Seconds()
				return err
			})
			if err != nil {
				return err
			}
			r.report.Barriers = append(r.report.Barriers, row)
		}
	}
	state, err := r.server.state(ctx)
	r.report.AfterReads = state
	return err
}

// lookSpec says which reads are measured.
type lookSpec struct {
	by      string
	known   bool
	exact   bool
	workers int
}

func (r *registryBench) look(ctx context.Context, l lookSpec) (Reads, error) {
	query := url.Values{
		"by": {l.by}, "known": {strconv.FormatBool(l.known)}, "exact": {strconv.FormatBool(l.exact)},
		"workers": {strconv.Itoa(l.workers)}, "objects": {strconv.Itoa(r.cfg.Objects)}, "time": {r.cfg.Time.String()},
	}
	var reads Reads
	return reads, r.server.ask(ctx, http.MethodPost, "/look?"+query.Encode(), &reads)
}

// restarts measures how the registry comes back, after it was stopped and after it was killed.
func (r *registryBench) restarts(ctx context.Context) error {
	r.say("starting it again")
	if err := r.server.stop(); err != nil {
		return err
	}
	var err error
	if r.report.Restart, err = r.open(ctx); err != nil {
		return err
	}
	r.say("killing it and starting it again")
	if err := r.server.kill(); err != nil {
		return err
	}
	if r.report.Killed, err = r.open(ctx); err != nil {
		return err
	}
	return r.server.stop()
}

// diskUsage is what a folder's files hold, in bytes.
func diskUsage(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return ignoreMissing(err)
		}
		info, err := entry.Info()
		if err == nil {
			sum += info.Size()
		}
		return ignoreMissing(err)
	})
	if err != nil {
		return 0, fmt.Errorf("measure folder: %w", err)
	}
	return sum, nil
}

// ignoreMissing lets a store delete its files while they are counted.
func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
