package ingest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/ingest/conversation"
	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/position"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

const transitionsBatch = "/v1/conversations/batch"

// decider runs a processor of conversations, with a registry of its own as in another process, until the test ends.
func (l *log) decider(t *testing.T) {
	t.Helper()
	reg := prometheus.NewRegistry()
	deps := stream.Deps{Log: quiet(), Reg: reg}
	check(t, stream.CommitInitialOffsets(t.Context(), l.kafka, deps, conversation.Group, []topic.Name{topic.ConversationCommands}))
	producer, err := stream.NewProducer(l.kafka, stream.ProducerConfig{}, deps)
	check(t, err)
	objects, err := registry.Open(t.Context(), registry.Config{Dir: t.TempDir()}, registry.Deps{Kafka: l.kafka, Master: l.master, Log: quiet(), Reg: reg})
	check(t, err)
	cfg := conversation.DefaultConfig()
	cfg.Dir = t.TempDir()
	service, err := conversation.New(cfg, conversation.Deps{
		Kafka: l.kafka, Objects: objects, Producer: producer, Master: l.master, Log: quiet(), Reg: reg,
	})
	check(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{objects.Run, service.Run} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		check(t, objects.Close())
		check(t, producer.Close(context.WithoutCancel(t.Context())))
	})
	within(t, time.Minute, func() bool { return service.Ready(t.Context()) == nil })
}

// talking is an edge with a processor behind it.
func talking(t *testing.T, brokers []string) (*log, *edge) {
	t.Helper()
	l := newLog(t, brokers)
	e := l.edge(t)
	l.decider(t)
	e.eventually(func() bool {
		return e.do(http.MethodPost, transitionsBatch, e.key("warm"), `{"transitions":[]}`).status == http.StatusOK
	})
	return l, e
}

// move posts a transition and returns the answer.
func (e *edge) move(status int, key, id, body string, headers ...string) answer {
	e.t.Helper()
	return e.must(status, http.MethodPost, "/v1/conversations/"+id+"/transitions", key, body, headers...)
}

func TestATransitionIsAnsweredWithWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	_, e := talking(t, schematest.Kafka(t))
	key := e.key("acme")
	e.must(http.StatusOK, http.MethodPut, "/v1/objects/CUSTOMER/c1", key, `{"externalId":"x1"}`)
	for _, step := range []struct {
		body string
		want map[string]any
	}{
		{`{"type":"opened","id":"i1","customer":{"externalId":"x1"},"expectedVersion":0}`, map[string]any{"version": 1.0, "state": "OPEN", "changed": true}},
		{`{"type":"queued","team":"sales"}`, map[string]any{"version": 2.0, "state": "QUEUED", "changed": true}},
		{`{"type":"queued"}`, map[string]any{"version": 2.0, "state": "QUEUED", "changed": false}},
		{`{"type":"responded","agent":"u1","expectedVersion":2}`, map[string]any{
			"version": 3.0, "state": "ACTIVE", "changed": true, "missing": []any{map[string]any{"objectType": "USER", "objectId": "u1"}},
		}},
		{`{"type":"queued","id":"i1","expectedVersion":77}`, map[string]any{"version": 1.0, "state": "ACTIVE", "changed": false}},
		{`{"type":"rated","rating":5,"comment":"nice"}`, map[string]any{"version": 4.0, "state": "ACTIVE", "changed": true}},
		{`{"type":"closed","reason":"done"}`, map[string]any{"version": 5.0, "state": "CLOSED", "changed": true}},
	} {
		a := e.move(http.StatusOK, key, "k%2F1", step.body)
		var got map[string]any
		check(t, json.Unmarshal(a.body, &got))
		p, err := position.Parse(got["position"].(string), "acme")
		if err != nil || len(p.Entries()) != 1 || p.Entries()[0].Topic != topic.ConversationCommands {
			t.Errorf("%s: the position covers %v, %v", step.body, p.Entries(), err)
		}
		if got["conversationId"] != "k/1" || got["id"] == "" {
			t.Errorf("%s: answered %s", step.body, a.body)
		}
		if step.want["missing"] == nil {
			step.want["missing"] = []any{}
		}
		for _, member := range []string{"position", "conversationId", "id"} {
			delete(got, member)
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.body, diff)
		}
	}
	for body, want := range map[string]problem.Type{
		`{"type":"queued"}`:                      problem.TransitionNotAllowed,
		`{"type":"closed","expectedVersion":2}`:  problem.VersionConflict,
		`{"type":"opened","expectedVersion":0}`:  problem.VersionConflict,
		`{"type":"labeled","labels":["a","b"]}`:  "",
		`{"type":"transferred","team":"ticket"}`: problem.TransitionNotAllowed,
	} {
		if want == "" {
			e.move(http.StatusOK, key, "k%2F1", body)
			continue
		}
		a := e.move(http.StatusConflict, key, "k%2F1", body)
		if p := a.problem(t); p.Type != want || a.member(t, "state") != "CLOSED" || a.member(t, "version").(float64) < 5 {
			t.Errorf("%s: answered %s", body, a.body)
		}
	}
	// Another workspace's conversation of the same id is another one.
	if a := e.move(http.StatusOK, e.key("other"), "k%2F1", `{"type":"queued"}`); a.member(t, "version") != 2.0 {
		t.Errorf("another workspace was answered %s", a.body)
	}
}

func TestBadTransitionsAreRefusedWithAPointer(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t))
	e := l.edge(t)
	key := e.key("acme")
	long := strings.Repeat("l", 10_000)
	for body, want := range map[string]struct {
		status  int
		pointer string
	}{
		`{}`:                             {422, "/type"},
		`{"type":"shouted"}`:             {422, "/type"},
		`{"type":"queued","agnet":"u1"}`: {422, "/agnet"},
		`{"type":"assigned","agent":{"objectId":"u1","name":"x"}}`: {422, "/agent/name"},
		`{"type":"assigned","agent":7}`:                            {422, "/agent"},
		`{"type":"assigned"}`:                                      {422, "/agent"},
		`{"type":"assigned","agent":""}`:                           {422, "/agent/objectId"},
		`{"type":"queued","agent":"u1"}`:                           {422, "/agent"},
		`{"type":"responded","agent":"u1","bot":"b1"}`:             {422, "/agent"},
		`{"type":"labeled","labels":["` + long + `"]}`:             {422, "/labels/0"},
		`{"type":"labeled","labels":"vip"}`:                        {422, "/labels"},
		`{"type":"surveyed","rating":6}`:                           {422, "/rating"},
		`{"type":"surveyed","rating":4.5}`:                         {422, "/rating"},
		`{"type":"queued","expectedVersion":-1}`:                   {422, "/expectedVersion"},
		`{"type":"queued","occurredAt":"0001-01-01T00:00:00Z"}`:    {422, "/occurredAt"},
		`{"type":"queued","id":".."}`:                              {422, "/id"},
		`{"type":"opened","attributes":[1]}`:                       {422, "/attributes"},
		`{"type":"queued","conversationId":"k2"}`:                  {422, "/conversationId"},
		`{"type":"queued","type":"closed"}`:                        {400, "/type"},
		`{"type":"queued"`:                                         {400, "/type"},
	} {
		p := e.move(want.status, key, "k1", body).problem(t)
		if want.status == 422 && (len(p.Errors) == 0 || p.Errors[0].Pointer != want.pointer) {
			t.Errorf("%.60s: faults are %v, want one at %s", body, p.Errors, want.pointer)
		}
	}
	e.move(http.StatusRequestEntityTooLarge, key, "k1", `{"type":"opened","attributes":{"a":"`+strings.Repeat("a", 33<<10)+`"}}`)
	e.move(http.StatusUnprocessableEntity, key, "..", `{"type":"queued"}`)
	e.move(http.StatusUnprocessableEntity, key, "k1", `{"type":"queued","id":"a"}`, "Idempotency-Key", "b")
	if n := len(l.read(t, topic.ConversationCommands)); n != 0 {
		t.Errorf("%d commands were written, want none", n)
	}
}

func TestATransitionThatNobodyDecidesIsPending(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t))
	e := l.edge(t)
	key := e.key("acme")
	a := e.move(http.StatusAccepted, key, "k1", `{"type":"queued","id":"i1"}`)
	if a.member(t, "processingStatus") != "PENDING" || a.member(t, "id") != "i1" || a.member(t, "position") == nil {
		t.Errorf("answered %s", a.body)
	}
	l.decider(t)
	var again answer
	within(t, time.Minute, func() bool {
		again = e.do(http.MethodPost, "/v1/conversations/k1/transitions", key, `{"type":"queued","id":"i1"}`)
		return again.status == http.StatusOK
	})
	if again.member(t, "version") != 2.0 || again.member(t, "changed") != false {
		t.Errorf("the repeat is answered %s", again.body)
	}
}

// decision is one item's part of the answer to a batch of transitions.
type decision struct {
	Status  int
	Version int
	State   string
	Changed *bool
	Problem *problem.Problem
}

func TestABatchOfTransitionsIsDecidedInOrderAndItemByItem(t *testing.T) {
	t.Parallel()
	_, e := talking(t, schematest.Kafka(t))
	key := e.key("acme")
	items := []string{
		`{"conversationId":"a","type":"opened"}`,
		`{"conversationId":"b","type":"queued"}`,
		`{"conversationId":"a","type":"closed"}`,
		`{"conversationId":"a","type":"queued"}`,
		`{"conversationId":"b","type":"broadcasted"}`,
		`{"type":"queued"}`,
		`{"conversationId":"b","type":"responded","agent":"u1","expectedVersion":2}`,
		`{"conversationId":"b","type":"closed","reason":"` + strings.Repeat("r", 33<<10) + `"}`,
		`{oops`,
		`{"conversationId":"b","type":"queued"}`,
	}
	a := e.must(http.StatusOK, http.MethodPost, transitionsBatch, key, strings.Join(items, "\n"), "Content-Type", ndjson)
	var got struct {
		Accepted, Rejected int
		Results            []decision
	}
	check(t, json.Unmarshal(a.body, &got))
	var lines []string
	for _, r := range got.Results {
		line := fmt.Sprintf("%d %d %s", r.Status, r.Version, r.State)
		if r.Problem != nil {
			line = fmt.Sprintf("%d %s", r.Status, r.Problem.Type)
		}
		lines = append(lines, line)
	}
	// The first 422 is a broadcast to nobody, the second one names no conversation.
	want := []string{
		"200 1 OPEN", "200 2 QUEUED", "200 2 CLOSED", "409 transition-not-allowed", "422 invalid-member", "422 invalid-member",
		"200 3 ACTIVE", "413 too-large", "400 malformed-json", "200 4 QUEUED",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if got.Accepted != 5 || got.Rejected != 5 {
		t.Errorf("accepted %d, rejected %d", got.Accepted, got.Rejected)
	}
	if p, err := position.Parse(a.member(t, "position").(string), "acme"); err != nil || p.Empty() {
		t.Errorf("the position is %v, %v", p, err)
	}
}

// TestAnEventMayBePostedToAConversationAsSoonAsItHasBegun uses an edge whose registry has never heard of it.
func TestAnEventMayBePostedToAConversationAsSoonAsItHasBegun(t *testing.T) {
	t.Parallel()
	l, e := talking(t, schematest.Kafka(t))
	key := e.key("acme")
	other := l.edge(t)
	within(t, time.Minute, func() bool {
		return other.do(http.MethodGet, "/v1/objects?externalId=x", key, "").status == http.StatusOK
	})
	for i := range 20 {
		id := fmt.Sprintf("k%d", i)
		e.move(http.StatusOK, key, id, `{"type":"opened","customer":"c1"}`)
		event := fmt.Sprintf(`{"objectType":"CONVERSATION","objectId":"%s","name":"Message"}`, id)
		if i%2 == 0 {
			other.must(http.StatusOK, http.MethodPost, "/v1/events", key, event)
			continue
		}
		a := other.must(http.StatusOK, http.MethodPost, eventsBatch, key, event, "Content-Type", ndjson)
		if got := a.batch(t); got.Accepted != 1 {
			t.Errorf("%s: answered %s", id, a.body)
		}
	}
	e.must(http.StatusNotFound, http.MethodPost, "/v1/events", key, `{"objectType":"CONVERSATION","objectId":"never","name":"Message"}`)
	e.must(http.StatusOK, http.MethodPatch, "/v1/objects/CONVERSATION/k1", key, `{"attributes":{"ticket":7}}`)
	e.must(http.StatusNotFound, http.MethodPatch, "/v1/objects/CONVERSATION/never", key, `{"attributes":{"ticket":7}}`)
	a := e.must(http.StatusOK, http.MethodGet, "/v1/objects/CONVERSATION/k1", key, "")
	if diff := cmp.Diff([]any{map[string]any{"objectType": "CUSTOMER", "objectId": "c1"}}, a.member(t, "relations")); diff != "" {
		t.Errorf("relations (-want +got):\n%s", diff)
	}
}
