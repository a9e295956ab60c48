package dispatcher

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/webhook"
)

const (
	// replayKept is how long a replay that has ended is listed.
	replayKept = 30 * 24 * time.Hour
	// historyKept is how far back it is known what became of deliveries.
	historyKept = 30 * 24 * time.Hour
)

// replayBody is the body of a POST to …/replay.
type replayBody struct {
	From event.Time `json:"from"`
	// To is now where it is absent.
	To   event.Time `json:"to"`
	Only string     `json:"only"`
}

// replayAnswer is a replay as a GET shows it.
type replayAnswer struct {
	ID         string         `json:"id"`
	EndpointID string         `json:"endpointId"`
	From       event.Time     `json:"from"`
	To         event.Time     `json:"to"`
	Only       string         `json:"only"`
	Status     string         `json:"status"`
	Reason     *string        `json:"reason"`
	CreatedAt  event.Time     `json:"createdAt"`
	UpdatedAt  event.Time     `json:"updatedAt"`
	Progress   replayProgress `json:"progress"`
}

// replayWritten is the answer to what makes or cancels a replay; the position is null where nothing was written.
type replayWritten struct {
	replayAnswer

	Position *string `json:"position"`
}

// replayProgress says how far a replay has come: how many places of the log it has to read and has read, how many events
// the endpoint wants, and how many were sent.
type replayProgress struct {
	Total   int64 `json:"total"`
	Read    int64 `json:"read"`
	Matched int64 `json:"matched"`
	Sent    int64 `json:"sent"`
}

func answerReplay(r *webhook.Replay) replayAnswer {
	return replayAnswer{
		ID: r.ID, EndpointID: r.Endpoint, From: r.From, To: r.To, Only: string(r.Only), Status: string(r.Status),
		Reason: optional(r.Reason), CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
		Progress: replayProgress{r.Total, r.Read, r.Matched, r.Sent},
	}
}

// replayJobs is the view of replays, up to date, or a 503 where it is not open yet.
func (s *Service) replayJobs(ctx context.Context) (*jobs, error) {
	j := s.jobs.Load()
	if j == nil {
		return nil, problem.Busy("The service is starting, or stopping.", comeBack)
	}
	if err := j.view.Barrier(ctx); err != nil {
		return nil, unavailable(err)
	}
	return j, nil
}

// postReplay makes a job that sends events again. An endpoint has one at a time: a second one would send beside the first
// what both find, and a queue of jobs would hide how long the last of them takes.
func (s *Service) postReplay(w http.ResponseWriter, r *http.Request) error {
	if _, err := endpointID(r); err != nil {
		return err
	}
	var b replayBody
	if err := jsonBody(r, &b); err != nil {
		return err
	}
	t, err := s.endpoint(r)
	if err != nil {
		return err
	}
	now := s.now()
	job, err := newReplay(&b, t, now)
	if err != nil {
		return err
	}
	if !t.active() {
		return problem.New(problem.Conflict, "The endpoint is disabled: enable it first, or everything would be skipped again.")
	}
	ctx := r.Context()
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return fmt.Errorf("wait for another write: %w", ctx.Err())
	}
	j, err := s.replayJobs(ctx)
	if err != nil {
		return err
	}
	all, err := j.of(t.Workspace)
	if err != nil {
		return err
	}
	for _, other := range all {
		switch {
		case other.Ended() && now.Sub(other.UpdatedAt.Time) > replayKept:
			if err := s.forget(ctx, j, other); err != nil {
				return err
			}
		case !other.Ended() && other.Endpoint == t.ID:
			return problem.Newf(problem.Conflict, "The replay %s of this endpoint is not over: wait for it, or cancel it.", other.ID)
		}
	}
	value, err := job.Encode()
	if err != nil {
		return err
	}
	written, err := s.writeJob(ctx, j, replayKey(job.Workspace, job.ID), topic.TypeWebhookReplay, job.Workspace, job.ID, value)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/webhook-replays/"+job.ID)
	return web.WriteJSON(w, http.StatusAccepted, replayWritten{answerReplay(job), written})
}

// newReplay checks what was asked for; every broken rule is named.
func newReplay(b *replayBody, t *target, now time.Time) (*webhook.Replay, error) {
	var faults []problem.Fault
	add := func(pointer, detail string) { faults = append(faults, problem.At(pointer, detail)) }
	at, only := eventTime(now), webhook.Only(b.Only)
	to := b.To
	if to.IsZero() || to.After(now) {
		to = at // nothing of what comes later is missing
	}
	if !slices.Contains(webhook.Onlys(), b.Only) {
		add("/only", "must be one of "+strings.Join(webhook.Onlys(), ", "))
	}
	switch {
	case b.From.IsZero():
		add("/from", "is required")
	case event.CheckTime(b.From, now) != nil:
		add("/from", event.CheckTime(b.From, now).Error())
	case !b.From.Before(to.Time):
		add("/from", "must be earlier than /to and than now")
	case only != webhook.OnlyAll && now.Sub(b.From.Time) > historyKept:
		add("/from", "must be within the last 30 days, for which it is known what became of deliveries; with \"only\":\"all\" it may be earlier")
	}
	if !b.To.IsZero() && event.CheckTime(b.To, now) != nil {
		add("/to", event.CheckTime(b.To, now).Error())
	}
	if len(faults) > 0 {
		return nil, problem.Invalid(faults...)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	return &webhook.Replay{
		ID: id.String(), Workspace: t.Workspace, Endpoint: t.ID, EndpointCreatedAt: t.CreatedAt, From: b.From, To: to, Only: only,
		CreatedAt: at, UpdatedAt: at, Status: webhook.ReplayQueued,
	}, nil
}

// writeJob appends a record of a replay and waits until it is in force here. It returns its position.
func (s *Service) writeJob(ctx context.Context, j *jobs, key []byte, kind, workspace, id string, value []byte) (*string, error) {
	// The producer finds the partition of the key by itself.
	at, err := s.deps.Producer.Produce(ctx, records{kafka: s.deps.Kafka}.record(topic.WebhookReplays, 0, key, value, topic.Envelope{
		ID: id, Type: kind, Workspace: workspace, Time: s.now(),
	}))
	if err != nil {
		return nil, unavailable(err)
	}
	if err := j.view.WaitFor(ctx, at[0]); err != nil {
		s.log.WarnContext(ctx, "write not visible yet", "replay", id, "error", err.Error())
	}
	return positionAt(workspace, topic.WebhookReplays, at[0]), nil
}

// forget removes a replay from the log, and that it was cancelled.
func (s *Service) forget(ctx context.Context, j *jobs, old *webhook.Replay) error {
	if _, err := s.writeJob(ctx, j, cancelKey(old.Workspace, old.ID), topic.TypeWebhookCancel, old.Workspace, old.ID, nil); err != nil {
		return err
	}
	_, err := s.writeJob(ctx, j, replayKey(old.Workspace, old.ID), topic.TypeWebhookReplay, old.Workspace, old.ID, nil)
	return err
}

// replayOf reads the replay that a path names, as positions show it, which a request that changes it has none of.
func (s *Service) replayOf(r *http.Request, q *web.Params, positions []string) (*jobs, *webhook.Replay, error) {
	id, err := web.PathVar(r, replayVar, object.ValidateID)
	if err == nil {
		err = q.Err()
	}
	if err != nil {
		return nil, nil, err
	}
	j, err := s.replayJobs(r.Context())
	if err != nil {
		return nil, nil, err
	}
	workspace := access.From(r.Context()).Workspace
	if err := s.await(r.Context(), workspace, positions, s.shown(j.view, topic.WebhookReplays)); err != nil {
		return nil, nil, err
	}
	job, err := j.find(workspace, id)
	if err == nil && job == nil {
		err = problem.New(problem.NotFound, "There is no such replay.")
	}
	return j, job, err
}

func (s *Service) getReplay(w http.ResponseWriter, r *http.Request) error {
	q := web.Query(r)
	positions := q.Strings("position")
	_, job, err := s.replayOf(r, q, positions)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, answerReplay(job))
}

// cancelReplay asks a replay to end. What it has sent stays sent. One that has ended stays as it is.
func (s *Service) cancelReplay(w http.ResponseWriter, r *http.Request) error {
	j, job, err := s.replayOf(r, web.Query(r), nil)
	if err != nil {
		return err
	}
	var written *string
	if !job.Ended() {
		value, err := (&webhook.Cancel{ID: job.ID, Workspace: job.Workspace, At: eventTime(s.now())}).Encode()
		if err != nil {
			return err
		}
		written, err = s.writeJob(r.Context(), j, cancelKey(job.Workspace, job.ID), topic.TypeWebhookCancel, job.Workspace, job.ID, value)
		if err != nil {
			return err
		}
	}
	return web.WriteJSON(w, http.StatusAccepted, replayWritten{answerReplay(job), written})
}

// listReplays answers GET /v1/webhook-endpoints/{id}/replays, the newest first.
func (s *Service) listReplays(w http.ResponseWriter, r *http.Request) error {
	const route = "webhook-replays"
	id, err := endpointID(r)
	if err != nil {
		return err
	}
	limit, after, positions, err := web.PageParams(r, route, id)
	if err != nil {
		return err
	}
	j, err := s.replayJobs(r.Context())
	if err != nil {
		return err
	}
	workspace := access.From(r.Context()).Workspace
	if err := s.await(r.Context(), workspace, positions, s.shown(j.view, topic.WebhookReplays)); err != nil {
		return err
	}
	all, err := j.of(workspace)
	if err != nil {
		return err
	}
	page := web.Page[replayAnswer]{Data: []replayAnswer{}, AsOf: eventTime(s.now())}
	for _, job := range all {
		if job.Endpoint != id || after != "" && job.ID >= after {
			continue
		}
		if len(page.Data) == limit {
			page.NextCursor = web.WriteCursor(route, id, page.Data[limit-1].ID)
			break
		}
		page.Data = append(page.Data, answerReplay(job))
	}
	return web.WriteJSON(w, http.StatusOK, page)
}
