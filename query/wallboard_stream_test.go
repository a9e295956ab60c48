package query

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

// recorded is what a client was sent, which may be looked at while more comes.
type recorded struct {
	*httptest.ResponseRecorder

	mu sync.Mutex
}

// Write implements http.ResponseWriter.
func (r *recorded) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ResponseRecorder.Write(p)
}

func (r *recorded) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Body.String()
}

// slowClient is a connection to a client that takes what it is sent when it is let to.
type slowClient struct {
	*httptest.ResponseRecorder

	let chan struct{}
}

// Write implements http.ResponseWriter.
func (c *slowClient) Write(p []byte) (int, error) {
	<-c.let
	return c.ResponseRecorder.Write(p)
}

// followed sends a screen to a client until the test stops it.
func followed(t *testing.T, sc *screen, w http.ResponseWriter) (stop func()) {
	t.Helper()
	s := &Service{deps: Deps{Require: func(_ []workspace.Scope, next web.Handler) web.Handler { return next }}}
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/wallboard/stream", http.NoBody)
	ended := make(chan error, 1)
	go func() { ended <- s.follow(r, sc, &events{w: w, control: http.NewResponseController(w)}) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("follow: %v", err)
		}
	}
}

func shown(id string) *shot { return &shot{id: id, body: []byte(`{"board":"` + id + `"}`)} }

func TestASilentStreamHasAHeartbeatEvery15Seconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &recorded{ResponseRecorder: httptest.NewRecorder()}
		sc := &screen{last: shown("1"), changed: make(chan struct{})}
		stop := followed(t, sc, w)
		<-time.After(10 * time.Second) // of the bubble's clock
		sc.show(shown("2"))            // what is sent puts the heartbeat off
		<-time.After(14 * time.Second)
		synctest.Wait()
		if n := strings.Count(w.text(), ":\n\n"); n != 0 {
			t.Errorf("%d heartbeats after 14 s of silence", n)
		}
		<-time.After(17 * time.Second)
		synctest.Wait()
		stop()
		if n := strings.Count(w.text(), "\n\n:\n\n"); n != 1 || !strings.HasSuffix(w.text(), ":\n\n:\n\n") {
			t.Errorf("the stream is %q", w.text())
		}
	})
}

// TestASlowClientGetsTheNewestBoardAndNoneInBetween has the board change three times while a client takes the first one.
func TestASlowClientGetsTheNewestBoardAndNoneInBetween(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &slowClient{httptest.NewRecorder(), make(chan struct{})}
		sc := &screen{last: shown("1"), changed: make(chan struct{})}
		stop := followed(t, sc, c)
		synctest.Wait()
		for _, id := range []string{"2", "3", "4"} {
			sc.show(shown(id))
		}
		c.let <- struct{}{}
		c.let <- struct{}{}
		synctest.Wait()
		stop()
		want := "id: 1\nevent: wallboard\ndata: {\"board\":\"1\"}\n\nid: 4\nevent: wallboard\ndata: {\"board\":\"4\"}\n\n"
		if got := c.Body.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
