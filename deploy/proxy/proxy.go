// Package proxy puts the services behind one address where they run apart: each request goes to the service that owns
// its path, by the same rules as in dev. Any proxy that routes by path does as well; this one needs no configuration.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/throughline/throughline/deploy/dev"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/run"
)

const (
	// connectWithin bounds a connection within one network.
	connectWithin = 2 * time.Second
	// answerWithin is above what a service takes for the slowest request, whose own timeouts are to answer first, and
	// below the server's writeTimeout of 90 s, so that the client still hears of it.
	answerWithin = 75 * time.Second
	// idleFor is below the 120 s after which a service closes a connection that it does not use, so that no request goes
	// into one that is just being closed.
	idleFor = 60 * time.Second
	// idleConnections are kept to each service, for the requests that come at once.
	idleConnections = 256
	// comeBack is when a client is to ask again where a service is away: a restart takes seconds.
	comeBack = time.Second
)

// Config says where the services are. The tags are kong's.
type Config struct {
	Ingest string `name:"ingest-url" env:"THROUGHLINE_INGEST_URL" default:"http://127.0.0.1:8081" placeholder:"URL" help:"Base address of the write side."`
	Query  string `name:"query-url" env:"THROUGHLINE_QUERY_URL" default:"http://127.0.0.1:8082" placeholder:"URL" help:"Base address of the read side."`
	// Dispatcher is empty where nobody delivers webhooks.
	Dispatcher string `name:"dispatcher-url" env:"THROUGHLINE_DISPATCHER_URL" placeholder:"URL" help:"Base address of the dispatcher, http://127.0.0.1:8084 by its own default; absent: there are no webhooks."`
}

// Deps is what a proxy takes from its surroundings.
type Deps struct {
	Log   *slog.Logger
	Ready *run.Readiness
}

// Validate says everything that is wrong with the configuration.
func (c Config) Validate() error {
	_, err := c.addresses()
	return err
}

// addresses are those of the services; that of the dispatcher is nil where there is none.
type addresses struct{ ingest, query, dispatcher *url.URL }

func (c Config) addresses() (a addresses, err error) {
	var err1, err2, err3 error
	a.ingest, err1 = address("THROUGHLINE_INGEST_URL", c.Ingest)
	a.query, err2 = address("THROUGHLINE_QUERY_URL", c.Query)
	if c.Dispatcher != "" {
		a.dispatcher, err3 = address("THROUGHLINE_DISPATCHER_URL", c.Dispatcher)
	}
	return a, errors.Join(err1, err2, err3)
}

func address(name, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.User != nil || (u.Path != "" && u.Path != "/") {
		return nil, fmt.Errorf("%s is %q, want http://HOST:PORT", name, text)
	}
	return u, nil
}

// New returns the handler and adds a check for each service. /livez and /readyz are the proxy's own, for what balances
// load in front of several; metrics are for the second listener alone.
func New(cfg Config, deps Deps) (http.Handler, error) {
	to, err := cfg.addresses()
	if err != nil {
		return nil, fmt.Errorf("configure proxy: %w", err)
	}
	dialer := &net.Dialer{Timeout: connectWithin}
	transport := &http.Transport{
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   idleConnections,
		IdleConnTimeout:       idleFor,
		TLSHandshakeTimeout:   connectWithin,
		ResponseHeaderTimeout: answerWithin,
		// The client says which encodings it takes.
		DisableCompression: true,
	}
	behind := func(name string, to *url.URL) http.Handler {
		deps.Ready.Add(name, func(ctx context.Context) error { return reach(ctx, dialer, to) })
		return &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(to)
				r.SetXForwarded()
				// A service writes addresses of its own as the client knows them.
				r.Out.Host = r.In.Host
			},
			Transport: transport,
			// What goes wrong on one connection is the client's to hear and to repeat.
			ErrorLog: slog.NewLogLogger(deps.Log.Handler(), slog.LevelDebug),
			ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
				if r.Context().Err() == nil {
					deps.Log.WarnContext(r.Context(), "service not reached", slog.String("service", name), slog.String("error", err.Error()))
				}
				problem.Write(w, r, problem.Busy("The service that answers this is being restarted or overloaded. It is safe to repeat the request.", comeBack))
			},
		}
	}
	own := http.NewServeMux()
	own.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	own.Handle("GET /readyz", deps.Ready)
	own.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem.Write(w, r, problem.New(problem.NotFound, ""))
	})
	var webhooks http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		problem.Write(w, r, problem.New(problem.NotFound, "This installation delivers no webhooks."))
	})
	if to.dispatcher != nil {
		webhooks = behind("dispatcher", to.dispatcher)
	}
	return dev.Route(own, behind("ingest", to.ingest), behind("query", to.query), webhooks), nil
}

// reach is an error unless somebody listens at an address.
func reach(ctx context.Context, dialer *net.Dialer, to *url.URL) error {
	port := to.Port()
	if port == "" {
		port = to.Scheme // a name that every system knows the number of
	}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(to.Hostname(), port))
	if err != nil {
		return fmt.Errorf("reach %s: %w", to.Host, err)
	}
	return conn.Close()
}
