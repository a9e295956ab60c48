package conversation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/ingest"
	"github.com/throughline/throughline/ingest/logtest"
	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/access"
	conv "github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/workspace"
)

// edge is an edge of the log, in front of processors elsewhere, with a key of workspace acme.
type edge struct {
	t   *testing.T
	url string
	key string
}

func (w *world) edge() *edge {
	t, dir, log := w.T, w.T.TempDir(), logtest.Logger(w.T.Name())
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	reg := prometheus.NewRegistry()
	producer, err := stream.NewProducer(w.Kafka, stream.ProducerConfig{}, stream.Deps{Log: log, Reg: reg})
	must(err)
	objects, err := registry.Open(t.Context(), registry.Config{Dir: filepath.Join(dir, "registry")}, registry.Deps{
		Kafka: w.Kafka, Master: w.Master, Log: log, Reg: reg,
	})
	must(err)
	keys, err := access.Open(t.Context(), access.Config{Dir: filepath.Join(dir, "access"), AdminKey: "operator-key-of-tests"}, access.Deps{
		Kafka: w.Kafka, Producer: producer, Log: log, Reg: reg,
	})
	must(err)
	service, err := ingest.New(ingest.DefaultConfig(), ingest.Deps{
		Kafka: w.Kafka, Producer: producer, Registry: objects, Access: keys, Master: w.Master, Log: log, Reg: reg,
	})
	must(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{objects.Run, keys.Run, service.Run} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("run edge: %v", err)
			}
		})
	}
	server := httptest.NewServer(service.Handler())
	t.Cleanup(func() {
		server.Close()
		cancel()
		wg.Wait()
		must(objects.Close())
		must(keys.Close())
		must(producer.Close(context.WithoutCancel(ctx)))
	})
	e := &edge{t: t, url: server.URL}
	eventually(t, func() bool { return service.Ready(t.Context()) == nil })
	_, _, err = keys.PutWorkspace(t.Context(), workspace.Workspace{ID: "acme", Name: "acme"})
	must(err)
	created, err := keys.CreateKey(t.Context(), access.NewKey{Workspace: "acme", Name: "test", Scopes: workspace.DevScopes()})
	must(err)
	e.key = created.Secret
	return e
}

// eventually polls until ok, which must come true within a minute.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen within a minute")
		}
		<-tick.C
	}
}

// answer is what a transition was answered.
type answer struct {
	Status  int `json:"-"`
	Version int64
	State   conv.State
	Changed bool
}

// post sends a transition once.
func (e *edge) post(ctx context.Context, conversation string, body map[string]any) (answer, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url+"/v1/conversations/"+conversation+"/transitions", bytes.NewReader(text))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+e.key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{Status: resp.StatusCode}
	if a.Status == http.StatusOK || a.Status == http.StatusConflict {
		err = json.Unmarshal(content, &a)
	}
	a.Status = resp.StatusCode
	return a, err
}
