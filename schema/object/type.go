// Package object holds what an object is: its type, its identity, its state in the log, and the rules of both.
package object

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Type is the canonical name of a kind of object.
type Type string

// The types of objects. The list is closed: a misspelt type must not create a timeline of its own.
const (
	Conversation     Type = "CONVERSATION"
	Account          Type = "ACCOUNT"
	Customer         Type = "CUSTOMER"
	User             Type = "USER"
	Chatbot          Type = "CHATBOT"
	Company          Type = "COMPANY"
	Helpcenter       Type = "HELPCENTER"
	SessionRecording Type = "SESSION_RECORDING"
)

// Types lists every type, in the order in which answers name them.
func Types() []Type {
	return []Type{Conversation, Account, Customer, User, Chatbot, Company, Helpcenter, SessionRecording}
}

// ErrType is what ParseType answers for a name that is no type.
var ErrType = errors.New("unknown object type")

// ParseType reads a type in any case, with the aliases of the Events API's page: AGENT and "USER (AGENT)" for USER,
// "SESSION RECORDING" for SESSION_RECORDING.
func ParseType(s string) (Type, error) {
	t := Type(strings.ToUpper(strings.TrimSpace(s)))
	switch t {
	case "AGENT", "USER (AGENT)":
		return User, nil
	case "SESSION RECORDING":
		return SessionRecording, nil
	default:
	}
	if slices.Contains(Types(), t) {
		return t, nil
	}
	return "", fmt.Errorf("%w: want one of %s", ErrType, typeNames())
}

func typeNames() string {
	names := make([]string, 0, len(Types()))
	for _, t := range Types() {
		names = append(names, string(t))
	}
	return strings.Join(names, ", ")
}

// MaxIDLength is the greatest length of an id, in code points.
const MaxIDLength = 256

// ValidateID says what is wrong with an id: 1–256 code points, no control characters, neither "." nor ".." (which a
// URL would swallow). Ids are compared byte for byte. Format characters such as zero-width joiners are allowed:
// they are part of names in several scripts.
func ValidateID(id string) error {
	if simple(id) {
		return nil
	}
	switch n := utf8.RuneCountInString(id); {
	case n == 0:
		return errors.New("must not be empty")
	case n > MaxIDLength:
		return fmt.Errorf("has %d code points; at most %d are allowed", n, MaxIDLength)
	case id == "." || id == "..":
		return errors.New(`must not be "." or ".."`)
	case !utf8.ValidString(id):
		return errors.New("is not valid UTF-8")
	case strings.ContainsFunc(id, unicode.IsControl):
		return errors.New("must not contain control characters")
	default:
		return nil
	}
}

// simple says that an id is one of the usual kind, which breaks no rule: short, printable, ASCII. It is asked for several
// ids of every event.
func simple(id string) bool {
	if len(id) < len("...") || len(id) > MaxIDLength {
		return false
	}
	for i := range len(id) {
		if id[i] < ' ' || id[i] >= 0x7f {
			return false
		}
	}
	return true
}
