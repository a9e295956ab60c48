package problem

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ContentType is the media type of a problem.
const ContentType = "application/problem+json"

type requestKey struct{}

// Request is what a context knows of the request that it serves.
type Request interface {
	// RequestID is the request's id, or empty.
	RequestID() string
}

// WithRequest returns a context that knows the request it serves.
func WithRequest(ctx context.Context, r Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestOf is the request that the context serves, or nil.
func RequestOf(ctx context.Context) Request {
	r, _ := ctx.Value(requestKey{}).(Request)
	return r
}

// RequestID is the id of the request that the context serves, or empty.
func RequestID(ctx context.Context) string {
	if r := RequestOf(ctx); r != nil {
		return r.RequestID()
	}
	return ""
}

// Write answers the request with the problem. The instance is the request's
// id; an internal error never shows its own detail or extension members.
func Write(w http.ResponseWriter, r *http.Request, p *Problem) {
	out := *p
	if id := RequestID(r.Context()); id != "" {
		out.Instance = "urn:request:" + id
	}
	if out.Type == Internal {
		out.Detail, out.Errors, out.Extra = entry(Internal).Description, nil, nil
	}
	body, err := out.MarshalJSON()
	if err != nil {
		// Only an extension member can be impossible to write.
		out.Extra = nil
		body, _ = out.MarshalJSON()
	}
	header := w.Header()
	maps.Copy(header, out.Header)
	if out.RetryAfter > 0 {
		header.Set("Retry-After", Seconds(out.RetryAfter))
	}
	header.Set("Content-Type", ContentType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Del("Content-Encoding")
	w.WriteHeader(out.Status)
	if r.Method == http.MethodHead {
		return // the headers are all there is
	}
	_, _ = w.Write(body) // a client that has gone cannot be told
}

// Seconds writes the value of a Retry-After header. It rounds up: a client must not come back too early.
func Seconds(d time.Duration) string {
	return strconv.FormatInt(int64(math.Ceil(d.Seconds())), 10)
}

// MarshalJSON writes the standard members in the order of RFC 9457 and then
// the extension members by name, all on the top level.
func (p *Problem) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(`{"type":`)
	if err := encode(&b, URN+string(p.Type)); err != nil {
		return nil, err
	}
	standard := []struct {
		name  string
		value any
		skip  bool
	}{
		{"title", p.Title, p.Title == ""},
		{"status", p.Status, p.Status == 0},
		{"detail", p.Detail, p.Detail == ""},
		{"instance", p.Instance, p.Instance == ""},
		{"errors", p.Errors, len(p.Errors) == 0},
	}
	for _, m := range standard {
		if m.skip {
			continue
		}
		if err := member(&b, m.name, m.value); err != nil {
			return nil, err
		}
	}
	names := make([]string, 0, len(p.Extra))
	for name := range p.Extra {
		if !reserved(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if err := member(&b, name, p.Extra[name]); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON reads a problem as a client sees it.
func (p *Problem) UnmarshalJSON(data []byte) error {
	var in struct {
		Type     string  `json:"type"`
		Title    string  `json:"title"`
		Status   int     `json:"status"`
		Detail   string  `json:"detail"`
		Instance string  `json:"instance"`
		Errors   []Fault `json:"errors"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("read problem: %w", err)
	}
	var extra map[string]any
	if err := json.Unmarshal(data, &extra); err != nil {
		return fmt.Errorf("read problem: %w", err)
	}
	for name := range extra {
		if reserved(name) {
			delete(extra, name)
		}
	}
	if len(extra) == 0 {
		extra = nil
	}
	*p = Problem{
		Type: Type(strings.TrimPrefix(in.Type, URN)), Title: in.Title, Status: in.Status,
		Detail: in.Detail, Instance: in.Instance, Errors: in.Errors, Extra: extra,
	}
	return nil
}

// MarshalJSON writes a pointer or a parameter, and the detail.
func (f Fault) MarshalJSON() ([]byte, error) {
	name, where := "pointer", f.Pointer
	if f.Parameter != "" {
		name, where = "parameter", f.Parameter
	}
	var b bytes.Buffer
	b.WriteString(`{"` + name + `":`)
	if err := encode(&b, where); err != nil {
		return nil, err
	}
	if err := member(&b, "detail", f.Detail); err != nil {
		return nil, err
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// reserved reports whether a name belongs to the members of RFC 9457.
func reserved(name string) bool {
	switch name {
	case "type", "title", "status", "detail", "instance", "errors":
		return true
	default:
		return false
	}
}

func member(b *bytes.Buffer, name string, value any) error {
	b.WriteByte(',')
	if err := encode(b, name); err != nil {
		return err
	}
	b.WriteByte(':')
	return encode(b, value)
}

// encode leaves <, > and & as they are: a problem is read by people too.
func encode(b *bytes.Buffer, value any) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return fmt.Errorf("write problem: %w", err)
	}
	b.Truncate(b.Len() - 1) // the encoder ends every value with a line break
	return nil
}
