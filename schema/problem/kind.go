package problem

import (
	"context"
	"errors"
)

// Kind classes an error by what the caller must do about it.
type Kind int

const (
	// Stop means that neither waiting nor another input helps: an operator or
	// a developer has to look. It is the zero value, so an error that nobody
	// classed is never retried for ever.
	Stop Kind = iota
	// Reject means that this input is refused and will be refused again.
	Reject
	// Retry means that the same input may succeed later.
	Retry
)

// String names the kind as it appears in logs and in the reference.
func (k Kind) String() string {
	switch k {
	case Reject:
		return "reject"
	case Retry:
		return "retry"
	default:
		return "stop"
	}
}

// Kinder is implemented by errors that know their kind.
type Kinder interface {
	error
	Kind() Kind
}

// WithKind wraps an error with a kind. The text is unchanged; nil stays nil.
func WithKind(kind Kind, err error) error {
	if err == nil {
		return nil
	}
	return &kindError{kind: kind, err: err}
}

// KindOf returns the kind of the outermost error in the chain that has one. A
// deadline that passed is Retry: the outcome is unknown and the next attempt
// has a new deadline. Everything else is Stop.
func KindOf(err error) Kind {
	if k, ok := errors.AsType[Kinder](err); ok {
		return k.Kind()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return Retry
	}
	return Stop
}

type kindError struct {
	kind Kind
	err  error
}

func (e *kindError) Error() string { return e.err.Error() }
func (e *kindError) Unwrap() error { return e.err }
func (e *kindError) Kind() Kind    { return e.kind }
