package ingest

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

// maxAdminBytes bounds the body of an administrative request.
const maxAdminBytes = 32 << 10

// workspaceBody is the body of a PUT: what may be set, and what a GET shows beside it.
type workspaceBody struct {
	Name     string           `json:"name"`
	TimeZone string           `json:"timeZone"`
	Status   workspace.Status `json:"status"`
	// ID must be that of the path; the others are ignored.
	ID        string          `json:"id"`
	CreatedAt json.RawMessage `json:"createdAt"`
	UpdatedAt json.RawMessage `json:"updatedAt"`
	Position  json.RawMessage `json:"position"`
}

// workspaceAnswer is a workspace as a GET shows it.
type workspaceAnswer struct {
	ID        string           `json:"id"`
	Name      string           `json:"name"`
	TimeZone  string           `json:"timeZone"`
	Status    workspace.Status `json:"status"`
	CreatedAt event.Time       `json:"createdAt"`
	UpdatedAt event.Time       `json:"updatedAt"`
}

func answerWorkspace(w *workspace.Workspace) workspaceAnswer {
	return workspaceAnswer{
		ID: w.ID, Name: w.Name, TimeZone: w.TimeZone, Status: w.Status,
		CreatedAt: event.TimeOf(w.CreatedAt), UpdatedAt: event.TimeOf(w.UpdatedAt),
	}
}

// workspaceWritten is the answer to a PUT of a workspace.
type workspaceWritten struct {
	workspaceAnswer

	Position *string `json:"position"`
}

func (s *Service) putWorkspace(w http.ResponseWriter, r *http.Request) error {
	id, err := web.PathVar(r, workspaceVar, workspace.ValidateID)
	if err != nil {
		return err
	}
	var b workspaceBody
	if err := adminBody(r, &b); err != nil {
		return err
	}
	if b.ID != "" && b.ID != id {
		return faults([]object.Violation{{Pointer: "/id", Detail: "must be that of the path, or absent"}})
	}
	ws, offset, err := s.access.PutWorkspace(r.Context(), workspace.Workspace{ID: id, Name: b.Name, TimeZone: b.TimeZone, Status: b.Status})
	if err != nil {
		return unavailable(err)
	}
	p := at(topic.Workspaces, offset, false)
	return web.WriteJSON(w, http.StatusOK, workspaceWritten{answerWorkspace(ws), p.Encode(id)})
}

func (s *Service) getWorkspace(w http.ResponseWriter, r *http.Request) error {
	if err := web.Query(r).Err(); err != nil {
		return err
	}
	ws, err := s.workspace(r)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, answerWorkspace(ws))
}

// workspace reads the workspace of a path.
func (s *Service) workspace(r *http.Request) (*workspace.Workspace, error) {
	id, err := web.PathVar(r, workspaceVar, workspace.ValidateID)
	if err != nil {
		return nil, err
	}
	ws, found, err := s.access.Workspace(id)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, noWorkspace()
	}
	return ws, nil
}

func noWorkspace() error { return problem.New(problem.NotFound, "There is no such workspace.") }

func (s *Service) listWorkspaces(w http.ResponseWriter, r *http.Request) error {
	limit, after, err := pageParams(r, "workspaces", "")
	if err != nil {
		return err
	}
	all, err := s.access.Workspaces(after, limit+1)
	if err != nil {
		return err
	}
	page := newList[workspaceAnswer](s.now())
	for _, ws := range slices.Clip(all[:min(len(all), limit)]) {
		page.Data = append(page.Data, answerWorkspace(ws))
	}
	if len(all) > limit {
		page.NextCursor = writeCursor("workspaces", "", all[limit-1].ID)
	}
	return web.WriteJSON(w, http.StatusOK, page)
}

// pageParams reads the parameters of a list that has no other.
func pageParams(r *http.Request, route, what string) (int, string, error) {
	q := web.Query(r)
	limit, cursor := q.Limit(), q.String("cursor")
	if err := q.Err(); err != nil {
		return 0, "", err
	}
	after, err := readCursor(route, what, cursor)
	return limit, after, err
}

// adminBody reads a small body and no parameters.
func adminBody(r *http.Request, into any) error {
	if err := web.Query(r).Err(); err != nil {
		return err
	}
	body, err := jsonBody(r, maxAdminBytes)
	if err != nil {
		return err
	}
	return web.DecodeJSON(body, into)
}
