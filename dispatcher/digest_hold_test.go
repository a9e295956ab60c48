package dispatcher

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/webhook"
)

// TestWhatIsDueLaterWaitsInTheRetryTopicsAndComesInOneDigest puts events into the log at the beginning of an interval that is
// longer than deliveries are held in memory.
func TestWhatIsDueLaterWaitsInTheRetryTopicsAndComesInOneDigest(t *testing.T) {
	t.Parallel()
	const n, interval = 20, 12
	w := newWorld(t, schematest.Kfake(t), true, 1)
	got := newGathered()
	hook := newReceiver(t, func(_ http.ResponseWriter, r *http.Request) { got.keep(t, r) })
	w.endpoint("digests", hook.URL, func(e *webhook.Endpoint) { e.DigestSeconds = interval })
	log := w.follow()
	s := w.start()
	held := s.metrics.deferred.WithLabelValues("digest")
	// On a machine that is busy the beginning may be missed; then the next one is tried.
	rounds := 0
	for ; testutil.ToFloat64(held) == 0 && rounds < 10; rounds++ {
		w.eventually("an interval begins", func() bool { return time.Now().Unix()%interval == 0 })
		w.events(rounds*n, n)
		w.eventually("all have succeeded", func() bool { return len(log.by(webhook.OutcomeSuccess)) == (rounds+1)*n })
	}
	if testutil.ToFloat64(held) == 0 {
		t.Error("nothing waited in the retry topics")
	}
	got.mu.Lock()
	defer got.mu.Unlock()
	if posts := len(got.bodies); posts > 2*rounds {
		t.Errorf("%d events came in %d messages", rounds*n, posts)
	}
	for _, bodies := range got.bodies {
		var b struct{ Data digestData }
		if err := json.Unmarshal([]byte(bodies[0]), &b); err != nil {
			t.Fatal(err)
		}
		if b.Data.Count > 0 && b.Data.To.Sub(b.Data.From.Time) != interval*time.Second {
			t.Errorf("a digest is of %s to %s", b.Data.From, b.Data.To)
		}
	}
}
