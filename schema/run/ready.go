package run

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// checkTimeout bounds one readiness check. Kubernetes gives a probe one second
// by default and keeps trying; a person with curl waits two.
const checkTimeout = 2 * time.Second

// Readiness is a set of named checks: the process is ready when all pass.
type Readiness struct {
	mu     sync.Mutex
	names  []string
	checks map[string]func(context.Context) error
}

// NewReadiness returns a set without checks, which is ready.
func NewReadiness() *Readiness {
	return &Readiness{checks: make(map[string]func(context.Context) error)}
}

// Add adds a check, or replaces the one of that name. It must return soon after
// its context ends, and be safe for concurrent use.
func (r *Readiness) Add(name string, check func(ctx context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, there := r.checks[name]; !there {
		r.names = append(r.names, name)
	}
	r.checks[name] = check
}

// Check runs every check at the same time and returns what each said; a check
// that passed has a nil error.
func (r *Readiness) Check(ctx context.Context) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	r.mu.Lock()
	checks := make([]func(context.Context) error, len(r.names))
	names := make([]string, len(r.names))
	for i, name := range r.names {
		names[i], checks[i] = name, r.checks[name]
	}
	r.mu.Unlock()

	results := make([]error, len(checks))
	var wg sync.WaitGroup
	for i, check := range checks {
		wg.Go(func() { results[i] = check(ctx) })
	}
	wg.Wait()
	said := make(map[string]error, len(names))
	for i, name := range names {
		said[name] = results[i]
	}
	return said
}

// ServeHTTP answers 200 if every check passes and 503 otherwise, with what each
// said.
func (r *Readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	status := http.StatusOK
	answer := struct {
		Status string            `json:"status"`
		Checks map[string]string `json:"checks"`
	}{Status: "ready", Checks: make(map[string]string)}
	for name, err := range r.Check(req.Context()) {
		answer.Checks[name] = "ok"
		if err != nil {
			status, answer.Status = http.StatusServiceUnavailable, "not ready"
			answer.Checks[name] = err.Error()
		}
	}
	body, err := json.Marshal(answer)
	if err != nil {
		body = fmt.Appendf(nil, `{"status":%q}`, answer.Status)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a probe that has gone cannot be told
}
