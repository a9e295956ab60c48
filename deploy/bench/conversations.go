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
	"time"
)

// The aims of conversations: how much longer a transition takes than a transaction, and how much of the bare loop a batch
// reaches.
const (
	aimTransition  = 2.0
	aimTransitions = 0.60
)

// Conversations measures transitions of conversations beside bare transactions.
func Conversations(ctx context.Context, cfg ConversationsConfig, out, progress io.Writer, log *slog.Logger) error {
	sum := newSummary()
	if err := measureConversations(ctx, cfg, sum, progress, log); err != nil {
		return err
	}
	return sum.finish(cfg.JSON, out)
}

func measureConversations(ctx context.Context, cfg ConversationsConfig, sum *Summary, progress io.Writer, log *slog.Logger) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	b, err := newBench(Config{Kafka: cfg.Kafka, Brokers: cfg.Brokers}, progress, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.opened.Close()) }()
	if err := b.openEdge(ctx); err != nil {
		return err
	}
	if err := b.transition(ctx, cfg, sum); err != nil {
		return err
	}
	if err := b.transitions(ctx, cfg, sum); err != nil {
		return err
	}
	return b.decisions(ctx, cfg, sum)
}

// transition measures one transition at a time at light load, beside one transaction at a time.
func (b *bench) transition(ctx context.Context, cfg ConversationsConfig, sum *Summary) error {
	b.say("transitions at light load, load %s", loadAverage())
	const clients = 16 // more than light load needs, so that none waits for a connection
	requests := make([][]byte, clients*(2+cfg.Rate*int(cfg.Time/time.Second+1)))
	for i := range requests {
		path := fmt.Sprintf("/v1/conversations/light-%d/transitions", i)
		requests[i] = request(b.edge.Addr, path, b.key, "application/json", []byte(`{"type":"opened","team":"support","channel":"chat"}`))
	}
	if err := b.awaitDecisions(ctx); err != nil {
		return err
	}
	ours, err := open(ctx, b.edge.Addr, requests, clients, cfg.Rate, cfg.Time)
	if err != nil {
		return err
	}
	limit, err := b.bareTransactions(ctx, len(decisionTopics()), cfg.Time)
	if err != nil {
		return err
	}
	for _, q := range []struct {
		name string
		of   float64
		aim  float64
	}{{"p50", 0.5, aimTransition}, {"p99", 0.99, 0}} {
		sum.add(Measure{
			Part: "conversations", Name: "a transition at light load, " + q.name, Unit: "ms", Ours: milliseconds(ours.quantile(q.of)),
			Limit: milliseconds(limit.quantile(q.of)), By: "a bare transaction of three records", Aim: q.aim, AtMost: true,
		})
	}
	return nil
}

// awaitDecisions waits until the processor owns its partitions: until then the edge accepts, and nobody decides.
func (b *bench) awaitDecisions(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for n := 0; ; n++ {
		var decided struct {
			State string `json:"state"`
		}
		path := fmt.Sprintf("/v1/conversations/first-%d/transitions", n)
		if err := b.call(ctx, http.MethodPost, path, b.key, map[string]string{"type": "opened"}, &decided); err != nil {
			return fmt.Errorf("wait for a decision: %w", err)
		}
		if decided.State != "" {
			return nil
		}
	}
}

// transitions measures batches, beside the bare loop over the commands that they were.
func (b *bench) transitions(ctx context.Context, cfg ConversationsConfig, sum *Summary) error {
	b.say("transitions in batches, load %s", loadAverage())
	lags, err := b.openLags(b.kafka)
	if err != nil {
		return err
	}
	const size, senders = 2500, 8 // the largest batches, of as many senders as keep the processor busy
	requests := make([][]byte, max(cfg.Transitions/size, senders))
	for i := range requests {
		var lines bytes.Buffer
		for n := range size {
			fmt.Fprintf(&lines, `{"conversationId":"batch-%d-%d","type":"opened","team":"support","channel":"chat"}`+"\n", i, n)
		}
		requests[i] = request(b.edge.Addr, "/v1/conversations/batch", b.key, "application/x-ndjson", lines.Bytes())
	}
	profiled := func() error { return nil }
	if cfg.Profile != "" {
		if err := os.MkdirAll(cfg.Profile, 0o750); err != nil {
			return fmt.Errorf("make folder of profiles: %w", err)
		}
		profiled = b.edge.profile(ctx, filepath.Join(cfg.Profile, "conversations.cpu.prof"), profileTime)
	}
	l, err := drive(ctx, b.edge.Addr, requests, senders, func(worker int, _ time.Time, exchange func(time.Time) error) error {
		// Each sender has a part of the requests of its own.
		for range (worker+1)*len(requests)/senders - worker*len(requests)/senders {
			if err := exchange(time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, profiled()); err != nil {
		return err
	}
	limit, err := b.bareDecisions(ctx, lags)
	if err != nil {
		return err
	}
	sum.add(Measure{
		Part: "conversations", Name: fmt.Sprintf("batches of %d, %d clients", size, senders), Unit: "transitions/s",
		Ours: float64(l.requests*size) / l.took.Seconds(), Limit: limit.rate,
		By: "the client library's loop that writes the same records", Aim: aimTransitions,
	})
	return nil
}
