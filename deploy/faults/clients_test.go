package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// attemptTimeout is how long a client waits for an answer.
	attemptTimeout = 15 * time.Second
	// between is how long a client waits before it repeats a request.
	betweenAttempts = 100 * time.Millisecond
)

// poster posts to whichever edge answers.
type poster struct {
	edges []string
	key   string
	turn  int
	// repeats counts the requests that were not answered with success.
	repeats *atomic.Int64
}

// errRefused says that a request was answered with a status that no repeating heals.
var errRefused = errors.New("refused")

// until repeats a request until it is answered with 200, at another edge each time. Any other answer than one that a client
// repeats is an error.
func (p *poster) until(ctx context.Context, method, path, body string) ([]byte, error) {
	for {
		answer, err := p.once(ctx, method, path, body)
		if err == nil || errors.Is(err, errRefused) {
			return answer, err
		}
		p.turn++
		if p.repeats != nil {
			p.repeats.Add(1)
		}
		select {
		case <-time.After(betweenAttempts):
		case <-ctx.Done():
			return nil, fmt.Errorf("%s %s was not acknowledged in time, last: %w", method, path, err)
		}
	}
}

func (p *poster) once(ctx context.Context, method, path, body string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.edges[p.turn%len(p.edges)]+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+p.key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return nil, err
	case res.StatusCode == http.StatusOK:
		return data, nil
	case res.StatusCode >= 500, res.StatusCode == http.StatusAccepted, res.StatusCode == http.StatusTooManyRequests:
		return nil, fmt.Errorf("%d %s", res.StatusCode, data)
	default:
		return nil, fmt.Errorf("%w: %s %s: %d %s", errRefused, method, path, res.StatusCode, data)
	}
}

// sent is an event that a client has sent.
type sent struct {
	object, user string
	// number grows along the events of an object.
	number       int
	acknowledged bool
}

// ledger is what clients have sent and what was acknowledged.
type ledger struct {
	mu     sync.Mutex
	events map[string]sent // by id
	// objects are the names that objects were given last, by id.
	objects map[string]string
	// transitions are the labels of each conversation's transitions, by version from 1: the first is empty.
	transitions map[string][]string
	total       atomic.Int64
	repeats     atomic.Int64
}

func newLedger() *ledger {
	return &ledger{events: map[string]sent{}, objects: map[string]string{}, transitions: map[string][]string{}}
}

func (l *ledger) note(id string, e sent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events[id] = e
	if e.acknowledged {
		l.total.Add(1)
	}
}

// load is clients that post until stop is closed; each then brings to its end what it has begun.
type load struct {
	*ledger

	world *world
	stop  <-chan struct{}
	group sync.WaitGroup
	pause time.Duration

	mu   sync.Mutex
	errs []error
}

// Numbers of clients, and of what each has to itself: the order of an object's events is known because one client posts
// them, each after the one before was acknowledged.
const (
	eventClients, batchClients, objectClients, conversationClients = 4, 2, 2, 3

	objectsEach = 4
	users       = 3
)

// startLoad makes the objects that events are about and lets the clients begin.
func startLoad(ctx context.Context, w *world, stop <-chan struct{}, pause time.Duration) (*load, error) {
	l := &load{ledger: newLedger(), world: w, stop: stop, pause: pause}
	p := l.poster(0)
	for u := range users {
		if _, err := p.until(ctx, http.MethodPut, fmt.Sprintf("/v1/objects/USER/u%d", u), `{}`); err != nil {
			return nil, err
		}
	}
	for c := range eventClients + batchClients {
		if _, err := p.until(ctx, http.MethodPut, fmt.Sprintf("/v1/objects/ACCOUNT/a%d", c), `{}`); err != nil {
			return nil, err
		}
		for o := range objectsEach {
			body := fmt.Sprintf(`{"relations":[{"objectType":"ACCOUNT","objectId":"a%d"}]}`, c)
			if _, err := p.until(ctx, http.MethodPut, "/v1/objects/CUSTOMER/"+customer(c, o), body); err != nil {
				return nil, err
			}
		}
	}
	for i := range eventClients {
		l.run(ctx, i, l.postEvent)
	}
	for i := range batchClients {
		l.run(ctx, eventClients+i, l.postBatch)
	}
	for i := range objectClients {
		l.run(ctx, i, l.putObject)
	}
	for i := range conversationClients {
		l.run(ctx, i, l.moveConversation)
	}
	return l, nil
}

func customer(client, o int) string { return fmt.Sprintf("c%d-%d", client, o) }

func (l *load) poster(client int) *poster {
	return &poster{edges: l.world.edges, key: l.world.key, turn: client, repeats: &l.repeats}
}

// run calls step with growing numbers until the load is to stop.
func (l *load) run(ctx context.Context, client int, step func(ctx context.Context, p *poster, client, n int) error) {
	p := l.poster(client)
	l.group.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-l.stop:
				return
			case <-ctx.Done():
				return
			case <-time.After(l.pause):
			}
			if err := step(ctx, p, client, n); err != nil {
				l.mu.Lock()
				l.errs = append(l.errs, err)
				l.mu.Unlock()
				return
			}
		}
	})
}

// wait returns when every client has stopped, with what they complain about.
func (l *load) wait() error {
	l.group.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

func (l *load) event(client, n int) (id string, e sent, body string) {
	e = sent{object: customer(client, n%objectsEach), user: fmt.Sprintf("u%d", n%users), number: n}
	id = fmt.Sprintf("e%d-%06d", client, n)
	body = fmt.Sprintf(`{"objectType":"CUSTOMER","objectId":%q,"id":%q,"name":"Numbered","relatedObjects":[{"objectType":"USER","objectId":%q}]}`,
		e.object, id, e.user)
	return id, e, body
}

func (l *load) postEvent(ctx context.Context, p *poster, client, n int) error {
	id, e, body := l.event(client, n)
	l.note(id, e)
	if _, err := p.until(ctx, http.MethodPost, "/v1/events", body); err != nil {
		return err
	}
	e.acknowledged = true
	l.note(id, e)
	return nil
}

// postBatch posts an event of each of its objects, and repeats those that were not accepted.
func (l *load) postBatch(ctx context.Context, p *poster, client, n int) error {
	open := map[string]sent{}
	bodies := map[string]string{}
	for o := range objectsEach {
		id, e, body := l.event(client, n*objectsEach+o)
		open[id], bodies[id] = e, body
		l.note(id, e)
	}
	for len(open) > 0 {
		var ids, items []string
		for id := range open {
			ids, items = append(ids, id), append(items, bodies[id])
		}
		answer, err := p.until(ctx, http.MethodPost, "/v1/events/batch", `{"events":[`+strings.Join(items, ",")+`]}`)
		if err != nil {
			return err
		}
		var got struct {
			Results []struct {
				Index, Status int
				Problem       json.RawMessage
			}
		}
		if err := json.Unmarshal(answer, &got); err != nil {
			return fmt.Errorf("answer to a batch: %w", err)
		}
		for _, r := range got.Results {
			switch {
			case r.Status == http.StatusOK:
				e := open[ids[r.Index]]
				e.acknowledged = true
				l.note(ids[r.Index], e)
				delete(open, ids[r.Index])
			case r.Status < 500:
				return fmt.Errorf("%w: item of a batch: %d %s", errRefused, r.Status, r.Problem)
			}
		}
		if len(open) > 0 {
			p.repeats.Add(1)
		}
	}
	return nil
}

// putObject gives an object another name.
func (l *load) putObject(ctx context.Context, p *poster, client, n int) error {
	id, name := fmt.Sprintf("w%d-%d", client, n%objectsEach), fmt.Sprintf("v%d", n)
	if _, err := p.until(ctx, http.MethodPut, "/v1/objects/CUSTOMER/"+id, fmt.Sprintf(`{"name":%q}`, name)); err != nil {
		return err
	}
	l.ledger.mu.Lock()
	defer l.ledger.mu.Unlock()
	l.objects[id] = name
	return nil
}

// moves are the transitions of one conversation, after which the client begins another one.
const moves = 12

// moveConversation opens a conversation, or gives it another label, which is a transition each time.
func (l *load) moveConversation(ctx context.Context, p *poster, client, n int) error {
	id, label := fmt.Sprintf("k%d-%d", client, n/moves), ""
	body := fmt.Sprintf(`{"type":"opened","id":"t%d-%d","expectedVersion":0}`, client, n)
	if n%moves > 0 {
		label = fmt.Sprintf("l%d", n)
		body = fmt.Sprintf(`{"type":"labeled","id":"t%d-%d","labels":[%q]}`, client, n, label)
	}
	answer, err := p.until(ctx, http.MethodPost, "/v1/conversations/"+id+"/transitions", body)
	if err != nil {
		return err
	}
	var got struct{ Version int }
	if err := json.Unmarshal(answer, &got); err != nil {
		return fmt.Errorf("answer to a transition: %w", err)
	}
	l.ledger.mu.Lock()
	defer l.ledger.mu.Unlock()
	if want := n%moves + 1; got.Version != want {
		return fmt.Errorf("transition %d of conversation %s was answered with version %d, want %d", n, id, got.Version, want)
	}
	l.transitions[id] = append(l.transitions[id], label)
	return nil
}
