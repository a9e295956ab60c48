package contract

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/throughline/throughline/schema/api"
)

// Check lists what the document does not say of an exchange. sent and answer are the bodies as they travelled.
func (c *Checker) Check(r *http.Request, sent []byte, status int, header http.Header, answer []byte) []string {
	op, path := c.find(r)
	if op == nil {
		want := http.StatusNotFound
		if path {
			want = http.StatusMethodNotAllowed
		}
		if status != want {
			return []string{fmt.Sprintf("the document has no such operation, so it must be a %d", want)}
		}
		return c.answered(r, c.stray[want], header, answer)
	}
	c.saw(op.ID, status)
	response, ok := op.Response(status)
	if !ok {
		return []string{op.ID + " has no answer of this status"}
	}
	faults := c.answered(r, response, header, answer)
	if status < http.StatusMultipleChoices {
		faults = append(faults, c.allowed(op, r, sent)...)
	}
	return faults
}

// find is the operation that a request meets; and, where there is none, whether its path is one of the document's.
func (c *Checker) find(r *http.Request) (op *api.Operation, path bool) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	variables := -1
	for _, o := range c.Document.Operations {
		n, ok := matches(o.Path, r.URL.EscapedPath())
		if !ok {
			continue
		}
		path = true
		if o.Method == method && (variables < 0 || n < variables) {
			op, variables = o, n
		}
	}
	return op, path
}

// matches says whether a path fits a template, and how many of its segments are variables.
func matches(template, path string) (int, bool) {
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return 0, false
	}
	variables := 0
	for i := range want {
		switch {
		case strings.HasPrefix(want[i], "{") && have[i] != "":
			variables++
		case want[i] != have[i]:
			return 0, false
		}
	}
	return variables, true
}

// answered compares an answer with its description.
func (c *Checker) answered(r *http.Request, want api.Response, header http.Header, body []byte) []string {
	faults := c.headers(want, header)
	if r.Method == http.MethodHead {
		if len(body) > 0 {
			faults = append(faults, "the answer to a HEAD has a body")
		}
		return faults
	}
	if len(want.Content) == 0 {
		if len(body) > 0 {
			faults = append(faults, "the document knows no body of this answer")
		}
		return faults
	}
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	i := slices.IndexFunc(want.Content, func(m api.Media) bool { return m.Type == media })
	if err != nil || i < 0 {
		return append(faults, fmt.Sprintf("the document does not know the Content-Type %q of this answer", header.Get("Content-Type")))
	}
	if fault := c.body(want.Content[i], body); fault != "" {
		faults = append(faults, fault)
	}
	return faults
}

// ordinary are the headers that any answer may have. They belong to HTTP, and are the same everywhere.
func ordinary() []string {
	return []string{"Content-Type", "Content-Length", "Date", "Cache-Control", "X-Content-Type-Options", "Connection"}
}

func (c *Checker) headers(want api.Response, have http.Header) []string {
	var faults []string
	for _, h := range want.Headers {
		value := have.Get(h.Name)
		if value == "" {
			if h.Required {
				faults = append(faults, "the header "+h.Name+" is missing")
			}
			continue
		}
		if err := c.anyOf(h.Schema, readings(value)); err != nil {
			faults = append(faults, fmt.Sprintf("the header %s is %q: %v", h.Name, value, err))
		}
	}
	for name := range have {
		described := slices.ContainsFunc(want.Headers, func(h api.Header) bool { return http.CanonicalHeaderKey(h.Name) == name })
		if !described && !slices.Contains(ordinary(), name) {
			faults = append(faults, "the document does not know the header "+name+" of this answer")
		}
	}
	return faults
}

// body compares a body with its schema, and says what is wrong.
func (c *Checker) body(want api.Media, body []byte) string {
	if want.Schema.Pointer() == "" {
		return ""
	}
	var value any = string(body)
	if isJSON(want.Type) {
		var err error
		if value, err = jsonschema.UnmarshalJSON(bytes.NewReader(body)); err != nil {
			return fmt.Sprintf("the body is no JSON: %v", err)
		}
	}
	if err := c.anyOf(want.Schema, []any{value}); err != nil {
		return "the body is not what its schema says: " + err.Error()
	}
	return ""
}

func isJSON(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

// anyOf says that one of several readings of a value is what the schema says, or why the last one is not.
func (c *Checker) anyOf(schema api.Schema, readings []any) error {
	if schema.Pointer() == "" {
		return nil
	}
	s, err := c.schema(schema.Pointer())
	if err != nil {
		return err
	}
	for _, v := range readings {
		if err = s.Validate(v); err == nil {
			return nil
		}
	}
	return err
}
