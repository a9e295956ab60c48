package query

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/query/wallboard"
	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

// desk is a broker on which the test plays the processor of conversations.
type desk struct {
	t      *testing.T
	kafka  stream.Config
	client *kgo.Client
	states map[string]conversation.Conversation
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, states: map[string]conversation.Conversation{}}
	d.kafka = stream.Config{Brokers: schematest.Kfake(t), ClientID: "wallboard-test", Prefix: "t", Embedded: true}
	if _, err := stream.EnsureTopics(t.Context(), d.kafka, stream.Deps{Log: quiet()}, topic.Layout(topic.EmbeddedPartitions), 1); err != nil {
		t.Fatal(err)
	}
	client, err := stream.Open(d.kafka, quiet(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	d.client = client
	return d
}

// move takes a conversation through a transition, as of now.
func (d *desk) move(ws, id string, typ conversation.Type, change ...func(*conversation.Command)) {
	d.t.Helper()
	now := event.TimeOf(time.Now())
	c := &conversation.Command{Workspace: ws, ConversationID: id, ID: strconv.Itoa(len(d.states)) + string(typ), Type: typ, OccurredAt: now, ReceivedAt: now}
	for _, ch := range change {
		ch(c)
	}
	var who conversation.Parties
	if c.Agent != nil {
		who.Agent = &conversation.Party{Type: object.User, ID: c.Agent.ID}
	}
	state := d.states[ws+"/"+id]
	for _, tr := range conversation.Decide(&conversation.Snapshot{Conversation: state}, c, who).Transitions {
		tr.Links = []event.Link{{Type: object.Conversation, ID: id, Kind: event.LinkPrimary}}
		if err := tr.Complete(state); err != nil {
			d.t.Fatal(err)
		}
		state = tr.After
		value, err := tr.Encode()
		if err != nil {
			d.t.Fatal(err)
		}
		d.append(topic.Conversations, conversation.Key(ws, id), value)
	}
	d.states[ws+"/"+id] = state
	value, err := (&conversation.Snapshot{Conversation: state}).Encode()
	if err != nil {
		d.t.Fatal(err)
	}
	d.append(topic.ConversationState, conversation.Key(ws, id), value)
}

func (d *desk) append(name topic.Name, key, value []byte) {
	d.t.Helper()
	if err := d.client.ProduceSync(d.t.Context(), &kgo.Record{Topic: d.kafka.Topic(name), Key: key, Value: value}).FirstErr(); err != nil {
		d.t.Fatal(err)
	}
}

// wall is a service that shows wallboards alone: its tables are never there.
type wall struct {
	*Service

	url     string
	revoked *atomic.Bool
}

func (d *desk) wall(t *testing.T, change ...func(*Config)) *wall {
	t.Helper()
	cfg := DefaultConfig()
	for _, c := range change {
		c(&cfg)
	}
	cfg.Listen, cfg.Kafka = "", d.kafka
	cfg.ClickHouse.Addr, cfg.ClickHouse.Database, cfg.ClickHouse.User = "127.0.0.1:1", "none", "none"
	w := &wall{revoked: &atomic.Bool{}}
	service, err := New(cfg, Deps{
		Log: quiet(), Reg: prometheus.NewRegistry(), TimeZone: universal,
		Require: func(scopes []workspace.Scope, next web.Handler) web.Handler {
			return func(rw http.ResponseWriter, r *http.Request) error {
				ws, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
				if !ok || w.revoked.Load() || len(scopes) != 2 {
					return problem.NoKey("")
				}
				return next(rw, r.WithContext(access.WithPrincipal(r.Context(), access.Principal{Workspace: ws})))
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Service = service
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	server := httptest.NewServer(service.Handler())
	w.url = server.URL
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		server.Close()
	})
	await(t, "the boards are read", func() bool { return service.feed.Ready(t.Context()) == nil })
	return w
}

func (w *wall) get(t *testing.T, ws, path string) (*http.Response, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+ws)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp, cancel
}

// screenshot is what a test looks at of a board.
type screenshot struct {
	wallboard.Figures

	Groups []wallboard.Group `json:"groups"`
	AsOf   string            `json:"asOf"`
}

func (w *wall) board(t *testing.T, ws, query string) screenshot {
	t.Helper()
	resp, cancel := w.get(t, ws, "/v1/wallboard"+query)
	defer cancel()
	defer resp.Body.Close()
	var s screenshot
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d: %v", resp.StatusCode, err)
	}
	return s
}

// frames gives the data of each event of a stream, and is closed at its end.
func frames(resp *http.Response) <-chan screenshot {
	out := make(chan screenshot)
	go func() {
		defer close(out)
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			var s screenshot
			if ok && json.Unmarshal([]byte(data), &s) == nil {
				out <- s
			}
		}
	}()
	return out
}

func inTeam(name string) func(*conversation.Command) {
	return func(c *conversation.Command) { c.Team = name }
}

func by(agent string) func(*conversation.Command) {
	return func(c *conversation.Command) { c.Agent = &conversation.Reference{ID: agent} }
}

func TestWallboardFollowsTransitionsAndIsTheSameAfterAStart(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.wall(t)
	d.move("acme", "k1", conversation.Opened, inTeam("sales"))
	d.move("acme", "k1", conversation.Queued)
	d.move("acme", "k2", conversation.Queued, inTeam("help"))
	d.move("acme", "k3", conversation.Queued, inTeam("help"))
	d.move("acme", "k3", conversation.Closed)
	d.move("other", "k1", conversation.Opened)
	await(t, "the board shows the queue", func() bool { return first.board(t, "acme", "").QueueSize == 2 })
	d.move("acme", "k1", conversation.Responded, by("u1"))
	await(t, "the board shows the answer", func() bool { return first.board(t, "acme", "").Answered30m == 1 })
	second := d.wall(t)
	// The log has all snapshots of a conversation; a stay that an older one has counts once.
	if a, b := first.board(t, "acme", "").MaxQueueSizeToday, second.board(t, "acme", "").MaxQueueSizeToday; a != b {
		t.Errorf("the longest queue was %d, and %d after a start", a, b)
	}
	for name, w := range map[string]*wall{"the one that was there": first, "one that has just started": second} {
		s := w.board(t, "acme", "?groupBy=team")
		if s.QueueSize != 1 || s.States.Active != 1 || s.AgentsBusy != 1 || s.Answered60m != 1 || s.Abandoned60m != 1 || s.MaxQueueSizeToday < 2 {
			t.Errorf("%s: %+v", name, s)
		}
		if len(s.Groups) != 2 || *s.Groups[0].Group != "help" || s.Groups[0].QueueSize != 1 || *s.Groups[1].Group != "sales" || s.Groups[1].AgentsBusy != 1 {
			t.Errorf("%s: groups %+v", name, s.Groups)
		}
		if o := w.board(t, "other", ""); o.QueueSize != 0 || o.States.Open != 1 {
			t.Errorf("%s shows another workspace: %+v", name, o)
		}
	}
	resp, cancel := first.get(t, "acme", "/v1/wallboard?groupBy=mood")
	defer cancel()
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("an unknown grouping: %d", resp.StatusCode)
	}
}

// TestAThousandScreensFollow opens a thousand streams and waits until each has shown a transition.
func TestAThousandScreensFollow(t *testing.T) {
	t.Parallel()
	const screens = 1000
	d := newDesk(t)
	w := d.wall(t)
	var opened, shown sync.WaitGroup
	var bad atomic.Int64
	for range screens {
		opened.Add(1)
		shown.Go(func() {
			resp, cancel := w.get(t, "acme", "/v1/wallboard/stream")
			defer cancel()
			defer resp.Body.Close()
			all := frames(resp)
			s, ok := <-all
			opened.Done()
			if !ok || s.QueueSize != 0 {
				bad.Add(1)
			}
			for s.QueueSize != 1 {
				if s, ok = <-all; !ok {
					bad.Add(1)
					return
				}
			}
			cancel()
			for range all {
			}
		})
	}
	opened.Wait()
	if n := testutil.ToFloat64(w.metrics.streams); n != screens {
		t.Errorf("%v streams are counted", n)
	}
	d.move("acme", "k1", conversation.Queued)
	shown.Wait()
	if bad.Load() > 0 {
		t.Errorf("%d streams ended early or began wrong", bad.Load())
	}
	await(t, "the streams are left", func() bool { return testutil.ToFloat64(w.metrics.streams) == 0 })
}

func TestAStreamEndsWithItsKeyAndGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	w := d.wall(t)
	resp, cancel := w.get(t, "acme", "/v1/wallboard/stream?groupBy=team")
	defer cancel()
	defer resp.Body.Close()
	reader := bufio.NewReader(resp.Body)
	line, err := reader.ReadString('\n')
	id, ok := strings.CutPrefix(strings.TrimSpace(line), "id: ")
	if err != nil || !ok || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%q, %v, %v", line, err, resp.Header)
	}

	// Who has seen the board as it is gets the next one first.
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/v1/wallboard/stream?groupBy=team", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer acme")
	req.Header.Set("Last-Event-ID", id)
	again, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Body.Close()
	d.move("acme", "k1", conversation.Queued)
	if s := <-frames(again); s.QueueSize != 1 {
		t.Errorf("the first event after going on: %+v", s)
	}

	w.revoked.Store(true)
	for {
		if _, err := reader.ReadString('\n'); err != nil {
			break
		}
	}
}

func TestAScreenMakesOneShotForAllAndNoneForNobody(t *testing.T) {
	t.Parallel()
	var looks atomic.Int64
	s := newScreens(func(string, wallboard.GroupBy) (*wallboard.View, error) {
		n := looks.Add(1)
		return &wallboard.View{Figures: wallboard.Figures{QueueSize: int(n)}, AsOf: time.UnixMilli(n)}, nil
	}, prometheus.NewGauge(prometheus.GaugeOpts{Name: "test_streams", Help: "Streams of a test."}))
	one, leave, err := s.join("acme", wallboard.None)
	if err != nil {
		t.Fatal(err)
	}
	two, leaveToo, err := s.join("acme", wallboard.None)
	if err != nil || one != two {
		t.Fatalf("two screens: %v", err)
	}
	shot, changed := one.now()
	if !strings.HasSuffix(string(shot.body), fmt.Sprintf(`,"asOf":"%s"}`, "1970-01-01T00:00:00.001Z")) {
		t.Errorf("body %s", shot.body)
	}
	<-changed
	if next, _ := one.now(); next.id == shot.id {
		t.Error("other figures have the same id")
	}
	leave()
	leave()
	leaveToo()
	if len(s.open) != 0 || s.streams != 0 {
		t.Errorf("%d screens and %d streams are left", len(s.open), s.streams)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
