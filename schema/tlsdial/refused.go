package tlsdial

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"time"
)

// ErrHungUp says that a server closed a new connection before it answered anything. It may be on its way up or down behind
// a proxy that takes connections for it, and then it is worth waiting for; but one that does so for long is asked in
// the wrong way and cannot say so.
var ErrHungUp = errors.New("the server hangs up: it may be starting, or want TLS, no TLS, or another way to log in than is configured here")

// Refused says in words why a server and this process do not trust each other, where that is what an error of a
// connection means. Retrying does not heal it. ok is false for every other error.
//
// A server may look at our certificate only after the handshake is over for us, as it does with TLS 1.3; its refusal
// then comes with the first answer, so errors of requests are worth asking about as well.
func Refused(err error) (reason string, ok bool) {
	if _, ok := errors.AsType[*fileError](err); ok {
		return "a file that TLS needs cannot be used", true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the server does not speak TLS on this port, or not at all", true
	}
	if errors.Is(err, errWantsTLS) {
		return "the server wants TLS on this port", true
	}
	if reason, ok := distrusted(err); ok {
		return reason, true
	}
	// An alert of the peer has no type of its own that could be asked for; its operation is what tells it apart.
	if operation, ok := errors.AsType[*net.OpError](err); ok && operation.Op == "remote error" {
		return "the server refuses the connection: it wants a certificate of this process that it trusts, or another version of TLS", true
	}
	return "", false
}

// distrusted says why the server's certificate was not accepted.
func distrusted(err error) (reason string, ok bool) {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired && invalid.Cert != nil {
			return "the server's certificate is valid from " + invalid.Cert.NotBefore.UTC().Format(time.RFC3339) +
				" to " + invalid.Cert.NotAfter.UTC().Format(time.RFC3339) + " only", true
		}
		return "the server's certificate is not valid", true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the server's certificate is signed by nobody in the CA file (without one: in the system's list)", true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the server's certificate has another name than the server was asked for", true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the server's certificate cannot be verified", true
	}
	return "", false
}
