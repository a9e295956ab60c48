package ingest

import (
	"errors"
	"net/http"
	"time"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

// keyBody is the body of a POST of an API key.
type keyBody struct {
	Name      string            `json:"name"`
	Scopes    []workspace.Scope `json:"scopes"`
	ExpiresAt event.Time        `json:"expiresAt"`
	RateLimit *float64          `json:"rateLimitPerSecond"`
}

// keyAnswer is an API key as a GET shows it: without its secret, which nobody has any more.
type keyAnswer struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Scopes    []workspace.Scope `json:"scopes"`
	CreatedAt event.Time        `json:"createdAt"`
	ExpiresAt event.Time        `json:"expiresAt"`
	RateLimit *float64          `json:"rateLimitPerSecond"`
}

func answerKey(k *workspace.APIKey) keyAnswer {
	a := keyAnswer{ID: k.ID, Name: k.Name, Scopes: k.Scopes, CreatedAt: event.TimeOf(k.CreatedAt), RateLimit: k.RateLimit}
	if k.ExpiresAt != nil {
		a.ExpiresAt = event.TimeOf(*k.ExpiresAt)
	}
	return a
}

// keyCreated is the only answer that ever shows the secret.
type keyCreated struct {
	keyAnswer

	Key      string  `json:"key"`
	Position *string `json:"position"`
}

func (s *Service) postKey(w http.ResponseWriter, r *http.Request) error {
	ws, err := s.workspace(r)
	if err != nil {
		return err
	}
	var b keyBody
	if err := adminBody(r, &b); err != nil {
		return err
	}
	created, err := s.access.CreateKey(r.Context(), access.NewKey{
		Workspace: ws.ID, Name: b.Name, Scopes: b.Scopes, ExpiresAt: expiry(b.ExpiresAt), RateLimit: b.RateLimit,
	})
	if errors.Is(err, access.ErrNoWorkspace) {
		return noWorkspace()
	}
	if err != nil {
		return unavailable(err)
	}
	w.Header().Set("Location", "/v1/workspaces/"+ws.ID+"/api-keys/"+created.Key.ID)
	p := at(topic.Workspaces, created.At, false)
	return web.WriteJSON(w, http.StatusCreated, keyCreated{answerKey(&created.Key), created.Secret, p.Encode(ws.ID)})
}

func expiry(t event.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t.Time
}

func (s *Service) getKey(w http.ResponseWriter, r *http.Request) error {
	if err := web.Query(r).Err(); err != nil {
		return err
	}
	ws, err := s.workspace(r)
	if err != nil {
		return err
	}
	id, err := web.PathVar(r, keyVar, object.ValidateID)
	if err != nil {
		return err
	}
	key, found, err := s.access.Key(ws.ID, id)
	if err != nil {
		return err
	}
	if !found {
		return problem.New(problem.NotFound, "There is no such API key.")
	}
	return web.WriteJSON(w, http.StatusOK, answerKey(key))
}

func (s *Service) listKeys(w http.ResponseWriter, r *http.Request) error {
	ws, err := s.workspace(r)
	if err != nil {
		return err
	}
	limit, after, err := pageParams(r, "api-keys", ws.ID)
	if err != nil {
		return err
	}
	keys, err := s.access.ListKeys(ws.ID, after, limit+1)
	if err != nil {
		return err
	}
	page := newList[keyAnswer](s.now())
	for _, k := range keys[:min(len(keys), limit)] {
		page.Data = append(page.Data, answerKey(k))
	}
	if len(keys) > limit {
		page.NextCursor = writeCursor("api-keys", ws.ID, keys[limit-1].ID)
	}
	return web.WriteJSON(w, http.StatusOK, page)
}

// keyDeleted is the answer to a DELETE, also where the key was gone.
type keyDeleted struct {
	ID       string  `json:"id"`
	Position *string `json:"position"`
}

func (s *Service) deleteKey(w http.ResponseWriter, r *http.Request) error {
	if err := web.Query(r).Err(); err != nil {
		return err
	}
	ws, err := s.workspace(r)
	if err != nil {
		return err
	}
	id, err := web.PathVar(r, keyVar, object.ValidateID)
	if err != nil {
		return err
	}
	offset, err := s.access.DeleteKey(r.Context(), ws.ID, id)
	if err != nil {
		return unavailable(err)
	}
	p := at(topic.Workspaces, offset, false)
	return web.WriteJSON(w, http.StatusOK, keyDeleted{id, p.Encode(ws.ID)})
}
