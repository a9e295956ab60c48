package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/ingest/link"
	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// LinkReloadConfig says how large a window is measured. The tags are kong's.
type LinkReloadConfig struct {
	Events  int      `name:"events" default:"1000000" help:"Events of the last day, all in one partition."`
	Kafka   string   `name:"kafka" default:"apache" enum:"apache,embedded" help:"Which broker to start where KAFKA_BROKERS names none."`
	Brokers []string `name:"brokers" env:"KAFKA_BROKERS" placeholder:"HOST:PORT" help:"Brokers to use instead of one that is started."`
	JSON    string   `name:"json" placeholder:"FILE" help:"Write every figure to this file."`
	Profile string   `name:"profile" placeholder:"FOLDER" help:"Write a profile of the load without a store into this folder."`
}

// aimReload is how long a linker may take until it goes on.
const aimReload = 10 * time.Second

// LinkReloadReport is every figure of a run.
type LinkReloadReport struct {
	Time       time.Time        `json:"time"`
	Go         string           `json:"go"`
	Processors int              `json:"processors"`
	LoadBefore string           `json:"loadBefore"`
	LoadAfter  string           `json:"loadAfter"`
	Config     LinkReloadConfig `json:"config"`
	// Limit is a bare consumer of the same partition.
	Limit Transfer `json:"limit"`
	// Empty is a start with nothing to load.
	Empty Start `json:"empty"`
	// Lost is one without a store; Kept goes on from it after transactions and a stop, Killed after kill -9 under load.
	Lost   Start `json:"lost"`
	Kept   Start `json:"kept"`
	Killed Start `json:"killed"`
	// Halfway goes on from a load without a store that was killed in its middle.
	Halfway Start `json:"halfway"`
}

// LinkReload measures how a linker comes back with a large window in one partition: the last day's events, by which it
// knows repeats.
func LinkReload(ctx context.Context, cfg LinkReloadConfig, out, progress io.Writer, log *slog.Logger) (err error) {
	if cfg.Events < 1 || cfg.Events > 1e9 {
		return fmt.Errorf("events is %d, want 1 to 1000000000", cfg.Events)
	}
	b, err := newBench(Config{Kafka: cfg.Kafka, Brokers: cfg.Brokers}, progress, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.opened.Close()) }()
	if err := b.connect(ctx); err != nil {
		return err
	}
	r := &LinkReloadReport{Time: time.Now().UTC(), Go: runtime.Version(), Processors: runtime.NumCPU(), LoadBefore: loadAverage(), Config: cfg}
	rb := &reloadBench{bench: b, cfg: cfg, report: r, dir: filepath.Join(b.dir, roleLink)}
	if rb.lags, err = b.openLags(b.kafka); err != nil {
		return err
	}
	if r.Empty, err = b.startLink(ctx, rb.dir+"-empty", "", (*child).stop); err != nil {
		return err
	}
	if err := b.produceEvents(ctx, cfg.Events); err != nil {
		return err
	}
	if r.Limit, err = b.drain(ctx, topic.Events); err != nil {
		return err
	}
	if err := rb.starts(ctx); err != nil {
		return err
	}
	r.LoadAfter = loadAverage()
	if cfg.JSON != "" {
		if err := save(cfg.JSON, r); err != nil {
			return err
		}
	}
	return r.write(out)
}

// startLink starts a linker, waits until it links, and ends it.
func (b *bench) startLink(ctx context.Context, dir, profile string, end func(*child) error) (Start, error) {
	b.say("starting a linker")
	began := time.Now()
	c, err := b.launchLink(ctx, dir)
	if err != nil {
		return Start{}, err
	}
	profiled := func() error { return nil }
	if profile != "" {
		if err := os.MkdirAll(profile, 0o750); err != nil {
			return Start{}, errors.Join(fmt.Errorf("make folder of profiles: %w", err), c.stop())
		}
		profiled = c.profile(ctx, filepath.Join(profile, "link.cpu.prof"), profileTime)
	}
	s, err := b.awaitReady(ctx, c, began, 0)
	return s, errors.Join(err, profiled(), end(c))
}

// produceEvents appends events to partition 0 as link does, spread evenly over the last day.
func (b *bench) produceEvents(ctx context.Context, n int) error {
	b.say("producing %d events", n)
	// No timeout of records: the client counts it from a record's time, which is up to a day ago here.
	client, err := kgo.NewClient(kgo.SeedBrokers(b.kafka.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MaxBufferedBytes(64<<20), kgo.MaxBufferedRecords(1<<20))
	if err != nil {
		return fmt.Errorf("open producer: %w", err)
	}
	defer client.Close()
	name, now := b.kafka.Topic(topic.Events), time.Now()
	failed := make(chan error, 1)
	for i := range n {
		at := now.Add(-link.Window / time.Duration(n+1) * time.Duration(n-i)).Truncate(time.Millisecond)
		e := event.Event{
			ID: manyID(i), Workspace: benchWorkspace, Type: object.Customer, ObjectID: manyID(i / 20), Name: "Help center viewed",
			OccurredAt: event.TimeOf(at), ReceivedAt: event.TimeOf(at), KeyID: manyID(-i), Sealed: bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 120),
			Links: []event.Link{{Type: object.Customer, ID: manyID(i / 20), Kind: event.LinkPrimary}},
		}
		value, err := e.Encode()
		if err != nil {
			return err
		}
		envelope := topic.Envelope{ID: e.ID, Type: topic.TypeEvent, Workspace: e.Workspace, Time: at}
		digest := topic.Header{Key: topic.HeaderDigest, Value: "00112233445566778899aabbccddeeff"}
		client.Produce(ctx, &kgo.Record{
			Topic: name, Key: topic.Key(e.Workspace, string(e.Type), e.ObjectID), Value: value, Timestamp: at, Headers: stream.Headers(envelope.Headers(digest)),
		}, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return fmt.Errorf("produce events: %w", err)
	}
	select {
	case err := <-failed:
		return fmt.Errorf("produce events: %w", err)
	default:
		return nil
	}
}

// serveLink is a process that has a linker, and the registry that it needs.
func serveLink(ctx context.Context, s spec, log *slog.Logger, stdout io.Writer) (err error) {
	master, err := benchMaster()
	if err != nil {
		return err
	}
	kafka := func(part string) stream.Config {
		return stream.Config{Brokers: s.Brokers, ClientID: "throughline-" + part, Prefix: s.Prefix}
	}
	reg := run.NewRegistry()
	objects, err := registry.Open(ctx, registry.Config{Dir: filepath.Join(s.Dir, "registry")},
		registry.Deps{Kafka: kafka("registry"), Master: master, Log: log, Reg: reg})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, objects.Close()) }()
	cfg := link.DefaultConfig()
	cfg.Dir = filepath.Join(s.Dir, "link")
	linker, err := link.New(cfg, link.Deps{Kafka: kafka("link"), Objects: objects, Log: log, Reg: reg})
	if err != nil {
		return err
	}
	control := http.NewServeMux()
	control.HandleFunc("GET /state", func(w http.ResponseWriter, r *http.Request) {
		state := serverState{Ready: linker.Ready(r.Context()) == nil}
		var err error
		state.Records, err = measured(reg, "throughline_link_window_read_events_total")
		answerState(w, state, err)
	})
	front, err := listen(ctx, log, nil, control, stdout)
	if err != nil {
		return err
	}
	back := []run.Service{{Name: "registry", Run: objects.Run}, {Name: "link", Run: linker.Run}}
	return ended(assembly.Serve(ctx, log, assembly.Stop{Front: 5 * time.Second, Back: 30 * time.Second}, front, back))
}

func (r *LinkReloadReport) write(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s, %d processors, %s; load %s before, %s after; %d events in one partition\n\n",
		r.Time.Format(time.DateOnly), r.Processors, r.Go, r.LoadBefore, r.LoadAfter, r.Config.Events)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) } // a strings.Builder takes everything
	line("\ttime, s\tevents read\tprocessor time, s\tmost resident, MiB\taim")
	line("a bare consumer reads the events\t%.1f\t%d\t\t\t", r.Limit.Took.Seconds(), r.Limit.Records)
	for _, row := range []struct {
		name string
		Start
	}{
		{"a linker starts, nothing to load", r.Empty},
		{"its store is lost", r.Lost},
		{"its store is there after a stop", r.Kept},
		{"its store is there after kill -9 under load", r.Killed},
		{"its load without a store was killed halfway", r.Halfway},
	} {
		line("%s\t%.1f\t%d\t%.1f\t%.0f\tat most %.0f s: %s", row.name, row.Took.Seconds(), row.Records, row.CPU.Seconds(), mebibytes(row.Peak),
			aimReload.Seconds(), verdict(row.Took <= aimReload))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
