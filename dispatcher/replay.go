package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// replays does the jobs that send events again. A job's record is a task of the log's bookkeeping (stream.Tracked): one
// step of the job reads some events and gives their deliveries and the job's next record, which are written in the
// transaction that finishes the task. The next record is the next task, of whoever has the partition then.
type replays struct {
	cfg       Config
	deps      Deps
	sources   []source
	directory *directory
	records   records
	jobs      *jobs
	watch     *stream.OffsetWatch
	past      func() (*history, error)
	metrics   *metrics
	log       *slog.Logger
	now       func() time.Time
}

func (r *replays) tracked(deps Deps, cfg Config) (*stream.Tracked, error) {
	return stream.NewTracked(deps.Kafka, stream.TrackedConfig{
		Role: roleReplay, Instance: cfg.Instance,
		Inputs:  []topic.Name{topic.WebhookReplays},
		Outputs: []topic.Name{topic.WebhookReplays, topic.WebhookDeliveries, topic.WebhookAttempts, topic.DeadLetters},
		// A step may be a few megabytes, and a transaction has to be over in time.
		MaxOutcomes: 4, StopGrace: time.Second,
	}, r.take, stream.Deps{Log: deps.Log, Reg: deps.Reg, Traces: deps.Traces})
}

// take is called for each record of the topic, by the loop that reads the log.
func (r *replays) take(ctx context.Context, t *stream.Task) {
	parts, err := topic.ParseKey(t.Record.Key)
	if t.Record.Value == nil || err == nil && len(parts) == 3 && parts[1] == webhook.CancelType {
		// What was forgotten needs nothing, and a job looks for its cancellation by itself.
		t.Settle(nil)
		return
	}
	job, err := webhook.ParseReplay(t.Record.Value)
	switch {
	case err != nil:
		r.metrics.dead.WithLabelValues("replay").Inc()
		letter, err := r.records.deadLetter(roleReplay, err.Error(), "", t.Record)
		r.settle(t, []*stream.Record{letter}, err)
	case job.Ended():
		t.Settle(nil)
	default:
		go r.run(ctx, t, job)
	}
}

// Bounds of how long a step that failed waits before it is tried again.
const (
	minReplayPause = time.Second
	maxReplayPause = 30 * time.Second
)

// run makes one step of a job. All that can fail or take time is done before the task begins, so that it holds nothing
// up: neither a rebalance, nor other jobs.
func (r *replays) run(ctx context.Context, t *stream.Task, job *webhook.Replay) {
	r.metrics.replaying.Inc()
	defer r.metrics.replaying.Dec()
	for wait := job.DueAt.Sub(r.now()); wait > 0; wait = job.DueAt.Sub(r.now()) {
		// One that is cancelled ends soon, however slow it is.
		if cancelled, err := r.jobs.cancelled(job.Workspace, job.ID); cancelled && err == nil || t.Over() {
			break
		}
		if !sleep(ctx, min(wait, time.Second)) {
			return
		}
	}
	for wait := minReplayPause; !t.Over(); wait = min(2*wait, maxReplayPause) {
		out, err := r.step(ctx, job)
		if err == nil {
			if t.Begin(ctx) {
				r.settle(t, out, nil)
			}
			return
		}
		if ctx.Err() != nil {
			return
		}
		r.log.WarnContext(ctx, "replay waits", slog.String("workspace", job.Workspace), slog.String("endpoint", job.Endpoint),
			slog.String("replay", job.ID), slog.Duration("wait", wait), slog.String("error", err.Error()))
		if !sleep(ctx, wait) {
			return
		}
	}
}

// sleep waits, and says no where the context has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *replays) settle(t *stream.Task, out []*stream.Record, err error) {
	if err != nil {
		r.log.Error("step of a replay cannot be written", slog.String("error", err.Error()))
		return
	}
	for _, o := range out {
		stream.SetOrigin(o, t.Record)
	}
	t.Settle(out)
}

// jobs is the local view of replays.
type jobs struct{ view *stream.View }

// jobsVersion is the version of the form of the store.
const jobsVersion = 1

func openJobs(ctx context.Context, cfg Config, deps Deps) (*jobs, error) {
	view, err := stream.OpenView(ctx, deps.Kafka, stream.ViewConfig{
		// It has a folder beside the other view's, which may be thrown away with all that is in it.
		Name: "webhook-replays", Dir: cfg.Dir + "-replays", Topics: []topic.Name{topic.WebhookReplays}, ReadCommitted: true,
		Version: jobsVersion, CacheBytes: 1 << 20, MemTableBytes: 1 << 20,
		Apply: func(b *pebble.Batch, r *stream.Record) error {
			if r.Value == nil {
				return b.Delete(r.Key, nil)
			}
			return b.Set(r.Key, r.Value, nil)
		},
	}, stream.Deps{Log: deps.Log, Reg: deps.Reg})
	if err != nil {
		return nil, fmt.Errorf("open view of replays: %w", err)
	}
	return &jobs{view}, nil
}

// find is one job of a workspace, or nil.
func (j *jobs) find(workspace, id string) (*webhook.Replay, error) {
	value, ok, err := j.view.Get(replayKey(workspace, id))
	if err != nil || !ok {
		return nil, err
	}
	return webhook.ParseReplay(value)
}

// cancelled says whether somebody has asked the job to end.
func (j *jobs) cancelled(workspace, id string) (bool, error) {
	return j.view.Has(cancelKey(workspace, id))
}

// of lists the jobs of a workspace, the newest first: their ids begin with the time.
func (j *jobs) of(workspace string) ([]*webhook.Replay, error) {
	space := topic.Key(workspace, webhook.ReplayType)
	from, to := slices.Concat(space, []byte{'/'}), slices.Concat(space, []byte{'/' + 1})
	it, err := j.view.DB().NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return nil, fmt.Errorf("read replays: %w", err)
	}
	var all []*webhook.Replay
	for ok := it.Last(); ok; ok = it.Prev() {
		// One that cannot be read has become a dead letter.
		if r, err := webhook.ParseReplay(it.Value()); err == nil {
			all = append(all, r)
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return nil, fmt.Errorf("read replays: %w", err)
	}
	return all, nil
}

// ended is the job as it is when nothing more is sent.
func ended(job *webhook.Replay, status webhook.ReplayStatus, reason string, now time.Time) *webhook.Replay {
	next := *job
	next.Status, next.Reason, next.Left, next.DueAt, next.UpdatedAt = status, reason, nil, event.Time{}, eventTime(now)
	return &next
}
