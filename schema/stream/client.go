package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kprom"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/tlsdial"
	"github.com/throughline/throughline/schema/topic"
)

// Config says where Kafka is and how this installation's names begin.
type Config struct {
	// Brokers are the seed addresses, host:port.
	Brokers []string
	// ClientID names this process in the brokers' logs, quotas and metrics.
	ClientID string
	// Prefix begins the name of every topic, group and transactional id; without a dot at its end.
	Prefix string
	// TLS secures the connections, SASL says who this process is. By default there is neither.
	TLS  tlsdial.Config
	SASL SASL
	// Embedded says that the broker is the in-process one, which does not fence a transactional id as Kafka does:
	// transactional ids then carry a nonce per start.
	Embedded bool
}

// Deps is what every part of this package takes from its service. Reg may be nil: then nothing is measured. So may
// Traces: then records carry no traces.
type Deps struct {
	Log    *slog.Logger
	Reg    prometheus.Registerer
	Traces trace.TracerProvider
}

// Topic is the full name of a topic.
func (c Config) Topic(t topic.Name) string { return c.Prefix + "." + string(t) }

// Topics are the full names of some topics.
func (c Config) Topics(ts ...topic.Name) []string {
	names := make([]string, len(ts))
	for i, t := range ts {
		names[i] = c.Topic(t)
	}
	return names
}

// Group is the full name of a consumer group.
func (c Config) Group(name string) string { return c.Prefix + "." + name }

// Validate reports everything that is wrong with a Config.
func (c Config) Validate() error {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("kafka brokers are missing"))
	}
	if c.ClientID == "" {
		errs = append(errs, errors.New("kafka client id is missing"))
	}
	if c.Prefix == "" {
		errs = append(errs, errors.New("kafka prefix is missing"))
	}
	if err := c.TLS.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("kafka TLS: %w", err))
	}
	errs = append(errs, c.SASL.validate(c.TLS.Enabled))
	return errors.Join(errs...)
}

// with names a client of one part of a process, because metrics and logs are kept apart by it.
func (c Config) with(part string) Config {
	c.ClientID += "-" + part
	return c
}

// Open opens a client with the options that every client of ours has; opts come after them and win. Two clients
// that are open at once need two client ids where they share a registry.
func Open(cfg Config, log *slog.Logger, reg prometheus.Registerer, opts ...kgo.Opt) (*kgo.Client, error) {
	common, err := commonOptions(cfg, log, reg)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(common, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("open kafka client %s: %w", cfg.ClientID, err)
	}
	return client, nil
}

func commonOptions(cfg Config, log *slog.Logger, reg prometheus.Registerer) ([]kgo.Opt, error) {
	if err := cfg.Validate(); err != nil {
		return nil, problem.WithKind(problem.Stop, fmt.Errorf("open kafka client: %w", err))
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID(cfg.ClientID),
		kgo.SoftwareNameAndVersion("throughline", "1"),
		kgo.WithLogger(newLogger(log, cfg.ClientID)),
		// A leader that moved is found at the first refused request; the age only bounds how long a new partition
		// or a recreated topic goes unnoticed. The default of 5 minutes is too long to wait in front of a terminal.
		kgo.MetadataMaxAge(time.Minute),
		// Topics are waited for right after they were created, in tests and in dev: the default floor of 5 s would be
		// paid at every start. 250 ms still bounds the load of a client in trouble to four small requests a second.
		kgo.MetadataMinAge(250 * time.Millisecond),
		// 100 ms, 200 ms … 2 s: a broker's restart takes seconds, and a partition owner must not stay behind it for long.
		kgo.RetryBackoffFn(backoff),
		// A marker that is not written yet answers CONCURRENT_TRANSACTIONS; the next transaction waits in steps of this.
		kgo.ConcurrentTransactionsBackoff(20 * time.Millisecond),
		// What brokers collect about clients over KIP-714 is nobody's business by default.
		kgo.DisableClientMetrics(),
	}
	opts = append(opts, cfg.secureOptions()...)
	if reg == nil {
		return opts, nil
	}
	labelled := prometheus.WrapRegistererWith(prometheus.Labels{"client": cfg.ClientID}, reg)
	open := &openGauge{reg: labelled, gauge: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "throughline_stream_client_open",
		Help: "1 while this Kafka client is open.",
	})}
	// kprom panics where two clients report the same series; a clear error is better.
	if err := labelled.Register(open.gauge); err != nil {
		return nil, fmt.Errorf("open kafka client: client id %q is in use: %w", cfg.ClientID, err)
	}
	open.gauge.Set(1)
	metrics := kprom.NewMetrics("throughline_kafka", kprom.Registerer(labelled))
	return append(opts, kgo.WithHooks(metrics, open)), nil
}

// openGauge gives the client id free again when the client closes.
type openGauge struct {
	reg   prometheus.Registerer
	gauge prometheus.Gauge
}

// OnClientClosed implements kgo.HookClientClosed.
func (o *openGauge) OnClientClosed(*kgo.Client) { o.reg.Unregister(o.gauge) }

func backoff(tries int) time.Duration {
	return min(100*time.Millisecond<<min(max(tries-1, 0), 5), 2*time.Second)
}

// logger passes what the client library logs to slog, one level down: its info level tells of every transaction, its
// warnings of every connection that is refused while a broker is away. What that means is told by who uses the client.
type logger struct {
	log *slog.Logger
}

func newLogger(log *slog.Logger, client string) *logger {
	return &logger{log: log.With("client", client)}
}

// Level implements kgo.Logger.
func (l *logger) Level() kgo.LogLevel {
	ctx := context.Background()
	switch {
	case l.log.Enabled(ctx, slog.LevelDebug):
		return kgo.LogLevelInfo
	case l.log.Enabled(ctx, slog.LevelInfo):
		return kgo.LogLevelWarn
	case l.log.Enabled(ctx, slog.LevelWarn):
		return kgo.LogLevelError
	default:
		return kgo.LogLevelNone
	}
}

// Log implements kgo.Logger.
func (l *logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelDebug
	switch level {
	case kgo.LogLevelError:
		to = slog.LevelWarn
	case kgo.LogLevelWarn:
		to = slog.LevelInfo
	default:
	}
	attrs := append([]any{slog.String("detail", msg)}, keyvals...)
	l.log.Log(context.Background(), to, "kafka client", attrs...)
}
