package access

import (
	"context"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

// Principal is who makes a request.
type Principal struct {
	// Workspace is empty for the operator.
	Workspace string
	KeyID     string
	Scopes    []workspace.Scope
	// Operator says that the operator's key was presented.
	Operator bool
	// RateLimit is the key's own limit, in items a second, or nil.
	RateLimit *float64
}

type principalKey struct{}

// WithPrincipal returns a context of a request that this principal makes.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return web.Attach(ctx, principalKey{}, p)
}

// From is the principal of a request that came through one of the Require functions; its zero value otherwise, which
// has no workspace and no scope.
func From(ctx context.Context) Principal {
	p, _ := web.Attached(ctx, principalKey{}).(Principal)
	return p
}

// Require lets a request through whose key has the scope. It answers 401 to no, an unknown or an expired key, and 403 to
// one without the scope, of a suspended workspace, or of the operator, who acts for no workspace.
func (a *Access) Require(scope workspace.Scope, next web.Handler) web.Handler {
	return a.RequireAny([]workspace.Scope{scope}, next)
}

// RequireAny is Require for a route that any one of several scopes opens.
func (a *Access) RequireAny(scopes []workspace.Scope, next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		p, err := a.authenticate(r)
		if err != nil {
			return err
		}
		if p.Operator {
			return a.refuse("operator", problem.New(problem.Forbidden, "The operator's key reaches /v1/workspaces alone."))
		}
		if !slices.ContainsFunc(scopes, func(s workspace.Scope) bool { return slices.Contains(p.Scopes, s) }) {
			return a.missing(scopes)
		}
		return serve(w, r, p, next)
	}
}

// RequireOperator lets the operator's key through and nothing else.
func (a *Access) RequireOperator(next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		p, err := a.authenticate(r)
		if err != nil {
			return err
		}
		if !p.Operator {
			return a.refuse("scope", problem.New(problem.Forbidden, "This route is for the operator's key."))
		}
		return serve(w, r, p, next)
	}
}

// RequireAdmin lets through the operator's key, and a key with the scope admin whose workspace is the one that the route's
// variable names. Another workspace is refused like one that does not exist would be, so that nothing is learned of it.
func (a *Access) RequireAdmin(variable string, next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		p, err := a.authenticate(r)
		if err != nil {
			return err
		}
		if p.Operator {
			return serve(w, r, p, next)
		}
		if !slices.Contains(p.Scopes, workspace.Admin) {
			return a.missing([]workspace.Scope{workspace.Admin})
		}
		id, err := web.PathVar(r, variable, nil)
		if err != nil {
			return err
		}
		if id != p.Workspace {
			return a.refuse("scope", problem.New(problem.NotFound, "There is no such workspace."))
		}
		return serve(w, r, p, next)
	}
}

func serve(w http.ResponseWriter, r *http.Request, p Principal, next web.Handler) error {
	web.Annotate(r.Context(), slog.String("workspace", p.Workspace), slog.String("key_id", p.KeyID))
	if ctx := WithPrincipal(r.Context(), p); ctx != r.Context() {
		r = r.WithContext(ctx)
	}
	return next(w, r)
}

// authenticate finds out whose key a request carries.
func (a *Access) authenticate(r *http.Request) (Principal, error) {
	secret, ok := bearer(r)
	if !ok {
		return Principal{}, a.refuse("no_key", problem.NoKey("The request carries no API key: send it as Authorization: Bearer <key>."))
	}
	hash := workspace.HashKey(secret)
	// Hashes are compared, so that neither the length nor the bytes of the operator's key show in the time it takes.
	if a.admin != "" && subtle.ConstantTimeCompare([]byte(hash), []byte(a.admin)) == 1 {
		return Principal{KeyID: "operator", Operator: true}, nil
	}
	// A view that is not there yet knows no key; saying so is better than calling a good key unknown.
	if err := a.view.Ready(); err != nil {
		return Principal{}, problem.Busy("The API keys are not loaded yet.", retryAfter).WithCause(err)
	}
	h, found, err := a.holder(hash)
	if err != nil {
		return Principal{}, err
	}
	// An unknown key is refused without a look at the end of the log: otherwise anyone could make us ask for it.
	if !found {
		return Principal{}, a.refuse("unknown_key", problem.NoKey("The API key is unknown."))
	}
	key := h.key
	if key.Expired(a.now()) {
		return Principal{}, a.refuse("expired_key", problem.NoKey("The API key has expired."))
	}
	if h.workspace.Status != workspace.Active {
		return Principal{}, a.refuse("suspended", problem.New(problem.WorkspaceSuspended, ""))
	}
	return Principal{Workspace: key.Workspace, KeyID: key.ID, Scopes: key.Scopes, RateLimit: key.RateLimit}, nil
}

// maxSecretLength bounds what is hashed; ours have 68 bytes.
const maxSecretLength = 1024

// bearer reads the key of a request. The scheme's name has no case (RFC 9110).
func bearer(r *http.Request) (string, bool) {
	scheme, secret, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	secret = strings.TrimSpace(secret)
	if !ok || !strings.EqualFold(scheme, "Bearer") || secret == "" || len(secret) > maxSecretLength {
		return "", false
	}
	return secret, true
}

func (a *Access) missing(scopes []workspace.Scope) error {
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = string(s)
	}
	return a.refuse("scope", problem.Newf(problem.Forbidden, "The API key lacks the scope %s.", strings.Join(names, " or ")))
}

func (a *Access) refuse(reason string, p *problem.Problem) error {
	a.metrics.refused.WithLabelValues(reason).Inc()
	return p
}
