package dispatcher

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/webhook"
)

// endpointBody is the body of a PUT: what may be set, and what a GET shows beside it, which is ignored.
type endpointBody struct {
	URL string `json:"url"`
	// Enabled is true where it is absent.
	Enabled *bool    `json:"enabled"`
	Events  []string `json:"events"`
	// AuthToken and SigningSecret are kept where they are absent, and cleared or renewed where they are null.
	AuthToken      json.RawMessage   `json:"authToken"`
	AuthHeaderName string            `json:"authHeaderName"`
	SigningSecret  json.RawMessage   `json:"signingSecret"`
	AssignedScope  string            `json:"assignedScope"`
	Teams          []string          `json:"teams"`
	Channels       []string          `json:"channels"`
	ObjectTypes    []string          `json:"objectTypes"`
	Filter         string            `json:"filter"`
	QueueThreshold *int              `json:"queueThreshold"`
	Format         string            `json:"format"`
	DigestSeconds  int               `json:"digestSeconds"`
	RateLimit      *float64          `json:"rateLimitPerSecond"`
	Ordering       string            `json:"ordering"`
	Headers        map[string]string `json:"headers"`

	// ID must be that of the path; the others are ignored.
	ID             string          `json:"id"`
	HasAuthToken   json.RawMessage `json:"hasAuthToken"`
	Secrets        json.RawMessage `json:"signingSecrets"`
	Status         json.RawMessage `json:"status"`
	DisabledReason json.RawMessage `json:"disabledReason"`
	DisabledAt     json.RawMessage `json:"disabledAt"`
	FailingSince   json.RawMessage `json:"failingSince"`
	CreatedAt      json.RawMessage `json:"createdAt"`
	UpdatedAt      json.RawMessage `json:"updatedAt"`
	Position       json.RawMessage `json:"position"`
}

// settings makes an endpoint of a body and of what there was, and says which secret is to be shown. Every broken rule is
// named.
func (s *Service) settings(b *endpointBody, id string, before *target, now time.Time) (*target, string, error) {
	var broken []object.Violation
	add := func(pointer, detail string) {
		broken = append(broken, object.Violation{Pointer: pointer, Detail: detail})
	}
	if b.ID != "" && b.ID != id {
		add("/id", "must be that of the path, or absent")
	}
	e := &webhook.Endpoint{
		Enabled: b.Enabled == nil || *b.Enabled, AssignedScope: orElse(b.AssignedScope, webhook.ScopeProactive),
		Events: b.Events, Teams: b.Teams, Channels: b.Channels, Filter: b.Filter, QueueThreshold: webhook.DefaultThreshold,
		Format: orElse(b.Format, webhook.FormatJSON), DigestSeconds: b.DigestSeconds, RateLimit: b.RateLimit,
		Ordering: orElse(b.Ordering, webhook.OrderingNone),
	}
	if b.QueueThreshold != nil {
		e.QueueThreshold = *b.QueueThreshold
	}
	for _, name := range b.ObjectTypes {
		e.ObjectTypes = append(e.ObjectTypes, object.Type(name))
	}
	p, shown := private(b, before, now, add)
	broken = append(broken, e.Validate()...)
	broken = append(broken, p.Validate()...)
	if b.URL == "" {
		add("/url", "is required")
	} else if u, err := s.guard.checkURL(b.URL); err != nil {
		add("/url", err.Error())
	} else if pointer, detail := misfit(e.Format, u); detail != "" {
		add(pointer, detail)
	}
	f, err := s.filters.compile(e.Filter)
	if err != nil {
		add("/filter", err.Error())
	}
	if len(broken) > 0 {
		faults := make([]problem.Fault, len(broken))
		for i, v := range broken {
			faults[i] = problem.At(v.Pointer, v.Detail)
		}
		return nil, "", problem.Invalid(faults...)
	}
	normalize(e)
	return &target{Endpoint: e, private: p, filter: f}, shown, nil
}

// private makes the private part of an endpoint, and says which secret is to be shown.
func private(b *endpointBody, before *target, now time.Time, add func(pointer, detail string)) (*webhook.Private, string) {
	p := &webhook.Private{URL: b.URL, AuthHeaderName: orElse(b.AuthHeaderName, webhook.DefaultAuthHeader), Headers: maps.Clone(b.Headers)}
	if before != nil {
		p.AuthToken, p.Secrets = before.private.AuthToken, before.private.Secrets
	}
	if b.AuthToken != nil {
		p.AuthToken = text(b.AuthToken, "/authToken", add)
	}
	given := text(b.SigningSecret, "/signingSecret", add)
	switch {
	case given != "" && before != nil && len(p.Secrets) > 0 && p.Secrets[0].Value == given:
		return p, ""
	case given == "" && b.SigningSecret == nil && before != nil:
		return p, ""
	case given == "":
		given = newSecret()
	}
	renew(p, given, now)
	return p, given
}

// text reads a member that is a string or null.
func text(raw json.RawMessage, pointer string, add func(pointer, detail string)) string {
	if raw == nil {
		return ""
	}
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil {
		add(pointer, "must be a string or null")
		return ""
	}
	if s == nil {
		return ""
	}
	return *s
}

// normalize brings lists into the form in which they are kept: each item once, by its canonical name.
func normalize(e *webhook.Endpoint) {
	for i, name := range e.Events {
		e.Events[i], _ = webhook.ParseEventType(name)
	}
	for i, t := range e.ObjectTypes {
		if canonical, err := object.ParseType(string(t)); err == nil {
			e.ObjectTypes[i] = canonical
		}
	}
	e.Events, e.ObjectTypes = unique(e.Events), unique(e.ObjectTypes)
	e.Teams, e.Channels = unique(e.Teams), unique(e.Channels)
}

func unique[T comparable](list []T) []T {
	var out []T
	for _, v := range list {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func orElse(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
