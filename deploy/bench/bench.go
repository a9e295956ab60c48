package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/schema/embedded"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// bench is one run.
type bench struct {
	cfg      Config
	dir      string
	progress io.Writer
	log      *slog.Logger
	kafka    stream.Config
	opened   assembly.Closer

	edge, bare, direct *child
	key                string
	toEdge, toBare     [][]byte
	batchesToEdge      [][]byte
}

// Run measures, and writes a table to out. Lines for a person who waits go to progress.
func Run(ctx context.Context, cfg Config, out, progress io.Writer, log *slog.Logger) error {
	report, err := measureEdge(ctx, cfg, out, progress, log)
	if err != nil || report == nil {
		return err
	}
	if cfg.JSON != "" {
		if err := save(cfg.JSON, report); err != nil {
			return err
		}
	}
	return report.write(out)
}

// measureEdge measures the edge. A sweep is written to out at once, and gives no report.
func measureEdge(ctx context.Context, cfg Config, out, progress io.Writer, log *slog.Logger) (report *Report, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b, err := newBench(cfg, progress, log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.opened.Close()) }()
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	if len(cfg.Sweep) > 0 {
		return nil, b.sweep(ctx, out)
	}
	return b.measure(ctx)
}

// newBench makes a run with a folder of its own, which goes when the run is closed.
func newBench(cfg Config, progress io.Writer, log *slog.Logger) (*bench, error) {
	dir, err := os.MkdirTemp("", "throughline-bench-")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	b := &bench{cfg: cfg, dir: dir, progress: progress, log: log}
	b.opened.Add(func() error { return os.RemoveAll(dir) })
	return b, nil
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.progress, format+"\n", args...) // that nobody reads it is no reason to stop
}

// prepare starts the brokers and every server, and puts what the events are about into the log.
func (b *bench) prepare(ctx context.Context) error {
	if err := b.connect(ctx); err != nil {
		return err
	}
	deps := stream.Deps{Log: b.log}
	limits := []topic.Spec{{Name: bareTopic, Partitions: b.cfg.partitions()}, {Name: directTopic, Partitions: b.cfg.partitions()}}
	if _, err := stream.EnsureTopics(ctx, b.kafka, deps, limits, 1); err != nil {
		return err
	}
	for _, c := range []struct {
		to   **child
		role string
	}{{&b.edge, roleEdge}, {&b.bare, roleBare}, {&b.direct, roleDirect}} {
		started, err := b.start(ctx, spec{
			Role: c.role, Brokers: b.kafka.Brokers, Prefix: b.kafka.Prefix, Dir: filepath.Join(b.dir, c.role), Linger: b.cfg.Linger, Link: b.cfg.Link, Log: b.cfg.Log,
		})
		if err != nil {
			return err
		}
		*c.to = started
	}
	key, err := b.seed(ctx)
	if err != nil {
		return err
	}
	b.key = key
	b.toEdge = singleRequests(b.edge.Addr, b.key, b.cfg.Lookup)
	b.toBare = singleRequests(b.bare.Addr, b.key, b.cfg.Lookup)
	b.batchesToEdge = batchRequests(b.edge.Addr, b.key, b.cfg.Lookup, b.cfg.Batch)
	return nil
}

// connect starts the brokers and makes the topics of an installation of its own.
func (b *bench) connect(ctx context.Context) error {
	brokers, err := b.brokers(ctx)
	if err != nil {
		return err
	}
	b.kafka = stream.Config{Brokers: brokers, ClientID: "bench", Prefix: fmt.Sprintf("bench-%d", time.Now().UnixMilli())}
	_, err = assembly.Topics(ctx, b.kafka, stream.Deps{Log: b.log}, b.cfg.partitions(), 1)
	return err
}

// start starts a server and notes that it has to be stopped.
func (b *bench) start(ctx context.Context, s spec) (*child, error) {
	c, err := start(ctx, s)
	if err != nil {
		return nil, err
	}
	b.opened.Add(c.stop)
	return c, nil
}

// brokers are those that are configured, or of a broker that is started.
func (b *bench) brokers(ctx context.Context) ([]string, error) {
	if len(b.cfg.Brokers) > 0 {
		return b.cfg.Brokers, nil
	}
	b.say("starting Kafka (%s)", b.cfg.Kafka)
	dir := filepath.Join(b.dir, "kafka")
	if b.cfg.Kafka == "embedded" {
		kafka, err := embedded.StartKfake(ctx, embedded.KfakeOptions{DataDir: dir, Logger: b.log})
		if err != nil {
			return nil, err
		}
		b.opened.Add(kafka.Close)
		return kafka.Brokers, nil
	}
	kafka, err := embedded.StartApacheKafka(ctx, embedded.ApacheKafkaOptions{DataDir: dir, Progress: b.progress, Logger: b.log})
	if err != nil {
		return nil, err
	}
	b.opened.Add(kafka.Close)
	return kafka.Brokers, nil
}

// warm uses every server until its compiler, its connections and its heap are as they will be.
func (b *bench) warm(ctx context.Context) error {
	b.say("warming up")
	if b.cfg.singles() {
		if _, err := closed(ctx, b.bare.Addr, b.toBare, b.cfg.Clients, b.cfg.Warmup); err != nil {
			return err
		}
		if _, err := closed(ctx, b.edge.Addr, b.toEdge, b.cfg.Clients, b.cfg.Warmup); err != nil {
			return err
		}
	}
	if b.cfg.batches() {
		if _, err := closed(ctx, b.edge.Addr, b.batchesToEdge, b.cfg.Senders, b.cfg.Warmup+time.Second); err != nil {
			return err
		}
		var p produced
		if err := b.direct.ask(ctx, "POST", "/load", &p); err != nil {
			return err
		}
		return b.direct.ask(ctx, "POST", "/produce?time="+b.cfg.Warmup.String(), &p)
	}
	return nil
}
