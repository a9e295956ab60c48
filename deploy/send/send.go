package send

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/throughline/throughline/deploy/client"
	"github.com/throughline/throughline/deploy/meter"
	"github.com/throughline/throughline/schema/run"
)

// attemptTimeout bounds one attempt at a batch: 4 MiB over a slow line, and a server that is busy.
const attemptTimeout = time.Minute

// Run sends the files of a configuration, one after the other, and returns what became of their lines. An error says
// where it stopped and how to go on.
func Run(ctx context.Context, cfg Config, deps Deps) (Totals, error) {
	return runWith(ctx, cfg, deps, standardLimits())
}

func runWith(ctx context.Context, cfg Config, deps Deps, l limits) (Totals, error) {
	var all Totals
	if err := cfg.Validate(); err != nil {
		return all, err
	}
	key, err := cfg.secret()
	if err != nil {
		return all, err
	}
	for _, name := range cfg.Files {
		f := &sending{cfg: cfg, deps: deps, limits: l, key: key, name: name}
		totals, err := f.run(ctx)
		all.Accepted += totals.Accepted
		all.Refused += totals.Refused
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// sending is one input being sent.
type sending struct {
	cfg    Config
	deps   Deps
	limits limits
	key    string
	name   string

	statePath, refusedPath string
}

func (f *sending) run(ctx context.Context) (totals Totals, err error) {
	src, err := open(f.name, f.deps.Stdin)
	if err != nil {
		return totals, err
	}
	defer func() { err = errors.Join(err, src.close()) }()
	from, err := f.begin(src)
	if err != nil {
		return totals, fmt.Errorf("send %s: %w", src.label, err)
	}
	if from.Complete {
		f.say("%s was sent on %s: %s. --restart sends it again.", src.label, from.UpdatedAt.Local().Format(time.DateTime), f.outcome(from.totals()))
		return from.totals(), nil
	}
	if from.Sent.Line > 0 {
		f.say("%s: going on after line %s", src.label, meter.Thousands(from.Sent.Line))
	}
	refused, err := openRefused(f.refusedPath, from.RefusedBytes)
	if err != nil {
		return totals, err
	}
	defer func() { err = errors.Join(err, refused.close()) }()

	t := newTracker(from, refused)
	sendErr := f.send(ctx, src, from.Sent, t)
	if sendErr == nil {
		sendErr = t.finish()
	}
	saveErr := t.save(f.statePath)
	sent, totals := t.sent()
	if sendErr != nil {
		return totals, errors.Join(f.stopped(src, sent, sendErr), saveErr)
	}
	if saveErr != nil {
		return totals, saveErr
	}
	f.say("%s: %s", src.label, f.outcome(totals))
	return totals, nil
}

// begin finds out where to go on.
func (f *sending) begin(src *source) (*state, error) {
	f.statePath, f.refusedPath = f.cfg.State, f.cfg.Refused
	base := src.name
	if base == Stdin {
		base = "stdin"
	}
	if f.refusedPath == "" {
		f.refusedPath = base + refusedSuffix
	}
	url, err := client.ParseURL(f.cfg.URL)
	if err != nil {
		return nil, err
	}
	fresh := &state{Version: stateVersion, Kind: f.cfg.kind(), URL: url, File: src.print}
	if !src.resumable() {
		f.statePath = ""
		f.say("%s cannot be read again: if this is cut off, it cannot go on where it was", src.label)
		return fresh, nil
	}
	if f.statePath == "" {
		f.statePath = base + stateSuffix
	}
	from := fresh
	if !f.cfg.Restart {
		old, err := loadState(f.statePath)
		if err != nil {
			return nil, err
		}
		if from, err = old.resume(fresh); err != nil {
			return nil, err
		}
	}
	if from == fresh {
		// What was noted before is over, even if this run is killed at once; and if nothing can be noted, it is known now.
		return fresh, fresh.save(f.statePath)
	}
	return from, src.seek(from.Sent)
}

// send sends what comes after a place.
func (f *sending) send(ctx context.Context, src *source, from mark, t *tracker) error {
	p := newProgress(src, from, t.progress)
	api, err := client.New(client.Config{
		URL: f.cfg.URL, Key: f.key, Connections: f.cfg.workers(), Patience: f.cfg.Patience, Timeout: attemptTimeout, OnRetry: p.retried,
	})
	if err != nil {
		return err
	}
	defer api.Close()
	// The fastest level: what it saves on the wire is most of what there is to save, and this machine may be the
	// server's too.
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(f.cfg.workers()))
	if err != nil {
		return fmt.Errorf("open compressor: %w", err)
	}
	defer encoder.Close()

	line := &pipeline{
		limits:  f.limits,
		scanner: &scanner{space: src.space, addIDs: !f.cfg.Objects},
		tracker: t,
		save:    func() error { return t.save(f.statePath) },
	}
	position := f.printer()
	for range f.cfg.workers() {
		line.workers = append(line.workers, &worker{
			api: api, encoder: encoder, path: f.cfg.path(), patience: f.cfg.Patience, inOrder: f.cfg.Objects,
			position: position, retry: p.retried,
		})
	}
	m := meter.Start(f.deps.Stderr, run.Terminal(f.deps.Stderr), logPace, p.line)
	err = line.run(ctx, newLineReader(src.r, from))
	m.Finish(p.last(time.Now()))
	return err
}

// printer prints positions if that is asked for.
func (f *sending) printer() func(string) error {
	if !f.cfg.PrintPosition {
		return func(string) error { return nil }
	}
	var mu sync.Mutex
	return func(position string) error {
		mu.Lock()
		defer mu.Unlock()
		if _, err := io.WriteString(f.deps.Stdout, position+"\n"); err != nil {
			return fmt.Errorf("print position: %w", err)
		}
		return nil
	}
}

// stopped says where it stopped and how to go on.
func (f *sending) stopped(src *source, sent mark, err error) error {
	hint := "the same command goes on from there"
	if !src.resumable() {
		hint = "some lines after it may have been accepted too; what cannot be read again cannot go on where it was"
	}
	return fmt.Errorf("send %s: %w; everything up to line %d was sent, and %s", src.label, err, sent.Line, hint)
}

// outcome says what became of the lines.
func (f *sending) outcome(t Totals) string {
	text := fmt.Sprintf("%s %s accepted", meter.Thousands(t.Accepted), f.cfg.kind())
	if t.Refused > 0 {
		text += fmt.Sprintf(", %s refused, which are in %s", meter.Thousands(t.Refused), f.refusedPath)
	}
	return text
}

// say writes a line for people; that nobody can read it is no reason to stop.
func (f *sending) say(format string, args ...any) {
	_, _ = fmt.Fprintf(f.deps.Stderr, format+"\n", args...)
}
