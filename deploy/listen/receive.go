package listen

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/throughline/throughline/schema/event"
)

const (
	// maxBody bounds a delivery, in bytes; those of Throughline are well below.
	maxBody = 1 << 20
	// maxRemembered bounds how many ids are remembered to tell repeats.
	maxRemembered = 10_000
)

// receiver verifies, prints and answers deliveries.
type receiver struct {
	cfg    Config
	verify *standardwebhooks.Webhook
	out    io.Writer
	// enough is closed when as many deliveries have come as were asked for.
	enough chan struct{}

	mu   sync.Mutex
	seen map[string]int
	n    totals
}

// totals count what came and how it was answered.
type totals struct{ received, repeated, failed, dropped, refused int }

func newReceiver(cfg Config, secret string, out io.Writer) (*receiver, error) {
	verify, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return nil, fmt.Errorf("verify signatures: %w", err)
	}
	return &receiver{cfg: cfg, verify: verify, out: out, enough: make(chan struct{}), seen: map[string]int{}}, nil
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "deliveries are posted here", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}
	if err := r.verify.Verify(body, req.Header); err != nil {
		r.mu.Lock()
		r.n.refused++
		r.mu.Unlock()
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	d := delivery{ReceivedAt: event.TimeOf(time.Now()), ID: req.Header.Get(standardwebhooks.HeaderWebhookID), Body: body}
	d.Answer, d.dropped = r.decide()
	if !r.count(&d) {
		http.Error(w, "enough was received", http.StatusServiceUnavailable)
		return
	}
	r.answer(w, req, &d)
	r.done()
}

// decide says how to answer.
func (r *receiver) decide() (status int, drop bool) {
	status, share := r.cfg.failing()
	switch {
	case chance(r.cfg.Drop):
		return 0, true
	case chance(share):
		return status, false
	default:
		return http.StatusOK, false
	}
}

// chance is true for a share of its calls.
func chance(share float64) bool { return rand.Float64() < share } //nolint:gosec // it only has to look like chance

// count counts and prints a delivery; it is false when enough have come.
func (r *receiver) count(d *delivery) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cfg.Count > 0 && r.n.received == r.cfg.Count {
		return false
	}
	r.n.received++
	if len(r.seen) >= maxRemembered && r.seen[d.ID] == 0 {
		clear(r.seen)
	}
	r.seen[d.ID]++
	if d.Times = r.seen[d.ID]; d.Times > 1 {
		r.n.repeated++
	}
	switch {
	case d.dropped:
		r.n.dropped++
	case d.Answer != http.StatusOK:
		r.n.failed++
	}
	var line bytes.Buffer
	d.write(&line, r.cfg.JSON)
	_, _ = r.out.Write(line.Bytes()) // whoever read it has gone
	return true
}

// done ends the command after the answer to the last delivery that was asked for.
func (r *receiver) done() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cfg.Count == 0 || r.n.received < r.cfg.Count {
		return
	}
	select {
	case <-r.enough:
	default:
		close(r.enough)
	}
}

// answer waits as long as asked for, and answers.
func (r *receiver) answer(w http.ResponseWriter, req *http.Request, d *delivery) {
	if r.cfg.Delay > 0 {
		timer := time.NewTimer(r.cfg.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-req.Context().Done():
			return
		}
	}
	if d.dropped {
		conn, _, err := http.NewResponseController(w).Hijack()
		if errors.Is(err, http.ErrNotSupported) {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		if err == nil {
			_ = conn.Close() // that is all that was asked for
		}
		return
	}
	w.WriteHeader(d.Answer)
}

// summary says what came.
func (r *receiver) summary() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.n
	parts := []string{fmt.Sprintf("received %d deliveries, %d of them repeats; answered %d with success", n.received, n.repeated, n.received-n.failed-n.dropped)}
	for _, more := range []struct {
		count int
		what  string
	}{{n.failed, "failed as asked"}, {n.dropped, "dropped as asked"}, {n.refused, "refused for their signature"}} {
		if more.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", more.count, more.what))
		}
	}
	return strings.Join(parts, ", ")
}

// delivery is one that was verified.
type delivery struct {
	ReceivedAt event.Time `json:"receivedAt"`
	ID         string     `json:"id"`
	// Times counts how often the id has come.
	Times int `json:"times"`
	// Answer is the status, 0 where the connection was dropped.
	Answer int             `json:"answer"`
	Body   json.RawMessage `json:"body"`

	dropped bool
}
