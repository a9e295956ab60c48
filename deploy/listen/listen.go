// Package listen receives webhooks for somebody who looks at them or tests against them: it registers an endpoint that
// lives as long as the command, verifies and prints what comes, and misbehaves where that is asked for.
package listen

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/throughline/throughline/deploy/client"
	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/webhook"
)

// Bounds of what is asked of the API.
const (
	// patience is how long a request is tried again.
	patience = 10 * time.Second
	// removeWithin bounds the removal of the endpoint, which a person waits for who pressed Ctrl-C.
	removeWithin = 8 * time.Second
	// drain is how long deliveries that are being answered have to end in.
	drain = 2 * time.Second
)

// secretBytes is the length of the signing secret.
const secretBytes = 32

// Deps are where deliveries are printed, and where everything else is said.
type Deps struct {
	Stdout, Stderr io.Writer
	Log            *slog.Logger
}

// listener is one run of the command.
type listener struct {
	cfg  Config
	deps Deps
	api  *client.Client
	// id and secret are those of the endpoint.
	id, secret string
}

// Run receives until the context ends or the configured number of deliveries has come. The endpoint is gone when it
// returns, unless the error says otherwise.
func Run(ctx context.Context, cfg Config, deps Deps) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	key, err := cfg.secret()
	if err != nil {
		return err
	}
	api, err := client.New(client.Config{URL: cfg.URL, Key: key, Patience: patience})
	if err != nil {
		return err
	}
	defer api.Close()
	l := &listener{
		cfg: cfg, deps: deps, api: api, id: "listen-" + hex.EncodeToString(random(4)),
		// Its own secret: where the answer to the registration is lost, the repeat of it would not be told another's.
		secret: webhook.SecretPrefix + base64.StdEncoding.EncodeToString(random(secretBytes)),
	}
	return l.run(ctx)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return b
}

func (l *listener) run(ctx context.Context) error {
	at, err := run.Listen(ctx, l.cfg.Listen)
	if err != nil {
		return err
	}
	r, err := newReceiver(l.cfg, l.secret, l.deps.Stdout)
	if err != nil {
		return errors.Join(err, at.Close())
	}
	// It receives until the endpoint is gone, so that nothing that is sent meanwhile fails.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	served := make(chan error, 1)
	server := run.Server{Name: "listen", Listener: at, Handler: r, Log: l.deps.Log, DrainTimeout: drain}
	go func() { served <- server.Run(serving) }()

	url := l.cfg.PublicURL
	if url == "" {
		url = "http://" + at.Addr().String() + "/"
	}
	err = l.register(ctx, url)
	if err == nil {
		select {
		case <-ctx.Done():
		case <-r.enough:
		case err = <-served:
		}
	}
	if status, refused := errors.AsType[*client.StatusError](err); !refused || status.Temporary() {
		if ctx.Err() != nil {
			err = nil // the person has ended it
		}
		err = errors.Join(err, l.remove(ctx))
	}
	stop()
	if err == nil {
		err = <-served
	}
	l.say("%s", r.summary())
	return err
}

// say tells a person something.
func (l *listener) say(format string, args ...any) {
	_, _ = fmt.Fprintf(l.deps.Stderr, format+"\n", args...) // there is nowhere else to say it
}

// path is that of the endpoint.
func (l *listener) path() string { return "v1/webhook-endpoints/" + l.id }

// settings is the body of the registration.
type settings struct {
	URL           string   `json:"url"`
	Events        []string `json:"events"`
	SigningSecret string   `json:"signingSecret"`
	AssignedScope string   `json:"assignedScope"`
	Teams         []string `json:"teams,omitempty"`
	Filter        string   `json:"filter,omitempty"`
}

func (l *listener) register(ctx context.Context, url string) error {
	events := l.cfg.Events
	if len(events) == 0 {
		var catalogue struct {
			Data []struct {
				Type string `json:"type"`
			} `json:"data"`
		}
		if err := l.api.JSON(ctx, http.MethodGet, "v1/webhook-event-types", nil, &catalogue); err != nil {
			return fmt.Errorf("ask for the types of events: %w", err)
		}
		for _, t := range catalogue.Data {
			events = append(events, t.Type)
		}
	}
	var made struct{}
	err := l.api.JSON(ctx, http.MethodPut, l.path(), settings{
		URL: url, Events: events, SigningSecret: l.secret, AssignedScope: webhook.ScopeAll, Teams: l.cfg.Teams, Filter: l.cfg.Filter,
	}, &made)
	if err != nil {
		return fmt.Errorf("register endpoint %s for %s: %w", l.id, url, err)
	}
	l.say("listening at %s as endpoint %s, told of %d types of events; Ctrl-C ends it", url, l.id, len(events))
	return nil
}

// remove deletes the endpoint, also when the person has ended the command.
func (l *listener) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeWithin)
	defer cancel()
	if _, err := l.api.Do(ctx, client.Request{Method: http.MethodDelete, Path: l.path()}); err != nil {
		return fmt.Errorf("endpoint %s could not be removed and goes on failing until somebody does (DELETE /%s): %w", l.id, l.path(), err)
	}
	return nil
}
