package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/throughline/throughline/ingest/link"
	"github.com/throughline/throughline/projector"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// The aims of the whole: how much of its limit it reaches, and how soon what was posted can be read.
const (
	aimSustained    = 0.60
	aimFreshnessP50 = 300
	aimFreshnessP99 = 1000
)

// systemBench is one measurement of the whole: every service in a process of its own.
type systemBench struct {
	*bench
	database

	cfg         SystemConfig
	lags        lags
	kafkaPids   []int
	link, query *child
	project     *child
	sum         *Summary
	// hops is the processor time that an event takes in all hops, each measured alone.
	hops time.Duration
	// projected is how many rows a second the projector made alone.
	projected float64
	// rate is that of the measurement of freshness, in events a second.
	rate int
}

// System measures each hop of an event alone, all of them together, and how soon an event can be read.
func System(ctx context.Context, cfg SystemConfig, out, progress io.Writer, log *slog.Logger) error {
	sum := newSummary()
	if err := measureSystem(ctx, cfg, sum, progress, log); err != nil {
		return err
	}
	return sum.finish(cfg.JSON, out)
}

func measureSystem(ctx context.Context, cfg SystemConfig, sum *Summary, progress io.Writer, log *slog.Logger) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	b, err := newBench(Config{Kafka: cfg.Kafka, Brokers: cfg.Brokers}, progress, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.opened.Close()) }()
	s := &systemBench{bench: b, cfg: cfg, sum: sum}
	for _, step := range []func(context.Context) error{
		s.prepare, s.edgeAlone, s.linkAlone, s.projectorAlone, s.rebuild, s.sustained, s.freshness, s.processes,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// openEdge starts the brokers and an edge without a linker, and makes a workspace with a key and objects.
func (b *bench) openEdge(ctx context.Context) (err error) {
	if err := b.connect(ctx); err != nil {
		return err
	}
	if _, err := stream.EnsureTopics(ctx, b.kafka, stream.Deps{Log: b.log}, transactTopics(b.cfg.partitions(), len(decisionTopics())), 1); err != nil {
		return err
	}
	b.edge, err = b.start(ctx, spec{
		Role: roleEdge, Brokers: b.kafka.Brokers, Prefix: b.kafka.Prefix, Dir: filepath.Join(b.dir, roleEdge), Log: "info",
	})
	if err != nil {
		return err
	}
	b.key, err = b.seed(ctx)
	return err
}

// prepare starts what the first measurement needs.
func (s *systemBench) prepare(ctx context.Context) (err error) {
	if err := s.openEdge(ctx); err != nil {
		return err
	}
	if s.database, err = s.startDatabase(ctx); err != nil {
		return err
	}
	if s.store, err = s.tables(ctx, "whole"); err != nil {
		return err
	}
	if s.lags, err = s.openLags(s.kafka); err != nil {
		return err
	}
	s.kafkaPids, err = s.brokerPids()
	return err
}

// batchOf is how many events a batch has that is posted to the whole.
const batchOf = 500

// post posts so many events in batches, as fast as they are answered.
func (b *bench) post(ctx context.Context, events int) (load, error) {
	var sent atomic.Int64
	requests := batchRequests(b.edge.Addr, b.key, "objectId", batchOf)
	const senders = 4
	return drive(ctx, b.edge.Addr, requests, senders, func(_ int, _ time.Time, exchange func(time.Time) error) error {
		for int(sent.Add(batchOf)) <= events {
			if err := exchange(time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
}

// alone measures one hop: events a second, and processor time an event, that of the brokers included.
func (s *systemBench) alone(name string, events float64, took, used time.Duration) float64 {
	each := time.Duration(float64(used) / events)
	s.hops += each
	s.sum.add(Measure{Part: name, Name: "alone, processor time an event with the brokers'", Unit: "µs", Ours: 1000 * milliseconds(each)})
	return events / took.Seconds()
}

func (s *systemBench) edgeAlone(ctx context.Context) error {
	s.say("the edge alone, load %s", loadAverage())
	m, err := newMeter(append(s.kafkaPids, s.edge.cmd.Process.Pid)...)
	if err != nil {
		return err
	}
	l, err := s.post(ctx, s.cfg.Events)
	if err != nil {
		return err
	}
	used, err := m.used()
	rate := s.alone("edge", float64(l.requests*batchOf), l.took, used)
	s.sum.add(Measure{Part: "edge", Name: "alone, batches", Unit: "events/s", Ours: rate})
	return err
}

// drains measures how fast a process reads what waits for its groups.
func (s *systemBench) drains(ctx context.Context, c *child, readings []reading, also ...int) (share float64, took, used time.Duration, err error) {
	var m meter
	share, took, err = s.lags.drained(ctx, readings, func() (err error) {
		m, err = newMeter(append(append(also, s.kafkaPids...), c.cmd.Process.Pid)...)
		return err
	})
	if err == nil {
		used, err = m.used()
	}
	return share, took, used, err
}

// linkAlone measures link beside the bare loop of consuming, producing and committing the same records.
func (s *systemBench) linkAlone(ctx context.Context) (err error) {
	events := float64(s.cfg.Events / batchOf * batchOf)
	s.say("a bare transaction loop, load %s", loadAverage())
	topics := []topic.Name{topic.Submissions}
	bare, err := start(ctx, spec{
		Role: roleTransact, Brokers: s.kafka.Brokers, Prefix: s.kafka.Prefix, Dir: filepath.Join(s.dir, roleTransact), Log: "warn", Topics: topics,
	})
	if err != nil {
		return err
	}
	share, took, _, err := s.drains(ctx, bare, []reading{{transactGroup, topics}})
	if err := errors.Join(err, bare.stop()); err != nil {
		return err
	}
	limit := events * share / took.Seconds()
	s.say("link alone, load %s", loadAverage())
	s.link, err = s.start(ctx, spec{
		Role: roleLink, Brokers: s.kafka.Brokers, Prefix: s.kafka.Prefix, Dir: filepath.Join(s.dir, roleLink), Log: "warn",
	})
	if err != nil {
		return err
	}
	share, took, used, err := s.drains(ctx, s.link, linkReads())
	if err != nil {
		return err
	}
	rate := s.alone("link", events*share, took, used)
	s.sum.add(Measure{Part: "link", Name: "alone", Unit: "events/s", Ours: rate, Limit: limit, By: "the client library's loop of the same records"})
	return nil
}

func linkReads() []reading { return []reading{{link.Group, []topic.Name{topic.Submissions}}} }

func projectorReads() (all []reading) {
	for _, g := range projector.Groups() {
		all = append(all, reading{g.Name, g.Topics})
	}
	return all
}

func (s *systemBench) projectorAlone(ctx context.Context) (err error) {
	s.say("the projector alone, load %s", loadAverage())
	s.project, err = s.start(ctx, spec{
		Role: roleProjector, Brokers: s.kafka.Brokers, Prefix: s.kafka.Prefix, Store: s.store, Log: "warn", Dir: filepath.Join(s.dir, roleProjector),
	})
	if err != nil {
		return err
	}
	share, took, used, err := s.drains(ctx, s.project, projectorReads(), s.server.Pid())
	if err != nil {
		return err
	}
	rate := s.alone("projector", float64(s.cfg.Events/batchOf*batchOf)*share, took, used)
	// The events of the whole are on one timeline each.
	s.projected = 2 * rate
	s.sum.add(Measure{Part: "projector", Name: "alone, with ClickHouse", Unit: "events/s", Ours: rate})
	return nil
}

// sustained measures all hops together, from the first event that is posted until the last is in the tables.
func (s *systemBench) sustained(ctx context.Context) error {
	s.say("all together, load %s", loadAverage())
	began := time.Now()
	l, err := s.post(ctx, s.cfg.Events)
	if err != nil {
		return err
	}
	if err := s.lags.idle(ctx, append(linkReads(), projectorReads()...)); err != nil {
		return err
	}
	rate := float64(l.requests*batchOf) / time.Since(began).Seconds()
	s.sum.add(Measure{
		Part: "end to end", Name: "sustained", Unit: "events/s", Ours: rate,
		Limit: float64(runtime.NumCPU()) / s.hops.Seconds(), By: "processors / the processor time of an event in each hop alone", Aim: aimSustained,
	})
	if s.rate = s.cfg.Rate; s.rate == 0 {
		s.rate = max(1, int(rate/2))
	}
	return nil
}

// used says what every process has used.
func (s *systemBench) used() (all []Used, err error) {
	for _, p := range []struct {
		name string
		pids []int
	}{
		{"edge, conversations", []int{s.edge.cmd.Process.Pid}},
		{"link", []int{s.link.cmd.Process.Pid}},
		{"projector", []int{s.project.cmd.Process.Pid}},
		{"query", []int{s.query.cmd.Process.Pid}},
		{"ClickHouse", []int{s.server.Pid()}},
		{"Kafka", s.kafkaPids},
	} {
		if len(p.pids) == 0 {
			continue // brokers that are somebody else's, or a part of this process
		}
		u, err := usedBy(p.name, p.pids...)
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", p.name, err)
		}
		all = append(all, u)
	}
	return all, nil
}

// processes says at the end what everything has used.
func (s *systemBench) processes(context.Context) (err error) {
	s.sum.Processes, err = s.used()
	return err
}
