package dispatcher

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/webhook"
)

// TestAReplayTellsANewEndpointOfEarlierConversations makes an endpoint after a conversation has ended, and an event was
// linked. It is told nothing of them until a replay is asked for, and then everything once, with what is personal.
func TestAReplayTellsANewEndpointOfEarlierConversations(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.Kfake(t), true, 2)
	w.fill()
	k := w.talk("k1")
	k.step(conversation.Command{Type: conversation.Queued, Team: "sales"}, conversation.Parties{})
	k.step(conversation.Command{Type: conversation.Responded}, conversation.Parties{Agent: &conversation.Party{Type: object.User, ID: "u1"}})
	k.step(conversation.Command{Type: conversation.Surveyed, Rating: 5, Comment: "so kind"}, conversation.Parties{})
	k.step(conversation.Command{Type: conversation.Closed}, conversation.Parties{})
	w.events(0, 1)
	var mu sync.Mutex
	comments := map[string]string{}
	hooks := newReceiver(t, func(_ http.ResponseWriter, r *http.Request) {
		var body struct {
			Type string
			Data struct{ Transition struct{ Comment string } }
		}
		text, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(text, &body)
		}
		if err != nil {
			t.Errorf("posted %s: %v", text, err)
		}
		mu.Lock()
		defer mu.Unlock()
		comments[body.Type] = body.Data.Transition.Comment
	})
	// Everything came into the log before it.
	made := time.Now().Add(10 * time.Millisecond)
	w.endpoint("crm", hooks.URL, func(e *webhook.Endpoint) {
		e.Events, e.CreatedAt = append(conversationEvents(), webhook.EventLinked), event.TimeOf(made)
	})
	s := w.start()
	api := httptest.NewServer(s.Handler())
	t.Cleanup(api.Close)
	w.eventually("the endpoint is older than the replay", func() bool { return time.Now().After(made.Add(time.Millisecond)) })
	job := replay(t, api.URL, "all")
	w.eventually("the replay is done", func() bool { return replayNow(t, api.URL, job.ID).Status == string(webhook.ReplayDone) })
	want := map[string]int{linkedIDs(0, 1)[0]: 1}
	subject := object.Ref{Type: object.Conversation, ID: "k1"}
	for i, typ := range []string{
		webhook.ConversationOpened, webhook.ConversationQueued, webhook.ConversationResponded, webhook.ConversationSurveyed, webhook.ConversationClosed,
	} {
		want[webhook.DeliveryID("ws", typ, subject, strconv.Itoa(i+1), "crm")] = 1
	}
	if got := replayNow(t, api.URL, job.ID).Progress.Sent; got != int64(len(want)) {
		t.Errorf("%d were sent, want %d", got, len(want))
	}
	w.known(t, s, webhook.Succeeded, len(want))
	if diff := cmp.Diff(want, hooks.counts()); diff != "" {
		t.Errorf("posts (-want +got):\n%s", diff)
	}
	mu.Lock()
	defer mu.Unlock()
	if comments[webhook.ConversationSurveyed] != "so kind" {
		t.Errorf("the comment was told as %q", comments[webhook.ConversationSurveyed])
	}
}
