package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Timeouts of every HTTP server. Without them a slow or silent client holds a
// connection, and in the end a file descriptor, for ever.
const (
	// readHeaderTimeout is generous for 64 KiB even over a bad line.
	readHeaderTimeout = 10 * time.Second
	// readTimeout lets 8 MiB, the largest body, through at 140 KiB/s.
	readTimeout = 60 * time.Second
	// writeTimeout is counted from the end of the headers, so it covers reading
	// the body, the handler (5 s for a position, 10 s for a query) and the
	// answer. Streams move it with http.ResponseController.
	writeTimeout = 90 * time.Second
	// idleTimeout is above the 60 s that proxies usually keep a connection for,
	// so that the proxy closes it and never sends into a closed one.
	idleTimeout = 120 * time.Second
	// maxHeaderBytes leaves room for several positions in a query.
	maxHeaderBytes = 64 << 10
	// DefaultDrainTimeout is how long requests in flight have to end in. It is
	// below DefaultStopTimeout: what they use is closed after them.
	DefaultDrainTimeout = 15 * time.Second
)

// Server serves HTTP as a service of a Group.
type Server struct {
	// Name tells servers apart in the log.
	Name string
	// Addr is where to listen, host:port. It is ignored if Listener is set.
	Addr string
	// Listener is one that is already open. Run closes it.
	Listener net.Listener
	// Handler answers.
	Handler http.Handler
	// Log receives the address and the errors of connections.
	Log *slog.Logger
	// DrainTimeout bounds the graceful end; zero means DefaultDrainTimeout.
	DrainTimeout time.Duration
}

// Listen opens a TCP listener, so that its address is known, and a port that
// is taken is an error, before anything else starts.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}

// Service is the server as a member of a Group.
func (s Server) Service() Service { return Service{Name: s.Name, Run: s.Run} }

// Run serves until the context ends, then lets requests in flight end: they
// keep their contexts until the drain timeout, after which their connections
// are closed. Streams see the end through Draining.
func (s Server) Run(ctx context.Context) error {
	l := s.Listener
	if l == nil {
		var err error
		if l, err = Listen(ctx, s.Addr); err != nil {
			return err
		}
	}
	// Requests outlive ctx by the drain: it ends their acceptance, not them.
	draining := make(chan struct{})
	requests, abandon := context.WithCancel(withDraining(context.WithoutCancel(ctx), draining))
	defer abandon()
	srv := &http.Server{
		Handler:           s.Handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return requests },
	}
	s.Log.InfoContext(ctx, "listening", slog.String("server", s.Name), slog.String("addr", l.Addr().String()))
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}

	close(draining)
	limit, cancel := context.WithTimeout(requests, s.drainTimeout())
	defer cancel()
	err := srv.Shutdown(limit)
	if errors.Is(err, context.DeadlineExceeded) {
		abandon()
		_ = srv.Close() // what it closes is given up already
		s.Log.WarnContext(ctx, "requests cut off", slog.String("server", s.Name), slog.Duration("after", s.drainTimeout()))
		return nil
	}
	if err != nil {
		return fmt.Errorf("shut down %s: %w", l.Addr(), err)
	}
	return nil
}

func (s Server) drainTimeout() time.Duration {
	if s.DrainTimeout > 0 {
		return s.DrainTimeout
	}
	return DefaultDrainTimeout
}

type drainingKey struct{}

func withDraining(ctx context.Context, draining <-chan struct{}) context.Context {
	return context.WithValue(ctx, drainingKey{}, draining)
}

// Draining returns a channel that is closed when the server of a request wants
// to stop. A stream, which would never end by itself, ends then. Outside a
// Server it is nil, and never ready.
func Draining(ctx context.Context) <-chan struct{} {
	draining, _ := ctx.Value(drainingKey{}).(<-chan struct{})
	return draining
}
