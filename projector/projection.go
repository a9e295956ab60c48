package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
)

// stopGrace is how long a batch may take to be finished once the projector is asked to stop. What is not finished by
// then is finished, from its intent, by the next start.
const stopGrace = 4 * time.Second

// worker keeps one table up to date: one consumer group, and one session in it at a time.
type worker struct {
	p       projections.Projection
	cfg     Config
	deps    Deps
	keys    *keyring
	sink    *sink
	metrics *metrics
	log     *slog.Logger
	// names are the topics' names without the prefix, by their full names.
	names map[string]topic.Name
	slots slots
	// silent says that what cannot be transformed becomes no dead letter.
	silent bool
	// spare are blocks whose memory is used again.
	spare chan *table.Block
	// trouble is why the worker does not get on; nil while it does.
	trouble atomic.Pointer[string]
}

// sharedBytes bounds the events that tables leave for each other: about as much as they are apart, each with its memory
// full of records.
const sharedBytes = 32 << 20

// slots are shared by the tables of a process: for batches that are being filled, and for those that are being inserted.
type slots struct {
	building, inserting chan struct{}
	// events are those that one table has read and another has not.
	events *projections.Shared
}

func newSlots(n int) slots {
	return slots{make(chan struct{}, n), make(chan struct{}, n), projections.NewShared(sharedBytes)}
}

func newWorker(p projections.Projection, cfg Config, deps Deps, view *stream.View, m *metrics, slots slots) *worker {
	m.begin(p.Table)
	log := deps.Log.With(slog.String("table", p.Table))
	w := &worker{
		p: p, cfg: cfg, deps: deps, metrics: m, log: log,
		keys:  newKeyring(view, deps.Master, m.redacted.WithLabelValues(p.Table).Inc),
		names: map[string]topic.Name{}, slots: slots,
		// As many as are in use where one partition is busy; more are left to the garbage collector.
		spare: make(chan *table.Block, 2*ahead),
	}
	w.sink = &sink{conn: deps.Store, p: p, timeout: cfg.InsertTimeout, log: log, metrics: m, trouble: w.setTrouble}
	for _, name := range p.Topics {
		w.names[deps.Kafka.Topic(name)] = name
	}
	return w
}

// run works until the context ends. After an error that may pass it leaves the group, which gives everything that is
// in memory up, and joins anew: the committed offsets and their intents say where to go on.
func (w *worker) run(ctx context.Context) error {
	wait := firstWait
	for ctx.Err() == nil {
		worked, err := w.session(ctx)
		if wait = min(2*wait, lastWait); worked {
			wait = firstWait
		}
		switch {
		case ctx.Err() != nil: // the error comes from being stopped, and the intents remember the rest
		case stops(err):
			return fmt.Errorf("project %s: %w", w.p.Table, err)
		default:
			w.metrics.reopened.WithLabelValues(w.p.Table).Inc()
			w.setTrouble(err)
			w.log.WarnContext(ctx, "group is joined anew", slog.Duration("wait", wait), slog.String("error", err.Error()))
			_ = pause(ctx, wait) // the loop looks at the context itself
		}
	}
	return nil
}

// stops says whether an error is for an operator.
func stops(err error) bool {
	_, lost := errors.AsType[*stream.OffsetLostError](err)
	return lost || errors.Is(err, ErrInsert) || errors.Is(err, ErrIntent) || errors.Is(err, ErrMasterKey)
}

func (w *worker) setTrouble(err error) {
	if err == nil {
		w.trouble.Store(nil)
		return
	}
	s := err.Error()
	w.trouble.Store(&s)
}
