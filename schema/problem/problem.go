// Package problem is how this system says no over HTTP: problem details as in
// RFC 9457, a catalogue of their types, and the kinds that class errors by
// what the caller must do. It is the only place that writes an error answer.
package problem

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"
)

// Problem is one refusal. It is an error, so a handler returns it like any
// other; the router writes it. The zero value is not useful: use New.
type Problem struct { //nolint:errname // RFC 9457 calls it a problem, and so does everybody who reads one
	// Type says which problem this is.
	Type Type
	// Title and Status are the catalogue's for the type.
	Title  string
	Status int
	// Detail is a sentence for the person who made this request.
	Detail string
	// Instance is urn:request:<id>; Write fills it in.
	Instance string
	// Errors names the members or parameters at fault.
	Errors []Fault
	// Extra holds extension members, written beside the others. Names of the
	// members above are ignored.
	Extra map[string]any
	// RetryAfter is written as the header of that name, rounded up to a second.
	RetryAfter time.Duration
	// Header holds more headers of the answer, such as Allow.
	Header http.Header

	cause error
}

// Fault is one thing wrong with a request.
type Fault struct {
	// Pointer is the JSON Pointer (RFC 6901) of the member at fault. The empty
	// pointer is the whole body, so a fault of a body always has it written.
	Pointer string
	// Parameter is the name of the query parameter at fault, in place of a
	// pointer.
	Parameter string
	// Detail says what was expected.
	Detail string
}

// New makes a problem of a type of the catalogue. An empty detail becomes the
// catalogue's description.
func New(t Type, detail string) *Problem {
	e := entry(t)
	if detail == "" {
		detail = e.Description
	}
	return &Problem{Type: e.Type, Title: e.Title, Status: e.Status, Detail: detail}
}

// Newf is New with a formatted detail.
func Newf(t Type, format string, args ...any) *Problem {
	return New(t, fmt.Sprintf(format, args...))
}

// Invalid is a 422 for members of a body. Its detail repeats the first fault,
// for those who read no further.
func Invalid(faults ...Fault) *Problem {
	p := New(InvalidMember, "")
	p.Errors = faults
	if len(faults) > 0 {
		p.Detail = faults[0].String()
		if more := len(faults) - 1; more > 0 {
			p.Detail = fmt.Sprintf("%s (and %d more)", p.Detail, more)
		}
	}
	return p
}

// At is a fault of the member at a JSON Pointer.
func At(pointer, detail string) Fault {
	return Fault{Pointer: pointer, Detail: detail}
}

// Atf is At with a formatted detail.
func Atf(pointer, format string, args ...any) Fault {
	return Fault{Pointer: pointer, Detail: fmt.Sprintf(format, args...)}
}

// String is the fault as a clause: where, then what.
func (f Fault) String() string {
	switch {
	case f.Parameter != "":
		return f.Parameter + ": " + f.Detail
	case f.Pointer != "":
		return f.Pointer + ": " + f.Detail
	default:
		return f.Detail
	}
}

// Token escapes one reference token of a JSON Pointer, so that a member named
// by a client can stand in one.
func Token(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// NotAllowed is the 405 of an address that has other methods.
func NotAllowed(method string, allow []string) *Problem {
	list := strings.Join(allow, ", ")
	p := Newf(MethodNotAllowed, "%s is not allowed here; allowed: %s.", method, list)
	return p.WithHeader("Allow", list)
}

// NoKey is the 401 with the challenge that RFC 9110 demands of it.
func NoKey(detail string) *Problem {
	return New(Unauthorized, detail).WithHeader("WWW-Authenticate", `Bearer realm="throughline"`)
}

// Busy is the 503 for what may succeed a while later.
func Busy(detail string, after time.Duration) *Problem {
	return New(Unavailable, detail).WithRetryAfter(after)
}

// From turns any error into a problem: the one in its chain, or one that fits
// its kind and shows nothing of it. This is the one place that turns kinds
// into HTTP.
func From(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if KindOf(err) == Retry {
		return Busy("", time.Second).WithCause(err)
	}
	return New(Internal, "").WithCause(err)
}

// WithExtra returns a copy with one more extension member.
func (p *Problem) WithExtra(name string, value any) *Problem {
	c := *p
	c.Extra = maps.Clone(p.Extra)
	if c.Extra == nil {
		c.Extra = make(map[string]any, 1)
	}
	c.Extra[name] = value
	return &c
}

// WithHeader returns a copy with one more header of the answer.
func (p *Problem) WithHeader(name, value string) *Problem {
	c := *p
	c.Header = p.Header.Clone()
	if c.Header == nil {
		c.Header = make(http.Header, 1)
	}
	c.Header.Set(name, value)
	return &c
}

// WithRetryAfter returns a copy that tells the client when to come back.
func (p *Problem) WithRetryAfter(after time.Duration) *Problem {
	c := *p
	c.RetryAfter = after
	return &c
}

// WithCause returns a copy that wraps the error behind it. The cause goes into
// the log and is never written to the client.
func (p *Problem) WithCause(err error) *Problem {
	c := *p
	c.cause = err
	return &c
}

// Error is the problem as a log line: title, detail and cause.
func (p *Problem) Error() string {
	text := p.Title
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	if p.cause != nil {
		text += ": " + p.cause.Error()
	}
	return text
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.cause }

// Kind is the catalogue's kind of the type.
func (p *Problem) Kind() Kind { return entry(p.Type).Kind }

// Is reports whether the target is a problem of the same type, so that
// errors.Is(err, problem.New(problem.Conflict, "")) works.
func (p *Problem) Is(target error) bool {
	t, ok := target.(*Problem)
	return ok && t.Type == p.Type
}
