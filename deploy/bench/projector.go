package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/throughline/throughline/projector"
	"github.com/throughline/throughline/schema/stream"
)

// projectorBench is one measurement of the projector.
type projectorBench struct {
	*bench

	database

	cfg    ProjectorConfig
	insert *child
}

// Projector measures rows a second from the log into the tables, beside the client library that inserts the same rows into
// tables of the same kind.
func Projector(ctx context.Context, cfg ProjectorConfig, out, progress io.Writer, log *slog.Logger) error {
	report, err := measureProjector(ctx, cfg, progress, log)
	if err != nil {
		return err
	}
	if cfg.JSON != "" {
		if err := save(cfg.JSON, report); err != nil {
			return err
		}
	}
	return report.write(out)
}

func measureProjector(ctx context.Context, cfg ProjectorConfig, progress io.Writer, log *slog.Logger) (report *ProjectorReport, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b, err := newBench(Config{Kafka: cfg.Kafka, Brokers: cfg.Brokers}, progress, log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.opened.Close()) }()
	p := &projectorBench{bench: b, cfg: cfg}
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	report = newProjectorReport(cfg)
	for round := range cfg.Rounds {
		b.say("round %d of %d, load %s", round+1, cfg.Rounds, loadAverage())
		pair, err := b.pair(ctx, round,
			func(ctx context.Context) (Figures, error) { return p.ours(ctx, round+1, round == cfg.Rounds-1) },
			func(ctx context.Context) (Figures, error) { return p.limit(ctx, round+1) })
		if err != nil {
			return nil, err
		}
		report.Rounds = append(report.Rounds, pair)
	}
	report.LoadAfter = loadAverage()
	return report, nil
}

// prepare starts the servers, fills the log, and has the projector make the rows once, which warms everything up.
func (p *projectorBench) prepare(ctx context.Context) error {
	if err := p.connect(ctx); err != nil {
		return err
	}
	var err error
	if p.database, err = p.startDatabase(ctx); err != nil {
		return err
	}
	p.say("producing %d events", p.cfg.Events)
	if err := p.produceLinked(ctx, p.cfg.Events); err != nil {
		return err
	}
	p.say("making their rows")
	if _, err := p.ours(ctx, 0, false); err != nil {
		return err
	}
	source := p.store
	source.Database = roundName(0)
	p.insert, err = p.start(ctx, spec{Role: roleInsert, Dir: filepath.Join(p.dir, roleInsert), Store: source, Block: p.cfg.Block, Log: "warn"})
	return err
}

func roundName(round int) string { return fmt.Sprintf("round_%d", round) }

// ours has a projector read the log from its start. The tables of round 0 stay: the limit reads its rows from them.
func (p *projectorBench) ours(ctx context.Context, round int, last bool) (f Figures, err error) {
	to, err := p.tables(ctx, roundName(round))
	if err != nil {
		return f, err
	}
	if err := p.rewind(ctx); err != nil {
		return f, err
	}
	server, err := start(ctx, spec{
		Role: roleProjector, Brokers: p.kafka.Brokers, Prefix: p.kafka.Prefix, Store: to, Log: "warn",
		Dir: filepath.Join(p.dir, fmt.Sprintf("%s-%d", roleProjector, round)),
	})
	if err != nil {
		return f, err
	}
	wait := func() error { return nil }
	if last && p.cfg.Profile != "" {
		if err := os.MkdirAll(p.cfg.Profile, 0o750); err != nil {
			return f, errors.Join(fmt.Errorf("make folder of profiles: %w", err), server.stop())
		}
		wait = server.profile(ctx, filepath.Join(p.cfg.Profile, "projector.cpu.prof"), profileTime)
	}
	s, err := p.ask(ctx, server, fmt.Sprintf("/project?rows=%d", p.cfg.Events*rowsEach))
	err = errors.Join(err, wait(), server.stop())
	if err == nil && round > 0 {
		err = p.drop(ctx, to.Database)
	}
	return s.figures(), err
}

// limit inserts the same rows.
func (p *projectorBench) limit(ctx context.Context, round int) (f Figures, err error) {
	to, err := p.tables(ctx, roundName(round)+"_limit")
	if err != nil {
		return f, err
	}
	s, err := p.ask(ctx, p.insert, "/insert?rows=0&database="+to.Database)
	if err != nil {
		return f, err
	}
	if want := int64(p.cfg.Events * rowsEach); s.Rows != want {
		return f, fmt.Errorf("the limit inserted %d rows, want %d", s.Rows, want)
	}
	return s.figures(), p.drop(ctx, to.Database)
}

// ask has a server put rows into tables, and measures the database meanwhile.
func (p *projectorBench) ask(ctx context.Context, server *child, path string) (s stored, err error) {
	before, err := processorTimeOf(p.server.Pid())
	if err != nil {
		return s, err
	}
	if err := server.ask(ctx, http.MethodPost, path, &s); err != nil {
		return s, err
	}
	after, err := processorTimeOf(p.server.Pid())
	s.Server = after - before
	return s, err
}

// figures are those of a row; in Figures a row stands for an event.
func (s stored) figures() Figures {
	if s.Rows == 0 || s.Took == 0 {
		return Figures{}
	}
	n := float64(s.Rows)
	return Figures{
		EventsPerSecond: n / s.Took.Seconds(), CPU: time.Duration(float64(s.CPU) / n), Mallocs: float64(s.Mallocs) / n,
		AllocBytes: float64(s.AllocBytes) / n, Resident: s.Peak,
		Database: time.Duration(float64(s.Server) / n), RowsAnInsert: n / float64(max(s.Inserts, 1)),
	}
}

// rewind takes the projector's groups, which have no members, back to the start of the log.
func (p *projectorBench) rewind(ctx context.Context) error {
	client, err := stream.Open(p.kafka, p.log, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	for _, g := range projector.Groups() {
		starts, err := admin.ListStartOffsets(ctx, p.kafka.Topics(g.Topics...)...)
		if err == nil {
			err = admin.CommitAllOffsets(ctx, p.kafka.Group(g.Name), starts.Offsets())
		}
		if err != nil {
			return fmt.Errorf("rewind %s: %w", g.Name, err)
		}
	}
	return nil
}
