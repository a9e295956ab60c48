package projector

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/throughline/throughline/schema/store"
)

// gate stands between a projector and the ClickHouse that the tests share, and can be shut. The server sees an orderly
// end of the connection and carries out what it has got; the client hears nothing of it.
type gate struct {
	addr, server string

	mu      sync.Mutex
	closed  bool
	refused bool
	clients map[net.Conn]struct{}
}

func newGate(t *testing.T, server string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	g := &gate{addr: l.Addr().String(), server: server, clients: map[net.Conn]struct{}{}}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go g.pass(client)
		}
	}()
	return g
}

// behindGate is the world whose connections to ClickHouse pass a gate.
func (w *world) behindGate(t *testing.T) (*world, *gate) {
	t.Helper()
	between := newGate(t, w.store.Addr)
	behind := *w
	behind.store.Addr = between.addr
	var err error
	behind.conn, err = store.Open(t.Context(), behind.store, store.ReadWrite)
	must(t, err)
	t.Cleanup(func() { must(t, behind.conn.Close()) })
	return &behind, between
}

// shut breaks all connections and refuses new ones.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for c := range g.clients {
		_ = c.Close()
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = false
}

// refusedAny says whether somebody came while the gate was shut.
func (g *gate) refusedAny() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused
}

func (g *gate) admit(client net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.clients[client] = struct{}{}
	}
	g.refused = g.refused || g.closed
	return !g.closed
}

// pass copies both ways until both have ended. What the server still says to a client that is gone is read and dropped,
// for closing a connection with unread data resets it.
func (g *gate) pass(client net.Conn) {
	defer func() { _ = client.Close() }()
	if !g.admit(client) {
		return
	}
	upstream, err := net.Dial("tcp", g.server)
	if err != nil {
		return
	}
	defer func() { _ = upstream.Close() }()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(upstream, client)
		if c, ok := upstream.(*net.TCPConn); ok {
			_ = c.CloseWrite()
		}
	})
	wg.Go(func() {
		_, _ = io.Copy(client, upstream)
		_, _ = io.Copy(io.Discard, upstream)
	})
	wg.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.clients, client)
}
