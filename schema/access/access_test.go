package access_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

const adminKey = "operator-key-of-tests"

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newLog(t *testing.T, brokers []string) stream.Config {
	t.Helper()
	cfg := stream.Config{Brokers: brokers, ClientID: "test", Prefix: strings.TrimSuffix(schematest.Prefix(t), ".")}
	_, err := stream.EnsureTopics(t.Context(), cfg, stream.Deps{Log: quiet()}, topic.Layout(topic.EmbeddedPartitions), 1)
	check(t, err)
	return cfg
}

// process is one process that checks and writes keys.
type process struct {
	*access.Access

	reg *prometheus.Registry
	run func()
}

// open opens access; it knows no key before run.
func open(t *testing.T, kafka stream.Config, dir string) *process {
	t.Helper()
	p := &process{reg: prometheus.NewRegistry()}
	producer, err := stream.NewProducer(kafka, stream.ProducerConfig{}, stream.Deps{Log: quiet(), Reg: p.reg})
	check(t, err)
	p.Access, err = access.Open(t.Context(), access.Config{Dir: dir, AdminKey: adminKey},
		access.Deps{Kafka: kafka, Producer: producer, Log: quiet(), Reg: p.reg})
	check(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	p.run = sync.OnceFunc(func() {
		wg.Go(func() {
			if err := p.Run(ctx); err != nil {
				t.Errorf("run: %v", err)
			}
		})
		eventually(t, func() bool { return p.Ready(ctx) == nil })
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		check(t, p.Close())
		check(t, producer.Close(context.WithoutCancel(t.Context())))
	})
	return p
}

func start(t *testing.T, kafka stream.Config) *process {
	t.Helper()
	p := open(t, kafka, t.TempDir())
	p.run()
	return p
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("did not happen within 10 s")
		}
	}
}

func (p *process) put(t *testing.T, id string) {
	t.Helper()
	_, _, err := p.PutWorkspace(t.Context(), workspace.Workspace{ID: id})
	check(t, err)
}

func (p *process) create(t *testing.T, id string, scopes ...workspace.Scope) *access.CreatedKey {
	t.Helper()
	k, err := p.CreateKey(t.Context(), access.NewKey{Workspace: id, Scopes: scopes})
	check(t, err)
	return k
}

// ask makes a request to a route behind wrap and gives back the answer, and who was let through.
func (p *process) ask(t *testing.T, authorization string, wrap func(web.Handler) web.Handler) (*httptest.ResponseRecorder, *access.Principal) {
	t.Helper()
	router := web.NewRouter(web.Options{Log: quiet(), Registerer: prometheus.NewRegistry()})
	var who *access.Principal
	router.Handle(http.MethodGet, "/v1/workspaces/{workspaceId}", wrap(func(w http.ResponseWriter, r *http.Request) error {
		from := access.From(r.Context())
		who = &from
		w.WriteHeader(http.StatusNoContent)
		return nil
	}))
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/workspaces/acme", nil)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	rec := httptest.NewRecorder()
	router.ServeHTTP(rec, req)
	return rec, who
}

func (p *process) reading(next web.Handler) web.Handler { return p.Require(workspace.Read, next) }

func TestRequestIsLetThroughByItsKey(t *testing.T) {
	t.Parallel()
	p := start(t, newLog(t, schematest.Kfake(t)))
	p.put(t, "acme")
	p.put(t, "other")
	reader := p.create(t, "acme", workspace.Read, workspace.EventsWrite)
	writer := p.create(t, "acme", workspace.EventsWrite)
	wall := p.create(t, "acme", workspace.WallboardRead)
	admin := p.create(t, "acme", workspace.Admin)
	stranger := p.create(t, "other", workspace.Admin)
	wallboard := func(next web.Handler) web.Handler {
		return p.RequireAny([]workspace.Scope{workspace.Read, workspace.WallboardRead}, next)
	}
	administration := func(next web.Handler) web.Handler { return p.RequireAdmin("workspaceId", next) }
	for name, c := range map[string]struct {
		authorization string
		wrap          func(web.Handler) web.Handler
		want          int
	}{
		"with its scope":                        {"Bearer " + reader.Secret, p.reading, 204},
		"whatever the case of the scheme":       {"bEARER  " + reader.Secret, p.reading, 204},
		"not without a key":                     {"", p.reading, 401},
		"not with another scheme":               {"Basic " + reader.Secret, p.reading, 401},
		"not with an empty key":                 {"Bearer ", p.reading, 401},
		"not with an unknown key":               {"Bearer " + reader.Secret + "0", p.reading, 401},
		"not with the hash of a key":            {"Bearer " + reader.Key.Hash, p.reading, 401},
		"not with an endless key":               {"Bearer " + strings.Repeat("x", 5000), p.reading, 401},
		"not with another scope":                {"Bearer " + writer.Secret, p.reading, 403},
		"not with the operator's key":           {"Bearer " + adminKey, p.reading, 403},
		"with one of two scopes":                {"Bearer " + wall.Secret, wallboard, 204},
		"with the other of two scopes":          {"Bearer " + reader.Secret, wallboard, 204},
		"to administration by the operator":     {"Bearer " + adminKey, administration, 204},
		"to administration by its admin":        {"Bearer " + admin.Secret, administration, 204},
		"not to administration by others":       {"Bearer " + reader.Secret, administration, 403},
		"not to administration by other admins": {"Bearer " + stranger.Secret, administration, 404},
		"to the operator's by the operator":     {"Bearer " + adminKey, p.RequireOperator, 204},
		"not to the operator's by an admin":     {"Bearer " + admin.Secret, p.RequireOperator, 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec, who := p.ask(t, c.authorization, c.wrap)
			if rec.Code != c.want {
				t.Fatalf("answered %d, want %d: %s", rec.Code, c.want, rec.Body)
			}
			if got := rec.Header().Get("WWW-Authenticate"); (got == `Bearer realm="throughline"`) != (c.want == 401) {
				t.Errorf("WWW-Authenticate is %q", got)
			}
			operator := c.want == 204 && strings.HasSuffix(c.authorization, adminKey)
			if who != nil && (who.Operator != operator || (who.Workspace == "acme") == operator) {
				t.Errorf("principal is %+v", who)
			}
		})
	}
}

func TestKeysThatAreNotLoadedYetAreNotCalledUnknown(t *testing.T) {
	t.Parallel()
	kafka := newLog(t, schematest.Kfake(t))
	one := start(t, kafka)
	one.put(t, "acme")
	key := one.create(t, "acme", workspace.Read)
	late := open(t, kafka, t.TempDir())
	if rec, _ := late.ask(t, "Bearer "+key.Secret, late.reading); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
		t.Errorf("answered %d, want 503 with Retry-After", rec.Code)
	}
	late.run()
	if rec, _ := late.ask(t, "Bearer "+key.Secret, late.reading); rec.Code != http.StatusNoContent {
		t.Errorf("answered %d, want 204", rec.Code)
	}
}

func TestUnknownKeyCostsTheBrokersNothing(t *testing.T) {
	t.Parallel()
	p := start(t, newLog(t, schematest.Kfake(t)))
	p.put(t, "acme")
	before := p.barriers(t)
	for range 50 {
		if rec, _ := p.ask(t, "Bearer tlk_guess", p.reading); rec.Code != http.StatusUnauthorized {
			t.Fatalf("answered %d", rec.Code)
		}
	}
	if got := p.barriers(t) - before; got != 0 {
		t.Errorf("%d requests waited for the end of the log", got)
	}
}

// barriers is how often somebody waited for the view.
func (p *process) barriers(t *testing.T) uint64 {
	t.Helper()
	families, err := p.reg.Gather()
	check(t, err)
	for _, f := range families {
		if f.GetName() == "throughline_stream_view_barrier_seconds" {
			return f.GetMetric()[0].GetHistogram().GetSampleCount()
		}
	}
	t.Fatal("the view counts no barriers")
	return 0
}

func TestTwoProcessesThatAddKeysAtOnceLoseNone(t *testing.T) {
	t.Parallel()
	kafka := newLog(t, schematest.Kafka(t))
	one, two := start(t, kafka), start(t, kafka)
	one.put(t, "acme")
	const each = 10
	var wg sync.WaitGroup
	for _, p := range []*process{one, two} {
		for range each {
			wg.Go(func() {
				k, err := p.CreateKey(t.Context(), access.NewKey{Workspace: "acme", Scopes: []workspace.Scope{workspace.Read}})
				if err != nil {
					t.Errorf("create key: %v", err)
					return
				}
				// In force at once where it was made.
				if rec, _ := p.ask(t, "Bearer "+k.Secret, p.reading); rec.Code != http.StatusNoContent {
					t.Errorf("answered %d", rec.Code)
				}
			})
		}
	}
	wg.Wait()
	for _, p := range []*process{one, two} {
		check(t, p.Barrier(t.Context()))
		var listed []*workspace.APIKey
		for after := ""; ; after = listed[len(listed)-1].ID {
			page, err := p.ListKeys("acme", after, 3)
			check(t, err)
			listed = append(listed, page...)
			if len(page) < 3 {
				break
			}
		}
		if len(listed) != 2*each {
			t.Errorf("%d keys are listed, want %d", len(listed), 2*each)
		}
	}
}

func TestChosenSecretMakesOneKey(t *testing.T) {
	t.Parallel()
	p := start(t, newLog(t, schematest.Kfake(t)))
	p.put(t, "acme")
	p.put(t, "other")
	const secret = "chosen-by-the-operator"
	key := access.NewKey{Workspace: "acme", Scopes: []workspace.Scope{workspace.Read}, Secret: secret}
	first, err := p.CreateKey(t.Context(), key)
	check(t, err)
	again, err := p.CreateKey(t.Context(), key)
	check(t, err)
	if first.Existed || !again.Existed || first.Key.ID != again.Key.ID || again.Secret != secret {
		t.Errorf("first %+v, again %+v", first, again)
	}
	key.Workspace = "other"
	if _, err := p.CreateKey(t.Context(), key); !errors.Is(err, access.ErrSecretTaken) {
		t.Errorf("in another workspace: %v, want ErrSecretTaken", err)
	}
	key.Secret = adminKey
	if _, err := p.CreateKey(t.Context(), key); !errors.Is(err, access.ErrSecretTaken) {
		t.Errorf("the operator's: %v, want ErrSecretTaken", err)
	}
	key.Secret = "short"
	if _, err := p.CreateKey(t.Context(), key); err == nil {
		t.Error("a short secret was taken")
	}
	_, err = p.DeleteKey(t.Context(), "acme", first.Key.ID)
	check(t, err)
	if rec, _ := p.ask(t, "Bearer "+secret, p.reading); rec.Code != http.StatusUnauthorized {
		t.Errorf("after its end it is answered %d", rec.Code)
	}
}

func TestSecretThatTwoWorkspacesCameToShareIsNobodys(t *testing.T) {
	t.Parallel()
	kafka := newLog(t, schematest.Kfake(t))
	p := start(t, kafka)
	p.put(t, "acme")
	p.put(t, "other")
	key := p.create(t, "acme", workspace.Read)
	// Another process that did not see the first key yet would have written this.
	copied := key.Key
	copied.Workspace = "other"
	value, err := json.Marshal(copied)
	check(t, err)
	producer, err := stream.NewProducer(kafka, stream.ProducerConfig{}, stream.Deps{Log: quiet()})
	check(t, err)
	defer func() { check(t, producer.Close(context.WithoutCancel(t.Context()))) }()
	_, err = producer.Produce(t.Context(), &stream.Record{
		Topic: kafka.Topic(topic.Workspaces), Key: topic.Key("other", workspace.KeyType, copied.ID), Value: value,
	})
	check(t, err)
	check(t, p.Barrier(t.Context()))
	if rec, _ := p.ask(t, "Bearer "+key.Secret, p.reading); rec.Code != http.StatusUnauthorized {
		t.Errorf("answered %d, want 401", rec.Code)
	}
}

func TestWriteSaysWhatItCannotDo(t *testing.T) {
	t.Parallel()
	kafka := newLog(t, schematest.Kfake(t))
	p := start(t, kafka)
	if _, err := p.CreateKey(t.Context(), access.NewKey{Workspace: "nobody", Scopes: []workspace.Scope{workspace.Read}}); !errors.Is(err, access.ErrNoWorkspace) {
		t.Errorf("a key of no workspace: %v", err)
	}
	if _, _, err := p.PutWorkspace(t.Context(), workspace.Workspace{ID: "No"}); !errors.Is(err, problem.New(problem.InvalidMember, "")) {
		t.Errorf("a workspace with a bad id: %v", err)
	}
	reader, err := access.Open(t.Context(), access.Config{Dir: t.TempDir()}, access.Deps{Kafka: kafka, Log: quiet()})
	check(t, err)
	defer func() { check(t, reader.Close()) }()
	if _, err := reader.DeleteKey(t.Context(), "acme", "k"); !errors.Is(err, access.ErrReadOnly) {
		t.Errorf("a write without a producer: %v", err)
	}
}

func TestWorkspaceKeepsTheTimeItWasMade(t *testing.T) {
	t.Parallel()
	p := start(t, newLog(t, schematest.Kfake(t)))
	made, _, err := p.PutWorkspace(t.Context(), workspace.Workspace{ID: "acme", Name: "Acme"})
	check(t, err)
	eventually(t, func() bool { return time.Since(made.CreatedAt) > 2*time.Millisecond })
	changed, _, err := p.PutWorkspace(t.Context(), workspace.Workspace{ID: "acme", Name: "Acme II", TimeZone: "Asia/Tokyo"})
	check(t, err)
	if !changed.CreatedAt.Equal(made.CreatedAt) || !changed.UpdatedAt.After(made.UpdatedAt) || made.TimeZone != "UTC" {
		t.Errorf("made %+v, changed %+v", made, changed)
	}
	for i := range 3 {
		p.put(t, fmt.Sprintf("w%d", i))
	}
	page, err := p.Workspaces("acme", 2)
	check(t, err)
	if len(page) != 2 || page[0].ID != "w0" || page[1].ID != "w1" {
		t.Errorf("the page is %+v", page)
	}
}
