package dispatcher

import (
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/webhook"
)

// inbox keeps the bodies that a receiver gets.
type inbox struct {
	mu     sync.Mutex
	bodies [][]byte
}

func (b *inbox) keep(t *testing.T, r *http.Request) {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bodies = append(b.bodies, body)
}

func (b *inbox) all() [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([][]byte(nil), b.bodies...)
}

// TestEndpointsOfSlackAndOfTeamsGetMessages posts what is in the log in the way of each service. Slack answers 200, a flow
// of Teams 202.
func TestEndpointsOfSlackAndOfTeamsGetMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.Kfake(t), true, 1)
	got := map[string]*inbox{webhook.FormatSlack: {}, webhook.FormatTeams: {}}
	for format, status := range map[string]int{webhook.FormatSlack: http.StatusOK, webhook.FormatTeams: http.StatusAccepted} {
		hook := newReceiver(t, func(w http.ResponseWriter, r *http.Request) {
			got[format].keep(t, r)
			w.WriteHeader(status)
		})
		w.endpoint(format, hook.URL, func(e *webhook.Endpoint) { e.Format = format })
	}
	log := w.follow()
	w.events(0, 1)
	w.start()
	w.eventually("both have succeeded", func() bool { return len(log.by(webhook.OutcomeSuccess)) == 2 })
	for format, in := range got {
		all := in.all()
		if len(all) != 1 {
			t.Fatalf("%d messages for %s", len(all), format)
		}
		checkMessage(t, format, all[0])
	}
}
