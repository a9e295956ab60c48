package projector

import (
	"io"
	"net"
	"sync"
	"testing"
)

// gentle stands between a process that is killed and the ClickHouse that the tests share, and turns the reset of a
// dead process's connection into an orderly end. The embedded engine does not outlive a reset: its library lets the
// exception through. A server that is a process of its own does.
func gentle(t *testing.T, server string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go pass(client, server)
		}
	}()
	return l.Addr().String()
}

// pass copies both ways until both have ended. What the server still says to a dead client is read and dropped, for
// closing a connection with unread data resets it.
func pass(client net.Conn, server string) {
	defer func() { _ = client.Close() }()
	upstream, err := net.Dial("tcp", server)
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
}
