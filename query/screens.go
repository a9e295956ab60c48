package query

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/query/wallboard"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/problem"
)

const (
	// shotEvery is how often a screen looks at its board.
	shotEvery = time.Second
	// maxStreams bounds the clients that a process sends wallboards to: each holds a connection and some 20 KiB.
	maxStreams = 5000
)

// shot is a board as it was sent.
type shot struct {
	// id is the same for the same figures.
	id   string
	body []byte
}

// screens make one shot of a board a second for all who look at it.
type screens struct {
	view    func(workspace string, by wallboard.GroupBy) (*wallboard.View, error)
	clients prometheus.Gauge

	mu      sync.Mutex
	open    map[screenKey]*screen
	streams int
}

type screenKey struct {
	workspace string
	by        wallboard.GroupBy
}

// screen is a board that clients follow.
type screen struct {
	clients int
	stop    chan struct{}

	mu      sync.Mutex
	last    *shot
	changed chan struct{}
}

func newScreens(view func(string, wallboard.GroupBy) (*wallboard.View, error), clients prometheus.Gauge) *screens {
	return &screens{view: view, clients: clients, open: map[screenKey]*screen{}}
}

// look makes a shot of a board.
func (s *screens) look(workspace string, by wallboard.GroupBy) (*shot, error) {
	v, err := s.view(workspace, by)
	if errors.Is(err, wallboard.ErrLoading) {
		return nil, problem.Busy("The wallboard is still being read from the log.", retryAfter).WithCause(err)
	}
	if err != nil {
		return nil, err
	}
	figures, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode wallboard: %w", err)
	}
	sum := fnv.New64a()
	_, _ = sum.Write(figures) // a hash takes everything
	at, err := event.TimeOf(v.AsOf).MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encode wallboard: %w", err)
	}
	body := slices.Concat(figures[:len(figures)-1], []byte(`,"asOf":`), at, []byte{'}'})
	return &shot{id: hex.EncodeToString(sum.Sum(nil)), body: body}, nil
}

// join gives the screen of a board to one more client, who must leave it.
func (s *screens) join(workspace string, by wallboard.GroupBy) (*screen, func(), error) {
	first, err := s.look(workspace, by)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams >= maxStreams {
		return nil, nil, problem.Busy("Too many wallboards are being followed.", 5*retryAfter)
	}
	s.streams++
	s.clients.Inc()
	key := screenKey{workspace, by}
	sc := s.open[key]
	if sc == nil {
		sc = &screen{stop: make(chan struct{}), last: first, changed: make(chan struct{})}
		s.open[key] = sc
		go s.refresh(key, sc)
	}
	sc.clients++
	return sc, sync.OnceFunc(func() { s.leave(key, sc) }), nil
}

func (s *screens) leave(key screenKey, sc *screen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams--
	s.clients.Dec()
	if sc.clients--; sc.clients == 0 {
		delete(s.open, key)
		close(sc.stop)
	}
}

// refresh makes shots until the last client has left. While there is none to make, the last one stands.
func (s *screens) refresh(key screenKey, sc *screen) {
	tick := time.NewTicker(shotEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if next, err := s.look(key.workspace, key.by); err == nil {
				sc.show(next)
			}
		case <-sc.stop:
			return
		}
	}
}

func (sc *screen) show(next *shot) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.last.id == next.id {
		return
	}
	sc.last = next
	close(sc.changed)
	sc.changed = make(chan struct{})
}

// now is the newest shot, and what is closed when there is a newer one.
func (sc *screen) now() (*shot, <-chan struct{}) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	return sc.last, sc.changed
}
