package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/schema/embedded"
	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// servers are Kafka and ClickHouse, started here or only addressed.
type servers struct {
	kafka         stream.Config
	kafkaName     string
	partitions    int
	write, read   store.Config
	clickhouse    string
	clickhouseEnd run.Service // watches the engine; its Run is nil where it is not ours
	opened        assembly.Closer
}

// close stops what was started here, Kafka last: it is the truth, and whoever still writes must find it.
func (s *servers) close() error { return s.opened.Close() }

// startServers starts what the configuration does not name an address of. On an error nothing is left running.
func startServers(ctx context.Context, cfg Config, data *folder, progress io.Writer, log *slog.Logger) (*servers, error) {
	s := &servers{partitions: topic.EmbeddedPartitions}
	err := s.startKafka(ctx, cfg, data, progress, log)
	if err == nil {
		err = s.startClickHouse(ctx, cfg, data, progress, log)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *servers) startKafka(ctx context.Context, cfg Config, data *folder, progress io.Writer, log *slog.Logger) error {
	var err error
	if s.kafka, err = cfg.Kafka.Config("throughline-dev"); err != nil {
		return err
	}
	kind, _ := cfg.kinds()
	switch kind {
	case kindExternal:
		s.kafkaName = "your own"
		return assembly.Reach(ctx, s.kafka, log)
	case kindApache:
		say(progress, "starting Apache Kafka")
		kafka, err := embedded.StartApacheKafka(ctx, embedded.ApacheKafkaOptions{
			DataDir: data.in("kafka"), Progress: progress, Logger: log,
		})
		if err != nil {
			return fmt.Errorf("start Apache Kafka: %w", err)
		}
		s.opened.Add(kafka.Close)
		s.kafka.Brokers, s.kafkaName = kafka.Brokers, "Apache Kafka"
		return nil
	default:
		say(progress, "starting Kafka (embedded)")
		kafka, err := embedded.StartKfake(ctx, embedded.KfakeOptions{DataDir: data.in("kafka"), Logger: log})
		if err != nil {
			return fmt.Errorf("start the embedded Kafka: %w", err)
		}
		s.opened.Add(kafka.Close)
		s.kafka.Brokers, s.kafkaName, s.kafka.Embedded = kafka.Brokers, "embedded", true
		return nil
	}
}

func (s *servers) startClickHouse(ctx context.Context, cfg Config, data *folder, progress io.Writer, log *slog.Logger) error {
	var err error
	if _, kind := cfg.kinds(); kind == kindExternal {
		s.clickhouse = "your own"
		if s.write, err = cfg.ClickHouse.Config(); err != nil {
			return err
		}
		s.read, err = cfg.ClickHouse.ReadConfig(cfg.Reader)
		return err
	}
	say(progress, "starting ClickHouse")
	engine, err := embedded.StartClickHouse(ctx, embedded.ClickHouseOptions{
		DataDir: data.in("clickhouse"), Progress: progress, Logger: log,
	})
	if err != nil {
		return fmt.Errorf("start ClickHouse: %w", err)
	}
	s.opened.Add(engine.Close)
	// The password is new with every start and good for reading only, on this machine only.
	sql := url.URL{
		Scheme: "http", Host: engine.HTTPAddr, Path: "/", User: url.UserPassword(engine.ReadUser, engine.ReadPassword),
		RawQuery: url.Values{"database": {cfg.ClickHouse.Database}}.Encode(),
	}
	s.clickhouse = "embedded, read-only SQL at " + sql.String()
	s.write = store.Config{Addr: engine.Addr, Database: cfg.ClickHouse.Database, User: engine.User, Password: engine.Password}
	s.read = s.write
	s.read.User, s.read.Password = engine.ReadUser, engine.ReadPassword
	s.clickhouseEnd = run.Service{Name: "clickhouse", Run: func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-engine.Done():
			return fmt.Errorf("clickhouse ended: %w", engine.Err())
		}
	}}
	return nil
}

// say writes a line of progress; that nobody can read it is no reason to stop.
func say(progress io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(progress, "throughline: "+format+"\n", args...)
}
