package workspace

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/throughline/throughline/schema/object"
)

// Scope is one thing that an API key may do.
type Scope string

// The scopes.
const (
	EventsWrite        Scope = "events:write"
	ObjectsWrite       Scope = "objects:write"
	ConversationsWrite Scope = "conversations:write"
	// Read reaches every GET but those of webhooks and administration.
	Read Scope = "read"
	// WallboardRead reaches the wallboard alone: it is for a screen on a wall.
	WallboardRead Scope = "wallboard:read"
	WebhooksWrite Scope = "webhooks:write"
	// Admin reaches the keys of its own workspace, and erasure.
	Admin Scope = "admin"
)

// Scopes lists every scope.
func Scopes() []Scope {
	return []Scope{EventsWrite, ObjectsWrite, ConversationsWrite, Read, WallboardRead, WebhooksWrite, Admin}
}

// DevScopes are those of the key that `throughline dev` makes at its first start: every scope but admin.
func DevScopes() []Scope {
	return slices.DeleteFunc(Scopes(), func(s Scope) bool { return s == Admin })
}

// APIKey is a key of a workspace. Its record in the topic workspaces has the key workspace/KEY/id, so that two edges
// that add keys at once lose neither. The secret itself is shown once and kept nowhere.
type APIKey struct {
	Version   int     `json:"v"`
	ID        string  `json:"id"`
	Workspace string  `json:"workspace"`
	Name      string  `json:"name"`
	Scopes    []Scope `json:"scopes"`
	// Hash is HashKey of the secret.
	Hash      string     `json:"hash"`
	CreatedAt time.Time  `json:"createdAt"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty"`
	// RateLimit is how many items a second the key may write on each edge; nil leaves it to the edge's configuration.
	RateLimit *float64 `json:"rateLimitPerSecond,omitempty"`
}

// Bounds of APIKey.RateLimit. The least is an item in about 17 minutes: a smaller one is a key that should not be there.
const (
	MinRateLimit = 0.001
	MaxRateLimit = 1e6
)

// KeyType is the middle part of the key of an API key's record.
const KeyType = "KEY"

// MinSecretLength is the shortest secret that an operator may choose, in bytes. A hash without salt and stretching is
// enough for secrets that nobody can guess, and only for those.
const MinSecretLength = 16

// NewSecret makes a secret of 256 random bits. The prefix lets scanners of leaked secrets find it.
func NewSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails: the runtime ends the process instead
	return "tlk_" + hex.EncodeToString(b)
}

// HashKey is what the log keeps of a secret: its SHA-256 in hex.
func HashKey(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	return string(text[:])
}

// Allows says whether the key has a scope and has not expired.
func (k *APIKey) Allows(s Scope) bool { return slices.Contains(k.Scopes, s) }

// Expired says whether the key's time is over.
func (k *APIKey) Expired(now time.Time) bool { return k.ExpiresAt != nil && !now.Before(*k.ExpiresAt) }

// Validate lists every rule that the key breaks.
func (k *APIKey) Validate(now time.Time) []object.Violation {
	var v []object.Violation
	if n := utf8.RuneCountInString(k.Name); n > MaxNameLength {
		v = append(v, object.Violation{Pointer: "/name", Detail: fmt.Sprintf("has %d code points; at most %d are allowed", n, MaxNameLength)})
	}
	if len(k.Scopes) == 0 {
		v = append(v, object.Violation{Pointer: "/scopes", Detail: "must name at least one of " + scopeNames()})
	}
	for i, s := range k.Scopes {
		if !slices.Contains(Scopes(), s) {
			v = append(v, object.Violation{Pointer: fmt.Sprintf("/scopes/%d", i), Detail: "must be one of " + scopeNames()})
		}
	}
	if k.Expired(now) {
		v = append(v, object.Violation{Pointer: "/expiresAt", Detail: "must lie in the future"})
	}
	if r := k.RateLimit; r != nil && (*r < MinRateLimit || *r > MaxRateLimit) {
		v = append(v, object.Violation{Pointer: "/rateLimitPerSecond", Detail: fmt.Sprintf("must be %g to %.0f items a second", MinRateLimit, MaxRateLimit)})
	}
	return v
}

func scopeNames() string {
	names := make([]string, 0, len(Scopes()))
	for _, s := range Scopes() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// ParseAPIKey reads a record's value. It ignores members that it does not know.
func ParseAPIKey(value []byte) (*APIKey, error) {
	var k APIKey
	if err := json.Unmarshal(value, &k); err != nil {
		return nil, fmt.Errorf("parse API key: %w", err)
	}
	if k.Version < 1 || k.Version > RecordVersion {
		return nil, fmt.Errorf("parse API key: version %d is not known, the newest known is %d", k.Version, RecordVersion)
	}
	if k.Workspace == "" || k.ID == "" || k.Hash == "" {
		return nil, errors.New("parse API key: workspace, id and hash are required")
	}
	return &k, nil
}
