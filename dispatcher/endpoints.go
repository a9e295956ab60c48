package dispatcher

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/webhook"
)

// Statuses of an endpoint, as a GET shows them.
const (
	statusEnabled  = "ENABLED"
	statusDisabled = "DISABLED"
)

// secretAnswer is a signing secret as a GET shows it: without the secret.
type secretAnswer struct {
	CreatedAt event.Time `json:"createdAt"`
	ExpiresAt event.Time `json:"expiresAt"`
}

// endpointAnswer is an endpoint as a GET shows it. What is secret is not in it.
type endpointAnswer struct {
	ID             string            `json:"id"`
	URL            string            `json:"url"`
	Enabled        bool              `json:"enabled"`
	Events         []string          `json:"events"`
	AuthHeaderName string            `json:"authHeaderName"`
	HasAuthToken   bool              `json:"hasAuthToken"`
	AssignedScope  string            `json:"assignedScope"`
	Teams          []string          `json:"teams"`
	Channels       []string          `json:"channels"`
	ObjectTypes    []string          `json:"objectTypes"`
	Filter         *string           `json:"filter"`
	QueueThreshold int               `json:"queueThreshold"`
	Format         string            `json:"format"`
	DigestSeconds  int               `json:"digestSeconds"`
	RateLimit      *float64          `json:"rateLimitPerSecond"`
	Ordering       string            `json:"ordering"`
	Headers        map[string]string `json:"headers"`
	Secrets        []secretAnswer    `json:"signingSecrets"`
	// Status is DISABLED where enabled is false or the endpoint was given up.
	Status         string     `json:"status"`
	DisabledReason *string    `json:"disabledReason"`
	DisabledAt     event.Time `json:"disabledAt"`
	FailingSince   event.Time `json:"failingSince"`
	CreatedAt      event.Time `json:"createdAt"`
	UpdatedAt      event.Time `json:"updatedAt"`
}

// endpointWritten is the answer to a write of an endpoint.
type endpointWritten struct {
	endpointAnswer

	// SigningSecret is shown when it was made, and never again.
	SigningSecret string  `json:"signingSecret,omitempty"`
	Position      *string `json:"position"`
}

func answerEndpoint(t *target, now time.Time) endpointAnswer {
	a := endpointAnswer{
		ID: t.ID, URL: t.private.URL, Enabled: t.Enabled, Events: t.Events, AuthHeaderName: t.private.AuthHeaderName,
		HasAuthToken: t.private.AuthToken != "", AssignedScope: t.AssignedScope, Teams: t.Teams, Channels: t.Channels,
		Filter: optional(t.Filter), QueueThreshold: t.QueueThreshold, Format: t.Format, DigestSeconds: t.DigestSeconds,
		RateLimit: t.RateLimit, Ordering: t.Ordering, Headers: t.private.Headers, Status: statusEnabled,
		CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt,
	}
	for _, o := range t.ObjectTypes {
		a.ObjectTypes = append(a.ObjectTypes, string(o))
	}
	for _, s := range t.private.Current(now) {
		a.Secrets = append(a.Secrets, secretAnswer{s.CreatedAt, s.ExpiresAt})
	}
	if t.state != nil {
		a.DisabledReason, a.DisabledAt, a.FailingSince = optional(t.state.Reason), t.state.DisabledAt, t.state.FailingSince
	}
	if !t.active() {
		a.Status = statusDisabled
	}
	return a
}

func (s *Service) putEndpoint(w http.ResponseWriter, r *http.Request) error {
	id, err := endpointID(r)
	if err != nil {
		return err
	}
	var b endpointBody
	if err := jsonBody(r, &b); err != nil {
		return err
	}
	a, err := s.change(r.Context(), access.From(r.Context()).Workspace, id, func(before *target, now time.Time) (*target, string, error) {
		return s.settings(&b, id, before, now)
	})
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, a)
}

// change reads an endpoint as it is, has it changed, writes it, and waits until it is in force here. Writes of one process
// are made one at a time; among several processes the last one wins.
func (s *Service) change(ctx context.Context, workspace, id string, next func(before *target, now time.Time) (*target, string, error)) (*endpointWritten, error) {
	d, err := s.endpoints()
	if err != nil {
		return nil, err
	}
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for another write: %w", ctx.Err())
	}
	if err := d.view.Barrier(ctx); err != nil {
		return nil, unavailable(err)
	}
	before, err := d.find(workspace, id)
	if err != nil {
		return nil, err
	}
	if before != nil && before.private == nil {
		return nil, before.broken
	}
	now := s.now().UTC().Truncate(time.Millisecond)
	t, shown, err := next(before, now)
	if err != nil {
		return nil, err
	}
	t.Workspace, t.ID, t.CreatedAt, t.UpdatedAt = workspace, id, event.TimeOf(now), event.TimeOf(now)
	if before != nil {
		t.CreatedAt = before.CreatedAt
	}
	if t.Revision == 0 {
		// A number that no earlier endpoint of this id had, so that no late word on that one is taken for one on this.
		t.Revision = now.UnixMilli()
		if before != nil {
			t.Revision = max(t.Revision, before.Revision+1)
		}
	}
	plain, err := t.private.Encode()
	if err != nil {
		return nil, err
	}
	if t.Sealed, err = d.vault.Seal(plain, t.AdditionalData()); err != nil {
		return nil, err
	}
	value, err := t.Encode()
	if err != nil {
		return nil, err
	}
	written, err := s.write(ctx, d, endpointKey(workspace, id), topic.TypeWebhookEndpoint, workspace, id, value)
	if err != nil {
		return nil, err
	}
	return &endpointWritten{endpointAnswer: answerEndpoint(t, s.now()), SigningSecret: shown, Position: written}, nil
}

// write appends a record of an endpoint, nil for a tombstone, and waits until it is in force here. It returns its position.
func (s *Service) write(ctx context.Context, d *directory, key []byte, kind, workspace, id string, value []byte) (*string, error) {
	now := s.now()
	r := records{kafka: s.deps.Kafka}.record(topic.WebhookEndpoints, 0, key, value, topic.Envelope{
		ID: id, Type: kind, Workspace: workspace, Time: now,
	})
	at, err := s.deps.Producer.Produce(ctx, r)
	if err != nil {
		return nil, unavailable(err)
	}
	if err := d.view.WaitFor(ctx, at[0]); err != nil {
		// It is durable, so it is not an error: it will be in force as soon as the view has caught up.
		s.log.WarnContext(ctx, "write not visible yet", "endpoint", id, "error", err.Error())
	}
	return positionAt(workspace, topic.WebhookEndpoints, at[0]), nil
}

func (s *Service) getEndpoint(w http.ResponseWriter, r *http.Request) error {
	q := web.Query(r)
	positions := q.Strings("position")
	if err := q.Err(); err != nil {
		return err
	}
	d, err := s.endpoints()
	if err != nil {
		return err
	}
	workspace := access.From(r.Context()).Workspace
	if err := s.await(r.Context(), workspace, positions, s.shown(d.view, topic.WebhookEndpoints)); err != nil {
		return err
	}
	t, err := s.endpoint(r)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, answerEndpoint(t, s.now()))
}

// endpoint reads the endpoint of a path, after everything that was written before the request came.
func (s *Service) endpoint(r *http.Request) (*target, error) {
	id, err := endpointID(r)
	if err != nil {
		return nil, err
	}
	d, err := s.endpoints()
	if err != nil {
		return nil, err
	}
	if err := d.view.Barrier(r.Context(), d.partition); err != nil {
		return nil, unavailable(err)
	}
	t, err := d.find(access.From(r.Context()).Workspace, id)
	switch {
	case err != nil:
		return nil, err
	case t == nil:
		return nil, noEndpoint()
	case t.private == nil:
		return nil, t.broken
	default:
		return t, nil
	}
}

func (s *Service) listEndpoints(w http.ResponseWriter, r *http.Request) error {
	const route = "webhook-endpoints"
	limit, after, positions, err := web.PageParams(r, route, "")
	if err != nil {
		return err
	}
	d, err := s.endpoints()
	if err != nil {
		return err
	}
	workspace := access.From(r.Context()).Workspace
	if err := s.await(r.Context(), workspace, positions, s.shown(d.view, topic.WebhookEndpoints)); err != nil {
		return err
	}
	if err := d.view.Barrier(r.Context(), d.partition); err != nil {
		return unavailable(err)
	}
	all, err := d.of(workspace)
	if err != nil {
		return err
	}
	page := web.Page[endpointAnswer]{Data: []endpointAnswer{}, AsOf: event.TimeOf(s.now())}
	for _, t := range all {
		// The order is that of the encoded ids, which is how the store has them.
		if t.private == nil || after != "" && strings.Compare(string(topic.Key(t.ID)), string(topic.Key(after))) <= 0 {
			continue
		}
		if len(page.Data) == limit {
			page.NextCursor = web.WriteCursor(route, "", page.Data[limit-1].ID)
			break
		}
		page.Data = append(page.Data, answerEndpoint(t, s.now()))
	}
	return web.WriteJSON(w, http.StatusOK, page)
}

// endpointDeleted is the answer to a DELETE, also where the endpoint was gone.
type endpointDeleted struct {
	ID       string  `json:"id"`
	Position *string `json:"position"`
}

func (s *Service) deleteEndpoint(w http.ResponseWriter, r *http.Request) error {
	if err := web.Query(r).Err(); err != nil {
		return err
	}
	id, err := endpointID(r)
	if err != nil {
		return err
	}
	d, err := s.endpoints()
	if err != nil {
		return err
	}
	ctx, workspace := r.Context(), access.From(r.Context()).Workspace
	var written *string
	for _, gone := range []struct {
		key  []byte
		kind string
	}{
		{stateKey(workspace, id), topic.TypeWebhookState},
		{endpointKey(workspace, id), topic.TypeWebhookEndpoint},
	} {
		if written, err = s.write(ctx, d, gone.key, gone.kind, workspace, id, nil); err != nil {
			return err
		}
	}
	// The topic has one partition: the second record's position covers the first one.
	return web.WriteJSON(w, http.StatusOK, endpointDeleted{id, written})
}

// overlap is how long a secret signs on beside the one that takes its place.
const overlap = 24 * time.Hour

// maxSecrets bounds the secrets that sign at once.
const maxSecrets = 3

// renew puts a secret in force. The one before it goes on for a while, so that receivers can change theirs.
func renew(p *webhook.Private, value string, now time.Time) {
	current := p.Current(now)
	for i := range current {
		if current[i].ExpiresAt.IsZero() {
			current[i].ExpiresAt = event.TimeOf(now.Add(overlap))
		}
	}
	secrets := append([]webhook.Secret{{Value: value, CreatedAt: event.TimeOf(now)}}, current...)
	p.Secrets = secrets[:min(len(secrets), maxSecrets)]
}

func (s *Service) rotateSecret(w http.ResponseWriter, r *http.Request) error {
	id, err := endpointID(r)
	if err != nil {
		return err
	}
	if err := web.Query(r).Err(); err != nil {
		return err
	}
	a, err := s.change(r.Context(), access.From(r.Context()).Workspace, id, func(before *target, now time.Time) (*target, string, error) {
		if before == nil {
			return nil, "", noEndpoint()
		}
		e, p := *before.Endpoint, *before.private
		secret := newSecret()
		renew(&p, secret, now)
		// The revision stays: another secret does not bring an endpoint back that was given up.
		return &target{Endpoint: &e, private: &p, filter: before.filter}, secret, nil
	})
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, a)
}
