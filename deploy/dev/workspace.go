package dev

import (
	"context"
	"net/http"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/workspace"
)

// started is everything that runs, once it does.
type started struct {
	process *assembly.Process
	servers *servers
	handler http.Handler
}

// ensureKey makes the workspace default and its key, if this is the first start, and returns the key as far as this
// start knows it. A given key is used as it is, on every start.
func ensureKey(ctx context.Context, keys *access.Access, data *folder, given string) (key string, made bool, err error) {
	if err := keys.Barrier(ctx); err != nil {
		return "", false, err
	}
	_, there, err := keys.Workspace(Workspace)
	if err != nil {
		return "", false, err
	}
	key = given
	if key == "" && (!there || data.pendingFirstKey()) {
		// Kept in the folder from before the workspace is there until it has been printed.
		if key, err = data.firstKey(); err != nil {
			return "", false, err
		}
		made = true
	}
	if !there {
		if _, _, err := keys.PutWorkspace(ctx, workspace.Workspace{ID: Workspace, Name: "Default"}); err != nil {
			return "", false, err
		}
	}
	if key == "" {
		return "", false, nil
	}
	// Repeated with the same secret, this finds the key that is there.
	_, err = keys.CreateKey(ctx, access.NewKey{Workspace: Workspace, Name: "dev", Scopes: workspace.DevScopes(), Secret: key})
	return key, made, err
}
