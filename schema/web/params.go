package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/throughline/throughline/schema/problem"
)

// Limits of a page.
const (
	DefaultLimit = 50
	MaxLimit     = 500
)

// Params reads the query parameters of a request strictly. Ask for each
// parameter of the route, then call Err once: it refuses what was misread and
// every parameter that was not asked for. An empty parameter is an absent one.
type Params struct {
	values url.Values
	known  []string
	faults []problem.Fault
}

// Query starts reading the query parameters of a request.
func Query(r *http.Request) *Params {
	if r.URL.RawQuery == "" {
		return &Params{}
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	p := &Params{values: values}
	if err != nil {
		p.Fault("query", "cannot be decoded: a %, & or ; in a value must be percent-encoded")
	}
	for name, list := range values {
		values[name] = slices.DeleteFunc(list, func(v string) bool { return v == "" })
		for _, v := range list {
			if !utf8.ValidString(v) {
				p.Fault(name, "is not UTF-8")
				break
			}
		}
	}
	return p
}

// Err returns a 400 for the first parameter that was misread or is unknown,
// with every fault in errors, or nil. An unknown parameter is refused although
// it is empty: its name is as misspelt as with a value.
func (p *Params) Err() error {
	var unknown []string
	for name := range p.values {
		if !slices.Contains(p.known, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	faults := slices.Clone(p.faults)
	for _, name := range unknown {
		faults = append(faults, problem.Fault{Parameter: name, Detail: "is not a parameter here; " + p.knownList()})
	}
	if len(faults) == 0 {
		return nil
	}
	out := problem.New(problem.BadParameter, faults[0].String())
	out.Errors = faults
	return out
}

func (p *Params) knownList() string {
	if len(p.known) == 0 {
		return "this route takes none"
	}
	names := slices.Clone(p.known)
	slices.Sort(names)
	return "known: " + strings.Join(names, ", ")
}

// Fault records that a value is no good: for what the caller reads itself.
func (p *Params) Fault(name, detail string) {
	p.faults = append(p.faults, problem.Fault{Parameter: name, Detail: detail})
}

// Strings returns the values of a parameter that may be repeated, meaning any
// of them. Duplicates are left out, the order is kept.
func (p *Params) Strings(name string) []string {
	p.know(name)
	var out []string
	for _, v := range p.values[name] {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// String returns the value of a parameter that stands once, or empty.
func (p *Params) String(name string) string {
	values := p.Strings(name)
	switch len(values) {
	case 0:
		return ""
	case 1:
		return values[0]
	default:
		p.Fault(name, "may be given once")
		return ""
	}
}

// Enum returns one of the allowed values, the first where it is absent.
func (p *Params) Enum(name string, allowed ...string) string {
	v := p.String(name)
	if v == "" {
		return allowed[0]
	}
	if !slices.Contains(allowed, v) {
		p.Fault(name, "must be one of "+strings.Join(allowed, ", "))
		return allowed[0]
	}
	return v
}

// Enums returns the values of a parameter that may be repeated, each of which
// must be allowed; nil where it is absent.
func (p *Params) Enums(name string, allowed ...string) []string {
	values := p.Strings(name)
	for _, v := range values {
		if !slices.Contains(allowed, v) {
			p.Fault(name, "must be one of "+strings.Join(allowed, ", "))
			return nil
		}
	}
	return values
}

// Bool returns true or false, or the default where it is absent.
func (p *Params) Bool(name string, def bool) bool {
	switch p.String(name) {
	case "":
		return def
	case "true":
		return true
	case "false":
		return false
	default:
		p.Fault(name, "must be true or false")
		return def
	}
}

// Int returns a whole number from low to high, or the default.
func (p *Params) Int(name string, def, low, high int) int {
	v := p.String(name)
	if v == "" {
		return def
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high {
		p.Fault(name, "must be a whole number from "+strconv.Itoa(low)+" to "+strconv.Itoa(high))
		return def
	}
	return n
}

// Limit returns the parameter limit: how many rows a page has.
func (p *Params) Limit() int { return p.Int("limit", DefaultLimit, 1, MaxLimit) }

// Time returns an instant in UTC, kept to the millisecond, or the zero time
// where it is absent. It is given as in RFC 3339 or in epoch milliseconds.
func (p *Params) Time(name string) time.Time {
	v := p.String(name)
	if v == "" {
		return time.Time{}
	}
	t, ok := parseTime(v)
	if !ok {
		p.Fault(name, "must be a time as in RFC 3339 or in epoch milliseconds")
		return time.Time{}
	}
	// ClickHouse's client wraps around outside these years without a word. A
	// bound of a search may lie in the future, so there is no closer end.
	if y := t.Year(); y < 1900 || y > 2261 {
		p.Fault(name, "must lie in the years 1900 to 2261")
		return time.Time{}
	}
	return t
}

// Range returns the parameters from, which is inclusive, and to, which is not.
func (p *Params) Range() (time.Time, time.Time) {
	from, to := p.Time("from"), p.Time("to")
	if !from.IsZero() && !to.IsZero() && to.Before(from) {
		p.Fault("to", "must not be earlier than from")
	}
	return from, to
}

func (p *Params) know(name string) {
	if !slices.Contains(p.known, name) {
		p.known = append(p.known, name)
	}
}

// offsetLength is the length of a numeric time zone: +02:00.
const offsetLength = 6

func parseTime(v string) (time.Time, bool) {
	if ms, err := strconv.ParseInt(v, 10, 64); err == nil {
		return time.UnixMilli(ms).UTC(), true
	}
	// A plus that the client did not encode arrives as a blank. There is only
	// one thing a blank in that place can have been.
	if i := len(v) - offsetLength; i > 0 && v[i] == ' ' {
		v = v[:i] + "+" + v[i+1:]
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	return t.UTC().Truncate(time.Millisecond), err == nil
}
