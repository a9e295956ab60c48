package dispatcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// directoryVersion is the version of the form of the store. A store of another one is rebuilt from the log.
const directoryVersion = 2

// The first byte of a key in the store: the rest is the key of the record.
const (
	spaceEndpoints = 'e'
	spaceKeys      = 'k'
	spaceObjects   = 'o'
)

// directory is the local view of endpoints, of the data keys that open what is sent to them, and of the objects whose names
// are told.
type directory struct {
	view    *stream.View
	vault   *seal.Vault
	keyring *keyring
	filters *filters
	log     *slog.Logger
	// partition is the only one of webhook-endpoints.
	partition     stream.TopicPartition
	keys, objects string

	mu sync.Mutex
	// known are the targets of workspaces, as long as the partition stands where it stood.
	known map[string]targets
}

type targets struct {
	at  int64
	all []*target
}

// target is an endpoint that is ready to be used. It is shared and must not be changed.
type target struct {
	*webhook.Endpoint

	private *webhook.Private
	// state is nil where nothing is known of the endpoint's present revision.
	state  *webhook.State
	filter *filter
	// broken is why the endpoint cannot be used: it was sealed with another master key.
	broken error
}

// active says whether deliveries are sent.
func (t *target) active() bool { return t.Enabled && (t.state == nil || t.state.DisabledAt.IsZero()) }

func openDirectory(ctx context.Context, cfg Config, deps Deps, f *filters) (*directory, error) {
	d := &directory{
		vault: seal.NewVault(deps.Master, deps.Previous...), keyring: newKeyring(deps.Master, deps.Now), filters: f, log: deps.Log,
		partition: stream.TopicPartition{Topic: deps.Kafka.Topic(topic.WebhookEndpoints)}, keys: deps.Kafka.Topic(topic.SubjectKeys),
		objects: deps.Kafka.Topic(topic.Objects),
		known:   map[string]targets{},
	}
	view, err := stream.OpenView(ctx, deps.Kafka, stream.ViewConfig{
		Name: "webhooks", Dir: cfg.Dir, Topics: []topic.Name{topic.WebhookEndpoints, topic.SubjectKeys, topic.Objects},
		// The sender writes states in its transactions.
		ReadCommitted: true, Version: directoryVersion, Apply: d.apply,
	}, stream.Deps{Log: deps.Log, Reg: deps.Reg})
	if err != nil {
		return nil, fmt.Errorf("open directory of endpoints: %w", err)
	}
	d.view = view
	return d, nil
}

// apply keeps every record as it is, under its own key.
func (d *directory) apply(b *pebble.Batch, r *stream.Record) error {
	space := byte(spaceEndpoints)
	switch r.Topic {
	case d.keys:
		space = spaceKeys
	case d.objects:
		space = spaceObjects
	}
	key := append([]byte{space}, r.Key...)
	if r.Value == nil {
		return b.Delete(key, nil)
	}
	return b.Set(key, r.Value, nil)
}

func endpointKey(workspace, id string) []byte { return topic.Key(workspace, webhook.EndpointType, id) }

func stateKey(workspace, id string) []byte { return topic.Key(workspace, webhook.StateType, id) }

func inEndpoints(key []byte) []byte { return append([]byte{spaceEndpoints}, key...) }

// caughtUp waits until the directory has every endpoint whose PUT was answered before now.
func (d *directory) caughtUp(ctx context.Context) error {
	if err := d.view.Barrier(ctx); err != nil {
		return fmt.Errorf("bring endpoints up to date: %w", err)
	}
	return nil
}

// of lists the endpoints of a workspace, by id, on the view as it is.
func (d *directory) of(workspace string) ([]*target, error) {
	at := d.view.Position(d.partition)
	d.mu.Lock()
	have, ok := d.known[workspace]
	d.mu.Unlock()
	if ok && have.at == at {
		return have.all, nil
	}
	all, err := d.read(workspace)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known[workspace] = targets{at: at, all: all}
	return all, nil
}

// find is one endpoint, or nil.
func (d *directory) find(workspace, id string) (*target, error) {
	all, err := d.of(workspace)
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		if t.ID == id {
			return t, nil
		}
	}
	return nil, nil //nolint:nilnil // there is none, and that is no error
}

func (d *directory) read(workspace string) ([]*target, error) {
	space := inEndpoints(topic.Key(workspace, webhook.EndpointType))
	from, to := slices.Concat(space, []byte{'/'}), slices.Concat(space, []byte{'/' + 1})
	it, err := d.view.DB().NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return nil, fmt.Errorf("read endpoints: %w", err)
	}
	var all []*target
	for it.First(); err == nil && it.Valid(); it.Next() {
		var t *target
		if t, err = d.target(it.Value()); err == nil && t != nil {
			all = append(all, t)
		}
	}
	if err = errors.Join(err, it.Error(), it.Close()); err != nil {
		return nil, fmt.Errorf("read endpoints: %w", err)
	}
	return all, nil
}

// target makes an endpoint of its record. One that cannot be read is nobody's, and left out: to stop would stop them all.
func (d *directory) target(value []byte) (*target, error) {
	e, err := webhook.ParseEndpoint(value)
	if err != nil {
		d.log.Warn("endpoint cannot be read", slog.String("error", err.Error()))
		return nil, nil //nolint:nilnil // as the comment above says
	}
	t := &target{Endpoint: e}
	if t.private, err = openPrivate(d.vault, e); err != nil {
		t.broken = err
		d.log.Error("endpoint cannot be opened: is this the master key that it was sealed with?",
			slog.String("workspace", e.Workspace), slog.String("endpoint", e.ID), slog.String("error", err.Error()))
	}
	// It compiled when it was accepted; a later version of the language that refuses it is a filter that fails.
	if t.filter, err = d.filters.compile(e.Filter); err != nil && t.broken == nil {
		t.broken = err
	}
	raw, ok, err := d.view.Get(inEndpoints(stateKey(e.Workspace, e.ID)))
	if err != nil {
		return nil, err
	}
	if ok {
		if s, err := webhook.ParseState(raw); err == nil && s.Of(e) {
			t.state = s
		}
	}
	return t, nil
}

func openPrivate(vault *seal.Vault, e *webhook.Endpoint) (*webhook.Private, error) {
	plain, err := vault.Open(e.Sealed, e.AdditionalData())
	if err != nil {
		return nil, fmt.Errorf("open endpoint: %w", err)
	}
	var p webhook.Private
	if err := json.Unmarshal(plain, &p); err != nil {
		return nil, fmt.Errorf("open endpoint: %w", err)
	}
	return &p, nil
}

// errErased says that the data key of a subject is gone.
var errErased = errors.New("the subject was erased")

// dataKey is a data key of a subject. A key's record is acknowledged before the first record that uses it, so where the
// view lacks it the view is brought to its end once; only a key that is still missing is errErased.
func (d *directory) dataKey(ctx context.Context, workspace string, subject object.Ref, id string) (*seal.DataKey, error) {
	name := append([]byte{spaceKeys}, topic.Key(workspace, string(subject.Type), subject.ID, id)...)
	value, ok, err := d.view.Get(name)
	if err == nil && !ok {
		if err = d.view.Barrier(ctx); err == nil {
			value, ok, err = d.view.Get(name)
		}
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("look up data key: %w", err)
	case !ok:
		return nil, errErased
	}
	return d.keyring.open(value)
}

// name is the name of an object as the view has it, with the data key that seals it and that key's id. It is empty, and
// there is no key, where the object has none, is not known, or was erased. An object that cannot be read has none either:
// what is told of it is not lost for that.
func (d *directory) name(ctx context.Context, workspace string, ref object.Ref) (string, *seal.DataKey, string, error) {
	value, ok, err := d.view.Get(append([]byte{spaceObjects}, topic.Key(workspace, string(ref.Type), ref.ID)...))
	if err != nil {
		return "", nil, "", fmt.Errorf("look up object: %w", err)
	}
	if !ok {
		return "", nil, "", nil
	}
	rec, err := object.ParseRecord(value)
	if err != nil {
		d.log.WarnContext(ctx, "object cannot be read", slog.String("object_type", string(ref.Type)), slog.String("error", err.Error()))
		return "", nil, "", nil
	}
	var personal object.Personal
	key, err := sealed{workspace, ref, rec.KeyID, rec.Sealed, rec.AdditionalData()}.open(ctx, d, &personal)
	if errors.Is(err, errPoison) {
		d.log.WarnContext(ctx, "object cannot be opened", slog.String("object_type", string(ref.Type)), slog.String("error", err.Error()))
		return "", nil, "", nil
	}
	return personal.Name, key, rec.KeyID, err
}
