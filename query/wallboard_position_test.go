package query

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/position"
	"github.com/throughline/throughline/schema/topic"
)

// command appends a command as the edge does and returns where it is.
func (d *desk) command(ws, id string) position.Entry {
	d.t.Helper()
	r, err := d.client.ProduceSync(d.t.Context(), &kgo.Record{
		Topic: d.kafka.Topic(topic.ConversationCommands), Key: conversation.Key(ws, id), Value: []byte("{}"),
	}).First()
	if err != nil {
		d.t.Fatal(err)
	}
	return position.Entry{Topic: topic.ConversationCommands, Partition: r.Partition, Offset: r.Offset}
}

// decided moves the group of the processor past a command.
func (d *desk) decided(e position.Entry) {
	d.t.Helper()
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: d.kafka.Topic(e.Topic), Partition: e.Partition, At: e.Offset + 1, LeaderEpoch: -1})
	if err := kadm.NewClient(d.client).CommitAllOffsets(d.t.Context(), d.kafka.Group(conversationGroup), offsets); err != nil {
		d.t.Fatal(err)
	}
}

// asked is what a wallboard answered to a read with positions.
type asked struct {
	status int
	retry  string
	body   string
}

// ask reads with positions while the test goes on.
func (w *wall) ask(t *testing.T, ws, path string, entries ...position.Entry) <-chan asked {
	t.Helper()
	params := url.Values{}
	for _, e := range entries {
		var p position.Position
		p.Add(e)
		params.Add("position", *p.Encode("acme"))
	}
	got := make(chan asked, 1)
	go func() {
		resp, cancel := w.get(t, ws, path+"?"+params.Encode())
		defer cancel()
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		got <- asked{resp.StatusCode, resp.Header.Get("Retry-After"), string(body)}
	}()
	return got
}

// TestAWallboardWithAPositionShowsItsWrites has the command, its decision and its transition come one after the other.
func TestAWallboardWithAPositionShowsItsWrites(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	w := d.wall(t, func(c *Config) { c.PositionTimeout = time.Minute })
	// What is no transition is not waited for.
	elsewhere := position.Entry{Topic: topic.Submissions, Partition: 0, Offset: 1 << 40}
	e := d.command("acme", "k1")
	got := w.ask(t, "acme", "/v1/wallboard", e, elsewhere)
	select {
	case a := <-got:
		t.Fatalf("answered before the command was decided: %d %s", a.status, a.body)
	case <-time.After(150 * time.Millisecond): // seven polls of the watch
	}
	d.move("acme", "k1", conversation.Queued)
	d.decided(e)
	a := <-got
	var s screenshot
	if err := json.Unmarshal([]byte(a.body), &s); err != nil || a.status != http.StatusOK || s.QueueSize != 1 {
		t.Errorf("%d %s %v", a.status, a.body, err)
	}
}

func TestAWallboardSaysWhenAPositionIsNotReachedOrIsNone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	w := d.wall(t, func(c *Config) { c.PositionTimeout = 50 * time.Millisecond })
	e := d.command("acme", "k1")
	if a := <-w.ask(t, "acme", "/v1/wallboard", e); a.status != http.StatusServiceUnavailable || a.retry == "" ||
		!strings.Contains(a.body, "position-not-reached") {
		t.Errorf("not reached: %+v", a)
	}
	if a := <-w.ask(t, "other", "/v1/wallboard", e); a.status != http.StatusBadRequest || !strings.Contains(a.body, "bad-position") {
		t.Errorf("of another workspace: %+v", a)
	}
	if a := <-w.ask(t, "acme", "/v1/wallboard/stream", e); a.status != http.StatusBadRequest {
		t.Errorf("a stream with a position: %+v", a)
	}
}
