package webhook

import (
	"encoding/base64"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/throughline/throughline/schema/object"
)

// Bounds of an endpoint's settings.
const (
	MaxListItems     = 100
	MaxItemLength    = 256
	MaxFilterLength  = 2048
	MaxURLLength     = 2048
	MaxTokenLength   = 4096
	MaxHeaders       = 20
	MaxHeaderLength  = 1024
	MinRateLimit     = 0.01
	MaxRateLimit     = 10_000
	MinSecretBytes   = 24
	MaxSecretBytes   = 64
	DefaultThreshold = 1
	// MaxDigestSeconds is the longest that an event waits for others: a day.
	MaxDigestSeconds = 86_400
)

// SecretPrefix begins every signing secret.
const SecretPrefix = "whsec_"

// DefaultAuthHeader is the header that carries the auth token where no other is named.
const DefaultAuthHeader = "Authorization"

// Validate lists every rule that the settings break. The URL and the filter have rules of their own, which need more than
// this package knows.
func (e *Endpoint) Validate() []object.Violation {
	var v []object.Violation
	add := func(pointer, format string, args ...any) {
		v = append(v, object.Violation{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
	if len(e.Events) == 0 {
		add("/events", "must name at least one event type")
	}
	if len(e.Events) > MaxListItems {
		add("/events", "has %d items; at most %d are allowed", len(e.Events), MaxListItems)
	}
	for i, name := range e.Events {
		if _, known := ParseEventType(name); !known {
			add(fmt.Sprintf("/events/%d", i), "must be one of %s", strings.Join(EventTypes(), ", "))
		}
	}
	oneOf := func(pointer, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			add(pointer, "must be one of %s", strings.Join(allowed, ", "))
		}
	}
	oneOf("/assignedScope", e.AssignedScope, ScopeProactive, ScopeAll)
	oneOf("/format", e.Format, FormatJSON, FormatSlack, FormatTeams)
	oneOf("/ordering", e.Ordering, OrderingNone, OrderingConversation)
	v = append(v, validateNames("/teams", e.Teams)...)
	v = append(v, validateNames("/channels", e.Channels)...)
	if len(e.ObjectTypes) > MaxListItems {
		add("/objectTypes", "has %d items; at most %d are allowed", len(e.ObjectTypes), MaxListItems)
	}
	for i, t := range e.ObjectTypes {
		if _, err := object.ParseType(string(t)); err != nil {
			add(fmt.Sprintf("/objectTypes/%d", i), "%s", err)
		}
	}
	if n := utf8.RuneCountInString(e.Filter); n > MaxFilterLength {
		add("/filter", "has %d code points; at most %d are allowed", n, MaxFilterLength)
	}
	if e.QueueThreshold < 1 || e.QueueThreshold > 1_000_000 {
		add("/queueThreshold", "must be 1 to 1000000")
	}
	if e.DigestSeconds < 0 || e.DigestSeconds > MaxDigestSeconds {
		add("/digestSeconds", "must be 0 to %d", MaxDigestSeconds)
	}
	if e.DigestSeconds > 0 && e.Ordering == OrderingConversation {
		add("/digestSeconds", "must be 0 where ordering is conversation: a digest is tried again as a whole, and would hold up others")
	}
	if r := e.RateLimit; r != nil && (*r < MinRateLimit || *r > MaxRateLimit) {
		add("/rateLimitPerSecond", "must be %g to %d attempts a second, or null", MinRateLimit, MaxRateLimit)
	}
	return v
}

func validateNames(pointer string, names []string) []object.Violation {
	var v []object.Violation
	if len(names) > MaxListItems {
		v = append(v, object.Violation{Pointer: pointer, Detail: fmt.Sprintf("has %d items; at most %d are allowed", len(names), MaxListItems)})
	}
	for i, name := range names {
		if n := utf8.RuneCountInString(name); n < 1 || n > MaxItemLength {
			v = append(v, object.Violation{
				Pointer: fmt.Sprintf("%s/%d", pointer, i), Detail: fmt.Sprintf("must have 1 to %d code points", MaxItemLength),
			})
		}
	}
	return v
}

// Validate lists every rule that the private settings break, but for the URL's.
func (p *Private) Validate() []object.Violation {
	var v []object.Violation
	add := func(pointer, format string, args ...any) {
		v = append(v, object.Violation{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
	if p.AuthToken != "" && (len(p.AuthToken) > MaxTokenLength || !headerValue(p.AuthToken)) {
		add("/authToken", "must be at most %d printable ASCII characters, without a blank at its ends", MaxTokenLength)
	}
	if problem := headerName(p.AuthHeaderName); problem != "" {
		add("/authHeaderName", "%s", problem)
	}
	if len(p.Headers) > MaxHeaders {
		add("/headers", "has %d members; at most %d are allowed", len(p.Headers), MaxHeaders)
	}
	seen := map[string]bool{textproto.CanonicalMIMEHeaderKey(p.AuthHeaderName): p.AuthToken != ""}
	for _, name := range sortedNames(p.Headers) {
		pointer, canonical := "/headers/"+escape(name), textproto.CanonicalMIMEHeaderKey(name)
		switch problem := headerName(name); {
		case problem != "":
			add(pointer, "%s", problem)
		case seen[canonical]:
			add(pointer, "is the header of the auth token, or named twice")
		case len(p.Headers[name]) > MaxHeaderLength || !headerValue(p.Headers[name]):
			add(pointer, "must be at most %d printable ASCII characters, without a blank at its ends", MaxHeaderLength)
		}
		seen[canonical] = true
	}
	for _, s := range p.Secrets {
		if _, err := ParseSecret(s.Value); err != nil {
			add("/signingSecret", "%s", err)
		}
	}
	return v
}

// ParseSecret gives the bytes of a signing secret.
func ParseSecret(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, SecretPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < MinSecretBytes || len(key) > MaxSecretBytes {
		return nil, fmt.Errorf("must be %s and base64 of %d to %d bytes", SecretPrefix, MinSecretBytes, MaxSecretBytes)
	}
	return key, nil
}

// reserved are headers that a delivery has anyway, or that belong to the connection.
func reserved() []string {
	return []string{
		"Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host", "Http2-Settings",
		// With these the client library would send a request again by itself.
		"Idempotency-Key", "X-Idempotency-Key",
		"Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent",
		"Webhook-Id", "Webhook-Signature", "Webhook-Timestamp",
	}
}

// headerName says what is wrong with the name of a header, or nothing.
func headerName(name string) string {
	switch {
	case name == "" || len(name) > MaxItemLength || strings.ContainsFunc(name, func(r rune) bool { return !tokenRune(r) }):
		return fmt.Sprintf("must be the name of a header, at most %d characters", MaxItemLength)
	case slices.Contains(reserved(), textproto.CanonicalMIMEHeaderKey(name)):
		return "is a header that deliveries set themselves"
	default:
		return ""
	}
}

// tokenRune is a character of a token of RFC 9110, section 5.6.2.
func tokenRune(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return true
	default:
		return strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	}
}

func headerValue(s string) bool {
	return strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

func sortedNames(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// escape writes a member's name as a token of a JSON Pointer.
func escape(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }
