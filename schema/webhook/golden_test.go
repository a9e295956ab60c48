package webhook_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest/golden"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

func at() event.Time { return event.TimeOf(time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC)) }

func after(d time.Duration) event.Time { return event.TimeOf(at().Add(d)) }

func customer() object.Ref { return object.Ref{Type: object.Customer, ID: "c1"} }

func endpoint() *webhook.Endpoint {
	rate := 2.5
	return &webhook.Endpoint{
		Version: 1, Workspace: "acme", ID: "crm", Revision: 3, Enabled: true, Events: []string{webhook.EventLinked},
		AssignedScope: webhook.ScopeProactive, Teams: []string{"sales"}, Channels: []string{"chat"},
		ObjectTypes: []object.Type{object.Customer}, Filter: `type == "event.linked"`, QueueThreshold: 1, Format: webhook.FormatJSON,
		RateLimit: &rate, Ordering: webhook.OrderingNone, CreatedAt: at(), UpdatedAt: after(time.Hour), Sealed: []byte{1, 2, 3},
	}
}

func state() *webhook.State {
	return &webhook.State{
		Version: 1, Workspace: "acme", ID: "crm", Revision: 3, FailingSince: at(), DisabledAt: after(5 * 24 * time.Hour),
		Reason: webhook.ReasonFailing,
	}
}

func delivery() *webhook.Delivery {
	return &webhook.Delivery{
		Version: 1, ID: "msg_a7d1a8f3c6dbd9f0cbce4d9a3f6c9f8b", Workspace: "acme", Endpoint: "crm", Type: webhook.EventLinked,
		Subject: customer(), Event: "e1", PlannedAt: at(), Attempts: 2, Deferrals: 1, DueAt: after(5 * time.Minute),
		LeavesAt: after(time.Minute), Waits: 300_000, Again: true, Once: true, KeyID: "k1", Sealed: []byte{4, 5},
	}
}

func attempt() *webhook.Attempt {
	return &webhook.Attempt{
		Version: 1, Delivery: "msg_a7d1a8f3c6dbd9f0cbce4d9a3f6c9f8b", Workspace: "acme", Endpoint: "crm", Type: webhook.EventLinked,
		Subject: customer(), Event: "e1", PlannedAt: at(), Number: 1, Status: webhook.Retrying, Outcome: webhook.OutcomeServerError,
		At: after(time.Second), NextAt: after(6 * time.Second), StatusCode: 503, Error: "the endpoint answered 503",
		Timing: webhook.Timing{DNS: 1, Connect: 2, TLS: 3, FirstByte: 4, Total: 5}, Reused: true, Protocol: "HTTP/2.0",
		RequestHeaders: map[string]string{"Authorization": "***"}, ResponseHeaders: map[string]string{"Retry-After": "1"},
		KeyID: "k1", Sealed: []byte{6}, Truncated: true,
	}
}

func replay() *webhook.Replay {
	return &webhook.Replay{
		Version: 1, ID: "018f", Workspace: "acme", Endpoint: "crm", EndpointCreatedAt: at(), From: at(), To: after(time.Hour),
		Only: webhook.OnlyMissing, CreatedAt: after(2 * time.Hour), Status: webhook.ReplayRunning, UpdatedAt: after(3 * time.Hour),
		DueAt: after(4 * time.Hour), Left: []webhook.ReplayRange{{Topic: "throughline.events.v1", Partition: 1, Next: 2, End: 3}},
		Started: true, Total: 9, Read: 8, Matched: 7, Sent: 6,
	}
}

func queueChange() *webhook.QueueChange {
	return &webhook.QueueChange{
		Version: 1, Workspace: "acme", Team: "sales", ConversationID: "k1", ConversationVersion: 2, Transition: "queued", Joined: true,
		OccurredAt: at(), ReceivedAt: after(time.Second),
	}
}

func queueSize() *webhook.QueueSize {
	return &webhook.QueueSize{
		Version: 1, Workspace: "acme", Team: "sales", QueueCount: webhook.QueueCount{Size: 3, Counted: map[int32]int64{0: 41, 2: 7}},
		Before: webhook.QueueCount{Size: 2, Counted: map[int32]int64{0: 40, 2: 7}},
	}
}

// record is what all records of this package can.
type record interface{ Encode() ([]byte, error) }

func TestGoldenRecordsAreStillRead(t *testing.T) {
	t.Parallel()
	read := func(t *testing.T, name string, of topic.Name, kind, id string, want record) []byte {
		t.Helper()
		return golden.Read(t, name, func() golden.Record {
			value, err := want.Encode()
			if err != nil {
				t.Fatal(err)
			}
			parts := []string{"acme", webhook.EndpointType, "crm"}
			switch kind {
			case topic.TypeWebhookState:
				parts[1] = webhook.StateType
			case topic.TypeWebhookReplay:
				parts[1], parts[2] = webhook.ReplayType, id
			case topic.TypeWebhookCancel:
				parts[1], parts[2] = webhook.CancelType, id
			case topic.TypeWebhookLane:
				parts = []string{"acme", webhook.LaneType, "crm", "CONVERSATION", id}
			case topic.TypeQueueChange, topic.TypeQueueSize:
				parts = []string{"acme", string(webhook.QueueType), "sales"}
			default:
			}
			return golden.Of(of, topic.Key(parts...), &topic.Envelope{ID: id, Type: kind, Workspace: "acme", Time: at().Time}, value)
		}).Bytes()
	}
	same := func(t *testing.T, want, got any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("record (-want +got):\n%s", diff)
		}
	}
	t.Run("endpoint", func(t *testing.T) {
		t.Parallel()
		got, err := webhook.ParseEndpoint(read(t, "endpoint", topic.WebhookEndpoints, topic.TypeWebhookEndpoint, "crm", endpoint()))
		same(t, endpoint(), got, err)
	})
	t.Run("state", func(t *testing.T) {
		t.Parallel()
		got, err := webhook.ParseState(read(t, "state", topic.WebhookEndpoints, topic.TypeWebhookState, "crm", state()))
		same(t, state(), got, err)
	})
	t.Run("delivery", func(t *testing.T) {
		t.Parallel()
		d := delivery()
		got, err := webhook.ParseDelivery(read(t, "delivery", topic.WebhookDeliveries, topic.TypeWebhookDelivery, d.ID, d))
		same(t, d, got, err)
	})
	t.Run("queue change", func(t *testing.T) {
		t.Parallel()
		got, err := webhook.ParseQueueChange(read(t, "queue-change", topic.WebhookQueues, topic.TypeQueueChange, "k1:2", queueChange()))
		same(t, queueChange(), got, err)
	})
	t.Run("queue size", func(t *testing.T) {
		t.Parallel()
		got, err := webhook.ParseQueueSize(read(t, "queue-size", topic.WebhookQueueSizes, topic.TypeQueueSize, "sales", queueSize()))
		same(t, queueSize(), got, err)
	})
	t.Run("attempt", func(t *testing.T) {
		t.Parallel()
		a := attempt()
		got, err := webhook.ParseAttempt(read(t, "attempt", topic.WebhookAttempts, topic.TypeWebhookAttempt, a.Delivery, a))
		same(t, a, got, err)
	})
	t.Run("replay", func(t *testing.T) {
		t.Parallel()
		r := replay()
		got, err := webhook.ParseReplay(read(t, "replay", topic.WebhookReplays, topic.TypeWebhookReplay, r.ID, r))
		same(t, r, got, err)
	})
	t.Run("lane", func(t *testing.T) {
		t.Parallel()
		l := &webhook.Lane{
			Version: 1, Workspace: "acme", Endpoint: "crm", Subject: object.Ref{Type: object.Conversation, ID: "k1"},
			Offsets: []int64{7, 9, 12}, Attempts: 2, DueAt: at(),
		}
		got, err := webhook.ParseLane(read(t, "lane", topic.WebhookLanes, topic.TypeWebhookLane, l.Subject.ID, l))
		same(t, l, got, err)
	})
	t.Run("cancel", func(t *testing.T) {
		t.Parallel()
		c := &webhook.Cancel{Version: 1, ID: "018f", Workspace: "acme", At: at()}
		got, err := webhook.ParseCancel(read(t, "cancel", topic.WebhookReplays, topic.TypeWebhookCancel, c.ID, c))
		same(t, c, got, err)
	})
}

func TestRecordsOfTheFutureAndHalfRecordsAreRefused(t *testing.T) {
	t.Parallel()
	for name, parse := range map[string]func([]byte) error{
		"endpoint": func(b []byte) error { _, err := webhook.ParseEndpoint(b); return err },
		"state":    func(b []byte) error { _, err := webhook.ParseState(b); return err },
		"delivery": func(b []byte) error { _, err := webhook.ParseDelivery(b); return err },
		"attempt":  func(b []byte) error { _, err := webhook.ParseAttempt(b); return err },
		"replay":   func(b []byte) error { _, err := webhook.ParseReplay(b); return err },
		"lane":     func(b []byte) error { _, err := webhook.ParseLane(b); return err },
		"cancel":   func(b []byte) error { _, err := webhook.ParseCancel(b); return err },
		"change":   func(b []byte) error { _, err := webhook.ParseQueueChange(b); return err },
		"size":     func(b []byte) error { _, err := webhook.ParseQueueSize(b); return err },
	} {
		for _, value := range []string{`{"v":2}`, `{"v":1}`, `{}`, `[]`, ``} {
			if err := parse([]byte(value)); err == nil {
				t.Errorf("%s: %s was read", name, value)
			}
		}
	}
	if _, err := webhook.ParseDelivery([]byte(`{"v":1,"id":"m","workspace":"w","endpoint":"e","type":"t","body":"{}","sealed":"AA=="}`)); err == nil {
		t.Error("a delivery with two bodies was read")
	}
}

func TestTheIDOfADeliveryIsThatOfItsEventAndEndpointAlone(t *testing.T) {
	t.Parallel()
	id := webhook.DeliveryID("acme", webhook.EventLinked, customer(), "e1", "crm")
	if len(id) != len("msg_")+32 {
		t.Errorf("id %s has another form than before", id)
	}
	if again := webhook.DeliveryID("acme", webhook.EventLinked, customer(), "e1", "crm"); again != id {
		t.Errorf("another id the second time: %s, %s", id, again)
	}
	for name, other := range map[string]string{
		"workspace":       webhook.DeliveryID("acm", webhook.EventLinked, customer(), "e1", "crm"),
		"type":            webhook.DeliveryID("acme", webhook.ConversationOpened, customer(), "e1", "crm"),
		"subject":         webhook.DeliveryID("acme", webhook.EventLinked, object.Ref{Type: object.Account, ID: "c1"}, "e1", "crm"),
		"event":           webhook.DeliveryID("acme", webhook.EventLinked, customer(), "e2", "crm"),
		"endpoint":        webhook.DeliveryID("acme", webhook.EventLinked, customer(), "e1", "crm2"),
		"shifted borders": webhook.DeliveryID("acme", webhook.EventLinked, customer(), "e1c", "rm"),
	} {
		if other == id {
			t.Errorf("the id does not depend on the %s", name)
		}
	}
}
