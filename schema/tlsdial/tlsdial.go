// Package tlsdial opens the connections to Kafka and to ClickHouse, with TLS where it is asked for, and says in words
// why a server and this process do not trust each other.
//
// Files are read again for every connection. Whoever rotates certificates replaces the files; connections that are open
// stay as they are, and the next one uses what is there then.
package tlsdial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// Timeout bounds the opening of a connection, the handshake included: a server that does not accept within it is down,
// and a failover must not outlast a session of a consumer group, which is 6 s at the least.
const Timeout = 5 * time.Second

// keepAlive finds a peer that is gone without a word, as behind a firewall that forgot the connection.
const keepAlive = 30 * time.Second

// Config says how the connections to a server are secured. The tags are kong's; whoever embeds it gives the prefixes.
type Config struct {
	// Enabled turns TLS on. Without it the other fields must be empty.
	Enabled bool `name:"tls" env:"TLS" help:"Encrypt connections and check the server's certificate."`
	// CAFile has the certificates, in PEM, that may sign the server's; empty for the system's.
	CAFile string `name:"ca-file" env:"CA_FILE" placeholder:"FILE" help:"Certificate authorities of the server, in PEM, instead of the system's."`
	// CertFile and KeyFile are the certificate by which the server knows this process, in PEM; both or none.
	CertFile string `name:"cert-file" env:"CERT_FILE" placeholder:"FILE" help:"Certificate by which the server knows this process, in PEM, with those between it and its authority."`
	KeyFile  string `name:"key-file" env:"KEY_FILE" placeholder:"FILE" help:"Private key of that certificate, in PEM."`
	// ServerName is the name that the server's certificate must have; empty for the host that is dialled.
	ServerName string `name:"server-name" env:"SERVER_NAME" help:"Name that the server's certificate must have; absent: the host of its address."`
}

// Validate says everything that is wrong with the configuration, and reads the files to see whether they hold what they
// should.
func (c Config) Validate() error {
	if !c.Enabled {
		if c != (Config{}) {
			return errors.New("a CA file, a certificate, a key or a server name needs TLS to be turned on")
		}
		return nil
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return errors.New("a certificate and its key go together: name both files or none")
	}
	_, err := c.client("")
	return err
}

// client is the configuration of one connection to a host, made of what the files hold now.
func (c Config) client(host string) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if t.ServerName == "" {
		t.ServerName = host
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read CA file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %s holds no certificate in PEM", c.CAFile)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read certificate %s and its key: %w", c.CertFile, err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// DialContext opens a connection within [Timeout], with TLS where it is turned on; the handshake is over when it
// returns. [Refused] tells which of its errors no retry heals.
func (c Config) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	dialer := &net.Dialer{KeepAlive: keepAlive}
	if !c.Enabled {
		conn, err := dialer.DialContext(ctx, network, addr)
		if tcp, ok := conn.(*net.TCPConn); ok {
			return &plainConn{TCPConn: tcp}, nil
		}
		return conn, err
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address %q is not host:port: %w", addr, err)
	}
	config, err := c.client(host)
	if err != nil {
		return nil, &fileError{err}
	}
	return (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, network, addr)
}

// plainConn finds out that the server wants TLS. It is otherwise the connection itself, with all that clients can do to it.
type plainConn struct {
	*net.TCPConn

	answered bool
}

// alert is the first byte of what a server sends that got something else than a handshake. Neither Kafka nor ClickHouse
// begins an answer with it: to Kafka it would be the length of one of 350 MB, to ClickHouse a packet that does not exist.
const alert = 0x15

var errWantsTLS = errors.New("the server answered with an alert of TLS")

// Read reads from the connection and looks at the first byte. Readers of both clients are one at a time.
func (c *plainConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if n > 0 && !c.answered {
		c.answered = true
		if b[0] == alert {
			return 0, errWantsTLS
		}
	}
	return n, err
}

// fileError marks a file that cannot be used.
type fileError struct{ err error }

func (e *fileError) Error() string { return e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }
