package schematest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"sync"
	"testing"
)

// TLSFront takes connections with a certificate and passes what is in them to a server that has none, as a proxy in front
// of it does. The embedded ClickHouse is such a server: it opens no port with TLS by itself. Where clients is not nil, only
// those with a certificate of that authority are let in. It returns the address.
func TLSFront(tb testing.TB, to string, c Certificate, clients *Authority) string {
	tb.Helper()
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		tb.Fatalf("load certificate of front: %v", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if clients != nil {
		pem, err := os.ReadFile(clients.File)
		if err != nil {
			tb.Fatal(err)
		}
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		config.ClientCAs.AppendCertsFromPEM(pem)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		tb.Fatalf("open front: %v", err)
	}
	ctx := background(tb)
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			open.Go(func() { pass(ctx, conn, to) })
		}
	})
	tb.Cleanup(func() {
		if err := listener.Close(); err != nil {
			tb.Errorf("close front: %v", err)
		}
		open.Wait() // clients have closed by now: theirs were opened later, and are cleaned up before
	})
	return listener.Addr().String()
}

// pass copies both ways until one side ends.
func pass(ctx context.Context, client net.Conn, to string) {
	defer func() { _ = client.Close() }()
	if secured, ok := client.(*tls.Conn); !ok || secured.HandshakeContext(ctx) != nil {
		return // the client has been told why
	}
	server, err := new(net.Dialer).DialContext(ctx, "tcp", to)
	if err != nil {
		return
	}
	// How a copy ends tells nothing: the end of either side ends both.
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	both.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	both.Wait()
}
