package dispatcher

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// tell puts a delivery of a version of a conversation to an endpoint into the log, as the planner does.
func (w *world) tell(endpoint, conversation string, version int) {
	w.t.Helper()
	of, subject := strconv.Itoa(version), object.Ref{Type: object.Conversation, ID: conversation}
	r, err := records{kafka: w.kafka, deliveries: 2}.delivery(topic.WebhookDeliveries, &webhook.Delivery{
		ID:        webhook.DeliveryID("ws", webhook.ConversationLabeled, subject, of, endpoint),
		Workspace: "ws", Endpoint: endpoint, Type: webhook.ConversationLabeled, Subject: subject, Event: of,
		PlannedAt: event.TimeOf(time.Now()), Body: conversation + "/" + of,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(r)
}

// sequel is a receiver that holds the deliveries of conversations to their order.
type sequel struct {
	*httptest.Server

	mu sync.Mutex
	// got is the last version of a conversation that was answered with success; ids are those of its versions.
	got     map[string]int
	ids     map[string]string
	failed  map[string]bool
	posts   int
	repeats int
	broken  []string
}

// newSequel fails each delivery once, where chance or fail says so.
func newSequel(t *testing.T, fail func(conversation string, version int) bool) *sequel {
	t.Helper()
	s := &sequel{got: map[string]int{}, ids: map[string]string{}, failed: map[string]bool{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var conversation string
		var version int
		if _, err := fmt.Sscanf(string(body), "%4s/%d", &conversation, &version); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.posts++
		id, key := r.Header.Get(headerID), string(body)
		if before, known := s.ids[key]; known && before != id {
			s.broken = append(s.broken, key+" has another id the second time")
		}
		s.ids[key] = id
		switch last := s.got[conversation]; {
		case version < last:
			s.broken = append(s.broken, fmt.Sprintf("%s came once more after version %d", key, last))
		case version == last:
			s.repeats++
		case version > last+1:
			s.broken = append(s.broken, fmt.Sprintf("%s came after version %d", key, last))
		case !s.failed[key] && fail(conversation, version):
			s.failed[key] = true
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			s.got[conversation] = version
		}
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *sequel) through() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, version := range s.got {
		n += version
	}
	return n
}

func (s *sequel) check(t *testing.T, mayRepeat bool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, what := range s.broken {
		t.Error(what)
	}
	if s.repeats > 0 && !mayRepeat {
		t.Errorf("%d deliveries were posted again after their success", s.repeats)
	}
	if len(s.failed) == 0 {
		t.Error("nothing has failed, so nothing was blocked")
	}
	t.Logf("%d posts, %d failed, %d repeated", s.posts, len(s.failed), s.repeats)
}

func inOrder(e *webhook.Endpoint) {
	e.Events, e.Ordering = []string{webhook.ConversationLabeled}, webhook.OrderingConversation
}

// settled waits until no lane is left in the log, and no retry topic was used.
func (w *world) settled() {
	w.t.Helper()
	s := &sender{records: records{kafka: w.kafka}, log: w.quiet().Log, now: time.Now}
	w.eventually("no lane is left", func() bool {
		left := 0
		for partition := range int32(2) {
			lanes, err := s.loadLanes(w.t.Context(), partition)
			if err != nil {
				w.t.Fatal(err)
			}
			left += len(lanes)
		}
		return left == 0
	})
	for _, tier := range webhook.Tiers() {
		spans, err := stream.Spans(w.t.Context(), w.kafka, w.quiet(), tier.Topic, time.Time{}, time.Now(), time.Hour)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, span := range spans {
			if span.From != span.To {
				w.t.Errorf("an ordered delivery went through %s", tier.Topic)
			}
		}
	}
}

// TestABlockedConversationWaitsAndTheOthersDoNot has a version that fails once: what comes behind it waits, in the log, and
// the partition's low-water mark does not.
func TestABlockedConversationWaitsAndTheOthersDoNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.Kfake(t), true, 2)
	hooks := newSequel(t, func(conversation string, version int) bool { return conversation == "k001" && version == 2 })
	w.endpoint("crm", hooks.URL, inOrder)
	log := w.follow()
	for version := 1; version <= 5; version++ {
		for k := range 10 {
			w.tell("crm", fmt.Sprintf("k%03d", k), version)
		}
	}
	w.start()
	w.eventually("the others are through", func() bool { return hooks.through() >= 46 })
	if got := hooks.through(); got != 46 {
		t.Errorf("%d versions are through while one blocks its conversation, want 46", got)
	}
	passed := false
	w.eventually("the low-water mark has passed what waits", func() bool {
		through := hooks.through()
		passed = w.sent() == 50 && through == 46
		return passed || through > 46
	})
	if !passed {
		t.Error("the low-water mark waits for a conversation that is blocked")
	}
	w.eventually("everything is through", func() bool { return hooks.through() == 50 })
	w.eventually("it is recorded", func() bool { return len(log.by(webhook.OutcomeSuccess)) == 50 })
	hooks.check(t, false)
	w.settled()
}

// sent is up to which offset all deliveries are finished, over both partitions.
func (w *world) sent() int64 {
	w.t.Helper()
	watch, err := stream.NewOffsetWatch(w.kafka, w.quiet())
	if err != nil {
		w.t.Fatal(err)
	}
	defer watch.Close()
	at, err := watch.Committed(w.t.Context(), roleSend, topic.WebhookDeliveries)
	if err != nil {
		w.t.Fatal(err)
	}
	var sum int64
	for _, o := range at {
		sum += o
	}
	return sum
}

// TestOrderIsKeptThoughReceiversFailAndSendersAreKilled has a receiver that fails at random, and two senders that are
// killed with SIGKILL, come back and leave.
func TestOrderIsKeptThoughReceiversFailAndSendersAreKilled(t *testing.T) {
	t.Parallel()
	const conversations, versions, kills = 24, 8, 4
	w := newWorld(t, schematest.ApacheKafka(t), false, 2)
	hooks := newSequel(t, func(string, int) bool { return rand.IntN(5) == 0 })
	// Endpoints of both partitions.
	endpoints := []string{"crm", "erp", "bot", "box"}
	for _, id := range endpoints {
		w.endpoint(id, hooks.URL, inOrder)
	}
	log := w.follow()
	for version := 1; version <= versions; version++ {
		for k := range conversations {
			w.tell(endpoints[k%len(endpoints)], fmt.Sprintf("k%03d", k), version)
		}
	}
	const all = conversations * versions
	names := []string{"a", "b"}
	children := map[string]*exec.Cmd{}
	for _, name := range names {
		children[name] = w.childNamed(name)
	}
	for kill := range kills {
		w.eventually("deliveries are made", func() bool { return hooks.through() > (kill+1)*all/(kills+3) })
		name := names[kill%len(names)]
		if err := children[name].Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = children[name].Wait()
		children[name] = w.childNamed(name)
	}
	// One leaves, a third comes.
	w.start()
	if err := children["a"].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	w.eventually("everything is through", func() bool { return hooks.through() == all })
	w.eventually("it is recorded", func() bool { return len(log.by(webhook.OutcomeSuccess)) == all })
	for id, n := range log.by(webhook.OutcomeSuccess) {
		if n != 1 {
			t.Errorf("%s has %d successes in the log", id, n)
		}
	}
	hooks.check(t, true)
	w.settled()
}
