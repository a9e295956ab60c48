package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/workspace"
)

// Errors that callers branch on.
var (
	// ErrNoWorkspace: there is no workspace of this id.
	ErrNoWorkspace = errors.New("workspace not found")
	// ErrSecretTaken: the chosen secret is another workspace's, or the operator's.
	ErrSecretTaken = errors.New("this secret is taken")
	// ErrReadOnly: this process was given no producer.
	ErrReadOnly = errors.New("access is read-only here")
)

// retryAfter is when a client that found us not ready should come back.
const retryAfter = time.Second

// visibleTimeout is how long a write waits until this process sees it. The write is durable by then.
const visibleTimeout = 2 * time.Second

// PutWorkspace makes a workspace or replaces its settings. An empty TimeZone is UTC, an empty Status ACTIVE; the times are
// set here. A member that is not allowed is a *problem.Problem. It answers what was written and where.
func (a *Access) PutWorkspace(ctx context.Context, ws workspace.Workspace) (*workspace.Workspace, stream.Offset, error) {
	if ws.TimeZone == "" {
		ws.TimeZone = "UTC"
	}
	if ws.Status == "" {
		ws.Status = workspace.Active
	}
	if err := invalid(ws.Validate()); err != nil {
		return nil, stream.Offset{}, err
	}
	if err := a.begin(ctx); err != nil {
		return nil, stream.Offset{}, err
	}
	defer a.writing.release()
	before, found, err := a.Workspace(ws.ID)
	if err != nil {
		return nil, stream.Offset{}, err
	}
	ws.Version, ws.UpdatedAt = workspace.RecordVersion, a.stamp()
	ws.CreatedAt = ws.UpdatedAt
	if found {
		ws.CreatedAt = before.CreatedAt
	}
	at, err := a.write(ctx, topic.Key(ws.ID), topic.TypeWorkspace, ws.ID, ws.ID, &ws)
	if err != nil {
		return nil, stream.Offset{}, fmt.Errorf("put workspace %s: %w", ws.ID, err)
	}
	return &ws, at, nil
}

// NewKey is an API key to be made.
type NewKey struct {
	Workspace string
	Name      string
	Scopes    []workspace.Scope
	// ExpiresAt is nil for a key that does not expire.
	ExpiresAt *time.Time
	// RateLimit is how many items a second the key may write on each edge; nil leaves it to the edges' configuration.
	RateLimit *float64
	// Secret is empty to have one made.
	Secret string
}

// CreatedKey is an API key that was made.
type CreatedKey struct {
	Key workspace.APIKey
	// Secret is what the client presents. It is kept nowhere.
	Secret string
	// At is where the key's record stands; zero where Existed.
	At stream.Offset
	// Existed says that the workspace had a key of this chosen secret already; that key was left as it is.
	Existed bool
}

// CreateKey makes an API key. It is in force here when the call returns, and elsewhere within 5 s. With a chosen secret the
// call may be repeated. Errors: ErrNoWorkspace, ErrSecretTaken, and a *problem.Problem for a member that is not allowed.
func (a *Access) CreateKey(ctx context.Context, n NewKey) (*CreatedKey, error) {
	now := a.stamp()
	key := workspace.APIKey{
		Version: workspace.RecordVersion, Workspace: n.Workspace, Name: n.Name, Scopes: n.Scopes, CreatedAt: now, ExpiresAt: n.ExpiresAt,
		RateLimit: n.RateLimit,
	}
	if err := invalid(key.Validate(now)); err != nil {
		return nil, err
	}
	if n.Secret != "" && (len(n.Secret) < workspace.MinSecretLength || len(n.Secret) > maxSecretLength) {
		return nil, fmt.Errorf("create API key: the secret needs %d to %d bytes", workspace.MinSecretLength, maxSecretLength)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make key id: %w", err)
	}
	key.ID = id.String()
	if err := a.begin(ctx); err != nil {
		return nil, err
	}
	defer a.writing.release()
	if _, found, err := a.Workspace(n.Workspace); err != nil {
		return nil, err
	} else if !found {
		return nil, fmt.Errorf("create API key in %q: %w", n.Workspace, ErrNoWorkspace)
	}
	secret := n.Secret
	if secret == "" {
		secret = workspace.NewSecret()
	}
	key.Hash = workspace.HashKey(secret)
	if n.Secret != "" {
		existing, err := a.chosen(key)
		if err != nil {
			return nil, err
		}
		if existing != nil {
			return &CreatedKey{Key: *existing, Secret: secret, Existed: true}, nil
		}
	}
	at, err := a.write(ctx, topic.Key(key.Workspace, workspace.KeyType, key.ID), topic.TypeAPIKey, key.Workspace, key.ID, &key)
	if err != nil {
		return nil, fmt.Errorf("create API key in %s: %w", n.Workspace, err)
	}
	return &CreatedKey{Key: key, Secret: secret, At: at}, nil
}

// chosen looks for a key that has the chosen secret already.
func (a *Access) chosen(key workspace.APIKey) (*workspace.APIKey, error) {
	if key.Hash == a.admin {
		return nil, ErrSecretTaken
	}
	existing, found, err := a.byHash(key.Hash)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, nil //nolint:nilnil // there is none, and that is no error
	case existing.Workspace != key.Workspace:
		return nil, ErrSecretTaken
	default:
		return existing, nil
	}
}

// DeleteKey ends an API key: here at once, elsewhere within 5 s. A key that is not there is no error.
func (a *Access) DeleteKey(ctx context.Context, workspaceID, id string) (stream.Offset, error) {
	if err := a.begin(ctx); err != nil {
		return stream.Offset{}, err
	}
	defer a.writing.release()
	at, err := a.write(ctx, topic.Key(workspaceID, workspace.KeyType, id), topic.TypeAPIKey, workspaceID, id, nil)
	if err != nil {
		return stream.Offset{}, fmt.Errorf("delete API key %s: %w", id, err)
	}
	return at, nil
}

// begin takes the lock of writes and brings the view up to date, so that what is read under it is what the log says.
func (a *Access) begin(ctx context.Context) error {
	if a.producer == nil {
		return ErrReadOnly
	}
	if err := a.writing.acquire(ctx); err != nil {
		return err
	}
	if err := a.Barrier(ctx); err != nil {
		a.writing.release()
		return problem.WithKind(problem.Retry, err)
	}
	return nil
}

// write appends a record, nil for a tombstone, and waits until it is in force here.
func (a *Access) write(ctx context.Context, key []byte, kind, workspaceID, id string, value any) (stream.Offset, error) {
	now := a.now()
	rec := &stream.Record{
		Topic: a.topic, Key: key, Timestamp: now,
		Headers: stream.Headers(topic.Envelope{ID: id, Type: kind, Workspace: workspaceID, Time: now}.Headers()),
	}
	if value != nil {
		var err error
		if rec.Value, err = json.Marshal(value); err != nil {
			return stream.Offset{}, fmt.Errorf("encode record: %w", err)
		}
	}
	at, err := a.producer.Produce(ctx, rec)
	if err != nil {
		return stream.Offset{}, problem.WithKind(problem.Retry, err)
	}
	wait, cancel := context.WithTimeout(ctx, visibleTimeout)
	defer cancel()
	if err := a.view.WaitFor(wait, at[0]); err != nil {
		// It is durable, so it is not an error: it will be in force as soon as the view has caught up.
		a.log.WarnContext(ctx, "write not visible yet", "key_id", id, "error", err.Error())
	}
	return at[0], nil
}

// stamp is now as records keep it.
func (a *Access) stamp() time.Time { return a.now().UTC().Truncate(time.Millisecond) }

// invalid turns broken rules into a problem, or nil.
func invalid(broken []object.Violation) error {
	if len(broken) == 0 {
		return nil
	}
	faults := make([]problem.Fault, len(broken))
	for i, v := range broken {
		faults[i] = problem.At(v.Pointer, v.Detail)
	}
	return problem.Invalid(faults...)
}
